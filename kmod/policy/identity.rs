// SPDX-License-Identifier: GPL-2.0

//! Identity of a module: hash, signature and manifest, which are checked before the code.

use super::{
    denied::{
        self,
        Hash,
        Version, //
    },
    verify::{
        self,
        Mode,
        SignerName,
        Verdict, //
    },
};
use crate::{
    host::signal,
    limits::{
        self,
        CallLimits, //
    },
    log::{
        Hex,
        LogBuffer, //
    },
    name::Name,
    signing::{
        envelope::Envelope,
        manifest::{
            Capabilities,
            Manifest, //
        }, //
    },
    uapi::{
        kwasmi_module,
        KWASMI_ABI,
        KWASMI_MODULE_MANIFEST, //
    },
};
use core::fmt::Write;
use kernel::{
    bindings,
    error::code,
    prelude::*, //
};

/// Identity of a module.
pub(crate) struct Identity {
    sha256: Hash,
    verdict: Verdict,
    signer: SignerName,
    declared: Option<Declared>,
}

/// Returns the SHA-256 of `bytes`. Hashes in pieces and reschedules between them: the kernel's
/// `sha256()` would hash a large module without rescheduling.
///
/// # Errors
///
/// `EINTR` if a fatal signal is pending.
fn hash(bytes: &[u8]) -> Result<Hash> {
    let mut state = bindings::sha256_ctx::default();
    // SAFETY: `sha256_init` requires room for a state, which `state` has.
    unsafe { bindings::sha256_init(&mut state) };
    for piece in bytes.chunks(HASH_PIECE) {
        // SAFETY: `__sha256_update` requires an initialised state and readable bytes. `sha256_init`
        // initialised `state`; address and length are those of `piece`.
        unsafe { bindings::__sha256_update(&mut state.ctx, piece.as_ptr(), piece.len()) };
        signal::yield_now();
        if signal::is_fatal_signal_pending() {
            return Err(code::EINTR);
        }
    }
    let mut hash = [0; 32];
    // SAFETY: `sha256_final` requires an initialised state and room for 32 bytes. `sha256_init`
    // initialised `state`; `hash` has 32 bytes.
    unsafe { bindings::sha256_final(&mut state, hash.as_mut_ptr()) };
    Ok(hash)
}

/// Number of bytes that are hashed between two reschedules.
const HASH_PIECE: usize = 64 * 1024;

/// Content of a manifest.
struct Declared {
    name: Name,
    version: Version,
    capabilities: Capabilities,
    /// Highest value that a caller may request, by limit; 0 if the manifest does not mention the
    /// limit.
    limits: [u64; limits::COUNT],
}

impl Identity {
    /// Creates the identity of a file of which only the hash is known.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal is pending.
    pub(crate) fn from_envelope(envelope: &Envelope<'_>) -> Result<Self> {
        let sha256 = hash(envelope.signed)?;
        Ok(Self {
            sha256,
            verdict: Verdict::Unsigned,
            signer: SignerName::new(),
            declared: None,
        })
    }

    /// Checks signature and manifest, and stores what they say.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED` if the module is denied, too old, or not signed as the policy requires;
    /// `ENOKEY` if the signer's key is unknown; `ENOEXEC` if the manifest is missing or malformed;
    /// `EDQUOT` if the manifest exceeds a ceiling; `ENOMEM`. `log` gets the reason.
    pub(crate) fn verify(&mut self, envelope: &Envelope<'_>, log: &mut LogBuffer) -> Result {
        let mode = Mode::current();
        // Denied modules are rejected before the costly signature check.
        denied::check(&self.sha256, None, log)?;
        match self.check_signature(envelope, log) {
            Err(error) if mode == Mode::Enforce || error == ENOMEM => return Err(error),
            Err(_) if mode == Mode::Warn && denied::is_news(&self.sha256) => {
                kernel::pr_warn!(
                    "module {} is not signed by a trusted key\n",
                    Hex(&self.sha256)
                );
            }
            _ => {}
        }
        if mode != Mode::Enforce {
            log.clear();
        }
        match envelope.manifest {
            Some(manifest) => self.declare(manifest, log)?,
            None if mode == Mode::Enforce => {
                let _ = log.write_str("it is signed, but has no manifest");
                return Err(ENOEXEC);
            }
            None => {}
        }
        denied::check(
            &self.sha256,
            self.declared.as_ref().map(|it| (&it.name, it.version)),
            log,
        )
    }

