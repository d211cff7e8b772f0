// SPDX-License-Identifier: GPL-2.0

//! What is known of a module before its code is looked at: hash, signature, manifest.

use crate::{
    audit::Hex,
    host::signal,
    limits::{
        self,
        Chosen, //
    },
    log::LogBuffer,
    policy::{
        self,
        Hash,
        Name,
        Version, //
    },
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
    verify::{
        self,
        Mode,
        SignerName,
        Verdict, //
    },
};
use core::fmt::Write;
use kernel::{
    bindings,
    error::code,
    prelude::*, //
};

/// What is known of a module.
pub(crate) struct Identity {
    sha256: Hash,
    verdict: Verdict,
    signer: SignerName,
    declared: Option<Declared>,
}

/// The SHA-256 of `bytes`. The kernel's own function would have the processor to itself for all of a large module.
fn hash(bytes: &[u8]) -> Hash {
    let mut state = bindings::sha256_ctx::default();
    // SAFETY: There is room for a state.
    unsafe { bindings::sha256_init(&mut state) };
    for piece in bytes.chunks(HASH_PIECE) {
        // SAFETY: The state was set up; address and length are those of a slice.
        unsafe { bindings::__sha256_update(&mut state.ctx, piece.as_ptr(), piece.len()) };
        signal::yield_now();
    }
    let mut hash = [0; 32];
    // SAFETY: The state was set up, and there is room for a hash.
    unsafe { bindings::sha256_final(&mut state, hash.as_mut_ptr()) };
    hash
}

/// Bytes that are hashed between two times that others may run.
const HASH_PIECE: usize = 64 * 1024;

/// What its manifest says.
struct Declared {
    name: Name,
    version: Version,
    capabilities: Capabilities,
    /// The most that can be asked for, by limit; 0 where it says nothing.
    limits: [u64; limits::COUNT],
}

impl Identity {
    /// A file of which nothing is known but its bytes.
    pub(crate) fn of(envelope: &Envelope<'_>) -> Self {
        let sha256 = hash(envelope.signed);
        Self { sha256, verdict: Verdict::Unsigned, signer: SignerName::new(), declared: None }
    }

    /// Looks at signature and manifest, and sees that the module may be loaded as far as they tell.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED`, `ENOKEY`, `ENOEXEC`, `EDQUOT`, `ENOMEM`, with words in `log`.
    pub(crate) fn establish(&mut self, envelope: &Envelope<'_>, log: &mut LogBuffer) -> Result {
        let mode = Mode::current();
        // A denied module is not worth a look at anything else.
        policy::check(&self.sha256, None, log)?;
        match self.check_signature(envelope, log) {
            Err(error) if mode == Mode::Enforce || error == ENOMEM => return Err(error),
            Err(_) if mode == Mode::Warn && policy::is_news(&self.sha256) => {
                kernel::pr_warn!("module {} is not signed by a key that counts\n", Hex(&self.sha256));
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
        policy::check(&self.sha256, self.declared.as_ref().map(|it| (&it.name, it.version)), log)
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
            let _ = write!(log, "the manifest wants interface {}, this is {KWASMI_ABI}", manifest.abi);
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
            name: policy::name_key(manifest.name),
            version: manifest.version,
            capabilities: manifest.capabilities,
            limits,
        });
        Ok(())
    }

    /// Sees that it may be started, or an instance may run for the first time, which may have changed since it was loaded: it was
    /// denied since, or the kernel locked down.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED`, with words in `log`.
    pub(crate) fn check_start(&self, log: &mut LogBuffer) -> Result {
        let counts = matches!(self.verdict, Verdict::Signed | Verdict::KernelKey);
        if !counts && Mode::current() == Mode::Enforce {
            let _ = log.write_str("it is not signed by a key that counts");
            return Err(code::EKEYREJECTED);
        }
        policy::check(&self.sha256, self.declared.as_ref().map(|it| (&it.name, it.version)), log)
    }

    /// Brings what a caller asks for in line with what the manifest says.
    ///
    /// # Errors
    ///
    /// `EDQUOT`, with words in `log`.
    pub(crate) fn restrict(&self, limits: &mut Chosen, log: &mut LogBuffer) -> Result {
        match &self.declared {
            Some(declared) => limits.restrict(&declared.limits, log),
            None => Ok(()),
        }
    }

    /// What it may be handed or ask for.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.declared.as_ref().map_or(Capabilities::ALL, |it| it.capabilities)
    }

    /// Of the module without its signature.
    pub(crate) fn sha256(&self) -> &Hash {
        &self.sha256
    }

    /// What came of looking at the signature.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Who signed; empty if nobody did who counts.
    pub(crate) fn signer(&self) -> &[u8] {
        &self.signer
    }

    /// The manifest's name; empty if there is none.
    pub(crate) fn name_bytes(&self) -> &[u8] {
        let name = self.declared.as_ref().map_or([].as_slice(), |it| &it.name);
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.get(..len).unwrap_or(name)
    }

    /// The manifest's version.
    pub(crate) fn version(&self) -> Version {
        self.declared.as_ref().map_or([0; 3], |it| it.version)
    }

    /// `KWASMI_IOC_MODULE`.
    pub(crate) fn tell(&self) -> kwasmi_module {
        let mut answer = kwasmi_module {
            sha256: self.sha256,
            verdict: self.verdict.number(),
            flags: if self.declared.is_some() { KWASMI_MODULE_MANIFEST } else { 0 },
            version: self.version(),
            reserved: 0,
            name: [0; 72],
            signer: [0; 128],
        };
        // Of both, the last byte stays a NUL.
        for (place, byte) in answer.name.iter_mut().take(71).zip(self.name_bytes()) {
            *place = *byte as c_char;
        }
        for (place, byte) in answer.signer.iter_mut().take(127).zip(self.signer()) {
            *place = *byte as c_char;
        }
        answer
    }
}
