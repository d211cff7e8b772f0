// SPDX-License-Identifier: GPL-2.0

//! Signature verification, and the policy for modules without a valid signature.
//!
//! C headers: [`include/linux/verification.h`](srctree/include/linux/verification.h),
//! [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use super::keyring::{
    self,
    Keyring, //
};
use crate::{
    log::LogBuffer,
    module_parameters,
    signing::cms::{
        KeyAlgorithm,
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
};
use core::{
    fmt::Write,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    bindings,
    error::code,
    module_param::KernelParam,
    prelude::*, //
};

/// Policy for modules without a valid signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are loaded.
    Off,
    /// They are loaded, and a line in the kernel log reports each.
    Warn,
    /// They are refused.
    Enforce,
}

impl Mode {
    /// Returns the policy in force.
    pub(crate) fn current() -> Self {
        match requested_mode() {
            Some(Self::Off | Self::Warn) if is_locked_down() => Self::Enforce,
            Some(mode) => mode,
            // `check_parameter` refused an unknown value when kwasmi was loaded.
            None => Self::Enforce,
        }
    }

    /// Returns the number `KWASMI_VERIFY_*`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Off => KWASMI_VERIFY_OFF,
            Self::Warn => KWASMI_VERIFY_WARN,
            Self::Enforce => KWASMI_VERIFY_ENFORCE,
        }
    }
}

/// Returns true if the kernel is locked down against unsigned modules.
pub(crate) fn is_locked_down() -> bool {
    // SAFETY: `security_locked_down` requires a valid reason, which `LOCKDOWN_MODULE_SIGNATURE` is.
    unsafe {
        bindings::security_locked_down(bindings::lockdown_reason_LOCKDOWN_MODULE_SIGNATURE) != 0
    }
}

/// Returns true if signatures by keys that the kernel trusts are accepted: the module parameter
/// `kernel_keys`.
pub(crate) fn kernel_keys_count() -> bool {
    module_parameters::kernel_keys.value()
}

/// Result of a signature check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No signature.
    Unsigned,
    /// Valid signature by a key in `.kwasmi`.
    Signed,
    /// Valid signature by a key that the kernel trusts.
    KernelKey,
    /// Signature that is not valid or not by a trusted key.
    Rejected,
}

impl Verdict {
    /// Returns the number `KWASMI_VERDICT_*`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Unsigned => KWASMI_VERDICT_UNSIGNED,
            Self::Signed => KWASMI_VERDICT_SIGNED,
            Self::KernelKey => KWASMI_VERDICT_KERNEL_KEY,
            Self::Rejected => KWASMI_VERDICT_REJECTED,
        }
    }

    /// Returns the word for audit records.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::KernelKey => "kernel-key",
            Self::Rejected => "rejected",
        }
    }
}

/// Description of the signer's key, as the kernel shows it.
pub(crate) type SignerName = KVec<u8>;