    fn check_signature(&mut self, envelope: &Envelope<'_>, log: &mut LogBuffer) -> Result {
        let Some(signature) = envelope.signature else {
            let _ = log.write_str("it is not signed");
            return Err(code::EKEYREJECTED);
        };
        self.verdict = Verdict::Rejected;
        (self.verdict, self.signer) = verify::check(envelope.signed, signature, log)?;
        Ok(())
    }

    fn declare(&mut self, manifest: &[u8], log: &mut LogBuffer) -> Result {
        let manifest = Manifest::read(manifest).map_err(|malformed| {
            let _ = write!(log, "not a manifest: {malformed} of the manifest");
            ENOEXEC
        })?;
        if manifest.abi > u64::from(KWASMI_ABI) {
            let _ = write!(
                log,
                "the manifest wants interface {}, this is {KWASMI_ABI}",
                manifest.abi
            );
            return Err(ENOEXEC);
        }
        let mut limits = [0; limits::COUNT];
        let mut result = Ok(());
        manifest.each_limit(|name, value| {
            if result.is_ok() {
                result = limits::declare(&mut limits, name, value, log);
            }
        });
        result?;
        self.declared = Some(Declared {
            name: Name::new(manifest.name),
            version: manifest.version,
            capabilities: manifest.capabilities,
            limits,
        });
        Ok(())
    }

    /// Checks that an instance may be started, or may run for the first time. The policy may have
    /// changed since the load: the module was denied, or the kernel was locked down.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED` if the policy rejects the module now; `log` gets the reason.
    pub(crate) fn check_start(&self, log: &mut LogBuffer) -> Result {
        let counts = matches!(self.verdict, Verdict::Signed | Verdict::KernelKey);
        if !counts && Mode::current() == Mode::Enforce {
            let _ = log.write_str("it is not signed by a trusted key");
            return Err(code::EKEYREJECTED);
        }
        denied::check(
            &self.sha256,
            self.declared.as_ref().map(|it| (&it.name, it.version)),
            log,
        )
    }

    /// Restricts the limits that the caller requested to those of the manifest.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if the caller requested more than the manifest allows; `log` gets the limit.
    pub(crate) fn restrict(&self, limits: &mut CallLimits, log: &mut LogBuffer) -> Result {
        match &self.declared {
            Some(declared) => limits.restrict(&declared.limits, log),
            None => Ok(()),
        }
    }

    /// Returns the capabilities of the module: those of the manifest, or all if there is none.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.declared
            .as_ref()
            .map_or(Capabilities::ALL, |it| it.capabilities)
    }

    /// Returns the SHA-256 of the module without its signature.
    pub(crate) fn sha256(&self) -> &Hash {
        &self.sha256
    }

    /// Returns the result of the signature check.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the description of the signer's key; empty if there is no valid signature or the
    /// kernel did not report the key.
    pub(crate) fn signer(&self) -> &[u8] {
        &self.signer
    }

    /// Returns the name in the manifest; empty if there is no manifest.
    pub(crate) fn name_bytes(&self) -> &[u8] {
        self.declared.as_ref().map_or(&[], |it| it.name.bytes())
    }

    /// Returns the version in the manifest; zeros if there is no manifest.
    pub(crate) fn version(&self) -> Version {
        self.declared.as_ref().map_or([0; 3], |it| it.version)
    }

    /// Returns the answer to `KWASMI_IOC_MODULE`, except for `KWASMI_MODULE_SHARED`.
    pub(crate) fn module_info(&self) -> kwasmi_module {
        let mut answer = kwasmi_module {
            sha256: self.sha256,
            verdict: self.verdict.number(),
            flags: if self.declared.is_some() {
                KWASMI_MODULE_MANIFEST
            } else {
                0
            },
            version: self.version(),
            reserved: 0,
            name: [0; 72],
            signer: [0; 128],
            engine_reason: [0; 128],
        };
        // The last byte of both strings stays NUL.
        for (place, byte) in answer.name.iter_mut().take(71).zip(self.name_bytes()) {
            *place = *byte as c_char;
        }
        for (place, byte) in answer.signer.iter_mut().take(127).zip(self.signer()) {
            *place = *byte as c_char;
        }
        answer
    }
}
