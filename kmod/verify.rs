// SPDX-License-Identifier: GPL-2.0

//! Whether a signature holds, and what follows if it does not.

use crate::{
    keyring::{
        self,
        Keyring, //
    },
    log::LogBuffer,
    module_parameters,
    signing::cms::{
        Kind,
        Signature, //
    },
    uapi::{
        KWASMI_VERDICT_KERNEL_KEY,
        KWASMI_VERDICT_REJECTED,
        KWASMI_VERDICT_SIGNED,
        KWASMI_VERDICT_UNSIGNED,
        KWASMI_VERIFY_ENFORCE,
        KWASMI_VERIFY_OFF,
        KWASMI_VERIFY_WARN, //
    },
    verify_parameter, //
};
use core::{
    fmt::Write,
    ptr, //
};
use kernel::{
    bindings,
    error::code,
    prelude::*, //
};

/// What becomes of a module whose signature does not hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is loaded.
    Off,
    /// It is loaded, and the kernel log tells.
    Warn,
    /// It is refused.
    Enforce,
}

impl Mode {
    /// The one in force.
    pub(crate) fn current() -> Self {
        match verify_parameter::mode() {
            Some(Self::Off | Self::Warn) if is_locked_down() => Self::Enforce,
            Some(mode) => mode,
            // What cannot be read was refused when kwasmi was loaded.
            None => Self::Enforce,
        }
    }

    /// `KWASMI_VERIFY_*`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Off => KWASMI_VERIFY_OFF,
            Self::Warn => KWASMI_VERIFY_WARN,
            Self::Enforce => KWASMI_VERIFY_ENFORCE,
        }
    }
}

/// Whether the kernel is locked down, so that only what is signed may come in.
pub(crate) fn is_locked_down() -> bool {
    // SAFETY: It has no requirements.
    unsafe { bindings::security_locked_down(bindings::lockdown_reason_LOCKDOWN_MODULE_SIGNATURE) != 0 }
}

/// Whether keys that the kernel itself trusts count, too.
pub(crate) fn kernel_keys_count() -> bool {
    module_parameters::kernel_keys.value()
}

/// What came of looking at a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none.
    Unsigned,
    /// It holds, by a key in `.kwasmi`.
    Signed,
    /// It holds, by a key that the kernel itself trusts.
    KernelKey,
    /// It does not hold.
    Rejected,
}

impl Verdict {
    /// `KWASMI_VERDICT_*`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Unsigned => KWASMI_VERDICT_UNSIGNED,
            Self::Signed => KWASMI_VERDICT_SIGNED,
            Self::KernelKey => KWASMI_VERDICT_KERNEL_KEY,
            Self::Rejected => KWASMI_VERDICT_REJECTED,
        }
    }

    /// A word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::KernelKey => "kernel-key",
            Self::Rejected => "rejected",
        }
    }
}

/// Who signed, as the kernel shows the key.
pub(crate) type SignerName = KVec<u8>;

/// Sees whether `signature` is one of `signed` by a key that counts; and who signed.
///
/// # Errors
///
/// `EKEYREJECTED`, `ENOKEY`, with words in `log`; `ENOMEM`.
pub(crate) fn check(signed: &[u8], signature: &[u8], log: &mut LogBuffer) -> Result<(Verdict, SignerName)> {
    let parsed = Signature::read(signature).map_err(|malformed| {
        let _ = write!(log, "the signature is not accepted: {malformed} of the signature");
        code::EKEYREJECTED
    })?;
    match Keyring::find(&parsed.signer) {
        Ok(key) => {
            let algorithm = key.algorithm().to_bytes();
            let is_strong = match parsed.kind {
                Kind::Rsa => algorithm == b"rsa",
                Kind::Ecdsa => algorithm == b"ecdsa-nist-p256" || algorithm == b"ecdsa-nist-p384",
            };
            if !is_strong {
                let _ =
                    log.write_str("the signature is not accepted: the signer's key is of another kind, or too weak");
                return Err(code::EKEYREJECTED);
            }
            // SAFETY: It is a keyring, for as long as the device is open.
            let verified = unsafe { keyring::verify_pkcs7(signed, signature, Keyring::as_ptr()) };
            verified.map_err(|error| reason(error, log))?;
            let mut name = SignerName::new();
            name.extend_from_slice(key.description().to_bytes(), GFP_KERNEL_ACCOUNT)?;
            Ok((Verdict::Signed, name))
        }
        Err(error) if error == code::ENOKEY && kernel_keys_count() => {
            // Which key the kernel takes it does not tell.
            if !parsed.may_be_strong() {
                let _ =
                    log.write_str("the signature is not accepted: the signer's key is not on the curve P-256 or P-384");
                return Err(code::EKEYREJECTED);
            }
            // SAFETY: The value stands for the kernel's secondary keyring, which holds the built-in one, see
            // `include/linux/verification.h`.
            let verified = unsafe { keyring::verify_pkcs7(signed, signature, ptr::without_provenance_mut(1)) };
            verified.map_err(|error| reason(error, log))?;
            Ok((Verdict::KernelKey, SignerName::new()))
        }
        Err(error) => Err(reason(error, log)),
    }
}

/// Says why the kernel does not take a signature.
fn reason(error: Error, log: &mut LogBuffer) -> Error {
    let (words, error) = if error == ENOMEM {
        return error;
    } else if error == code::ENOKEY {
        ("the signer's key is not in the keyring .kwasmi", code::ENOKEY)
    } else if error == code::ENOPKG {
        ("the kernel lacks what it takes to check the signature", code::EKEYREJECTED)
    } else {
        ("the signature is not one of these bytes by that key", code::EKEYREJECTED)
    };
    let _ = log.write_str(words);
    error
}