/// Verifies `signature` over the bytes `signed`. Returns the verdict and the signer.
///
/// # Errors
///
/// `ENOKEY` if the signer's key is not trusted; `EKEYREJECTED` if the signature is malformed, weak
/// or not valid; `ENOMEM`. `log` gets the reason, except for `ENOMEM`.
pub(crate) fn check(
    signed: &[u8],
    signature: &[u8],
    log: &mut LogBuffer,
) -> Result<(Verdict, SignerName)> {
    let parsed = Signature::read(signature).map_err(|malformed| {
        let _ = write!(
            log,
            "the signature is not accepted: {malformed} of the signature"
        );
        code::EKEYREJECTED
    })?;
    match Keyring::find(&parsed.signer) {
        Ok(key) => {
            let algorithm = key.algorithm().to_bytes();
            let is_strong = match parsed.key_algorithm {
                KeyAlgorithm::Rsa => algorithm == b"rsa",
                KeyAlgorithm::Ecdsa => {
                    algorithm == b"ecdsa-nist-p256" || algorithm == b"ecdsa-nist-p384"
                }
            };
            if !is_strong {
                let _ =
                    log.write_str("the signature is not accepted: the signer's key is of another kind, or too weak");
                return Err(code::EKEYREJECTED);
            }
            // SAFETY: `verify_pkcs7` requires a keyring. `Keyring::find` found a key in it, so the
            // pointer is not null, and the keyring exists while the device is open.
            let verified = unsafe { keyring::verify_pkcs7(signed, signature, Keyring::as_ptr()) };
            verified.map_err(|error| reason(error, log))?;
            let mut name = SignerName::new();
            name.extend_from_slice(key.description().to_bytes(), GFP_KERNEL_ACCOUNT)?;
            Ok((Verdict::Signed, name))
        }
        Err(error) if error == code::ENOKEY && kernel_keys_count() => {
            // The kernel does not report the key that it uses, so the check relies on the signature
            // alone.
            if !parsed.may_be_strong() {
                let _ =
                    log.write_str("the signature is not accepted: the signer's key is not on the curve P-256 or P-384");
                return Err(code::EKEYREJECTED);
            }
            // SAFETY: `verify_pkcs7` requires a keyring or a special value. 1 is
            // `VERIFY_USE_SECONDARY_KEYRING` of `include/linux/verification.h`: the secondary
            // keyring with the built-in one.
            let verified =
                unsafe { keyring::verify_pkcs7(signed, signature, ptr::without_provenance_mut(1)) };
            verified.map_err(|error| reason(error, log))?;
            Ok((Verdict::KernelKey, SignerName::new()))
        }
        Err(error) => Err(reason(error, log)),
    }
}

/// Writes to `log` why the kernel rejected a signature. Returns the error of the load.
fn reason(error: Error, log: &mut LogBuffer) -> Error {
    let (words, error) = if error == ENOMEM {
        return error;
    } else if error == code::ENOKEY {
        (
            "the signer's key is not in the keyring .kwasmi",
            code::ENOKEY,
        )
    } else if error == code::ENOPKG {
        (
            "the kernel lacks an algorithm that this signature needs",
            code::EKEYREJECTED,
        )
    } else {
        (
            "the signature is not one of these bytes by that key",
            code::EKEYREJECTED,
        )
    };
    let _ = log.write_str(words);
    error
}

/// Value of the module parameter `verify`: a NUL-terminated string, or null if it was not set.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Definition of the parameter: `module_param(verify, charp, 0444)`. The macro `module!` does not
/// support strings.
#[link_section = "__param"]
#[used(compiler)]
static PARAMETER: KernelParam = KernelParam::new(bindings::kernel_param {
    name: kernel::str::as_char_ptr_in_const_context(c"verify"),
    mod_: (&raw const bindings::__this_module).cast_mut(),
    ops: &raw const bindings::param_ops_charp,
    perm: 0o444,
    level: -1,
    flags: 0,
    __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
        arg: TEXT.as_ptr().cast(),
    },
});

/// Type of the parameter, for modinfo(8).
#[link_section = ".modinfo"]
#[used(compiler)]
static TYPE: [u8; 22] = *b"parmtype=verify:charp\0";

/// Description of the parameter, for modinfo(8).
#[link_section = ".modinfo"]
#[used(compiler)]
static DESCRIPTION: [u8; 99] =
    *b"parm=verify:Handling of modules that do not have a valid signature: off, warn or enforce (default)\0";

/// Returns the mode that was requested; `None` if the value is unknown.
fn requested_mode() -> Option<Mode> {
    let text = TEXT.load(Ordering::Relaxed);
    if text.is_null() {
        return Some(Mode::Enforce);
    }
    // SAFETY: `from_char_ptr` requires a NUL-terminated string that lives as long as the result.
    // The kernel stored one when the module was loaded and frees it when the module is unloaded;
    // mode 0444 makes the parameter read-only.
    match unsafe { CStr::from_char_ptr(text) }.to_bytes() {
        b"off" => Some(Mode::Off),
        b"warn" => Some(Mode::Warn),
        b"enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

/// Checks the value of the parameter `verify`.
///
/// # Errors
///
/// `EINVAL` if the value is unknown; the kernel log gets the reason.
pub(crate) fn check_parameter() -> Result {
    if requested_mode().is_none() {
        pr_err!("parameter verify: must be off, warn or enforce\n");
        return Err(EINVAL);
    }
    Ok(())
}
