// SPDX-License-Identifier: GPL-2.0

//! Modules: code with its identity, behind a module fd.

use crate::{
    code::{
        cache::{
            CachedCode,
            EngineChoice, //
        },
        Code, //
    },
    counters,
    ffi::NotCompiled,
    limits::{
        self,
        CallLimits,
        UNLIMITED, //
    },
    log::LogBuffer,
    policy::{
        audit::{
            self,
            Event, //
        },
        identity::Identity, //
    },
    signing::envelope::Envelope,
    uapi::{
        KWASMI_LIMIT_FUEL,
        KWASMI_LIMIT_TOTAL_MODULES, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code::EOPNOTSUPP,
    prelude::*,
    sync::Arc, //
};

/// Loaded module. It exists until its last fd is closed and its last instance is dropped.
pub(crate) struct Module {
    code: CachedCode,
    identity: Arc<Identity>,
    /// Reason why the load did not ask for machine code.
    not_compiled: Option<NotCompiled>,
    _counted: Counted,
}

/// Guard that counts one module in [`counters::MODULES`].
struct Counted;

impl Counted {
    /// Counts one more module.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if `KWASMI_LIMIT_TOTAL_MODULES` is reached; `log` gets the limit.
    fn new(log: &mut LogBuffer) -> Result<Self> {
        let most = limits::ceiling(KWASMI_LIMIT_TOTAL_MODULES);
        if counters::MODULES.add_below(1, most) {
            return Ok(Self);
        }
        log.reached(KWASMI_LIMIT_TOTAL_MODULES, most);
        Err(EDQUOT)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        counters::MODULES.sub(1);
    }
}

impl Module {
    /// Loads the module in `envelope` within `limits`, for `engine`. Reuses the translation of a
    /// byte-identical module if there is one.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` if the module is not valid or not covered by its manifest; `EDQUOT` if a limit is
    /// exceeded; `ENOMEM`; `EINTR` if a fatal signal is pending; `EIO` if the engine failed. `log`
    /// gets the reason. `EOPNOTSUPP` if `engine` is the compiler, which cannot compile the module.
    pub(crate) fn load(
        envelope: &Envelope<'_>,
        identity: Arc<Identity>,
        limits: &CallLimits,
        engine: EngineChoice,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        if engine == EngineChoice::Compiler && !limits::has_compiler() {
            let _ = write!(log, "cannot be compiled: {}", NotCompiled::Off.text());
            return Err(EOPNOTSUPP);
        }
        let has_fuel_limit = limits.get(KWASMI_LIMIT_FUEL) != UNLIMITED;
        let engine = match engine {
            EngineChoice::Compiler if has_fuel_limit => {
                let _ = write!(log, "cannot be compiled: {}", NotCompiled::Fuel.text());
                return Err(EOPNOTSUPP);
            }
            EngineChoice::Auto(_) if has_fuel_limit => EngineChoice::Interpreter(NotCompiled::Fuel),
            engine => engine,
        };
        let counted = Counted::new(log)?;
        let code = CachedCode::find_or_load(identity.sha256(), limits, engine, |not_compiled| {
            Code::load(envelope, limits, not_compiled, log)
        })?;
        if engine == EngineChoice::Compiler && !code.is_compiled() {
            code.with_reason(|reason| {
                let _ = write!(log, "cannot be compiled: {}", crate::log::text(reason));
            });
            return Err(EOPNOTSUPP);
        }
        Ok(Arc::new(
            Self {
                code,
                identity,
                not_compiled: engine.not_compiled(),
                _counted: counted,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Returns hash, signer and manifest of the module.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns a reference to hash, signer and manifest of the module.
    pub(crate) fn shared_identity(&self) -> Arc<Identity> {
        self.identity.clone()
    }

    /// Returns the code of the module.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Checks that an instance that was already started may run for the first time.
    ///
    /// # Errors
    ///
    /// `EKEYREJECTED` if the policy rejects the module now; `log` gets the reason.
    pub(crate) fn check_run(&self, log: &mut LogBuffer) -> Result {
        self.identity
            .check_start(log)
            .inspect_err(|error| audit::record(Event::Run, &self.identity, Some(*error)))
    }

    /// Returns true if the load found existing code of the same bytes.
    pub(crate) fn is_shared(&self) -> bool {
        self.code.was_cached()
    }

    /// Calls `read` with the reason why the module was not compiled; with no bytes if it was.
    pub(crate) fn with_interpreter_reason<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self.not_compiled {
            _ if self.code.is_compiled() => read(&[]),
            Some(reason) => read(reason.text().as_bytes()),
            None => self.code.with_reason(read),
        }
    }
}
