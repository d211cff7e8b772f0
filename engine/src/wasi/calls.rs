// SPDX-License-Identifier: GPL-2.0

//! The calls that a guest makes to functions of the [table](super::table): their number, and the
//! one that was interrupted.

use super::{
    Stop, WasiCtx,
    abi::Errno,
    functions::{
        FUNCTIONS,
        FunctionId, //
    },
};
use crate::{
    guest_counters::Counters,
    host::{
        Host,
        Pause, //
    }, //
};

/// Upper bound of the number of a function's parameters.
pub(crate) const PARAMS_MAX: usize = {
    let (mut max, mut functions) = (0, FUNCTIONS);
    while let [function, rest @ ..] = functions {
        if function.params.len() > max {
            max = function.params.len();
        }
        functions = rest;
    }
    max
};

/// Call that was interrupted, to be repeated.
#[derive(Clone, Copy, Debug)]
struct Call {
    function: FunctionId,
    args: [u64; PARAMS_MAX],
}

/// Calls of one guest.
#[derive(Debug)]
pub(crate) struct Calls {
    /// Number of calls by function.
    pub(crate) counters: Counters,
    /// Function of the last call.
    pub(crate) last: Option<FunctionId>,
    interrupted: Option<Call>,
}

impl Calls {
    /// Returns the calls of a guest that has not run, which are counted in `counters`.
    pub(super) fn new(counters: Counters) -> Self {
        Self { counters, last: None, interrupted: None }
    }
}

/// Returns the result in the first of `cells`.
pub(super) fn errno(cells: &[u64]) -> u16 {
    cells.first().and_then(|errno| u16::try_from(*errno).ok()).unwrap_or(Errno::NoSys as u16)
}

impl<H: Host> WasiCtx<H> {
    /// Makes a call: `body` if the guest may continue. The first of `cells` becomes the result.
    ///
    /// # Errors
    ///
    /// [`Stop`] of `body`; [`Stop::Interrupted`] if the host wants the guest to pause or end, and
    /// [`Stop::End`] if the guest has no fuel.
    #[inline(always)]
    pub(super) fn enter(
        &mut self,
        function: FunctionId,
        memory: &mut [u8],
        cells: &mut [u64],
        body: impl FnOnce(&mut Self, &mut [u8], &[u64]) -> Result<Errno, Stop>,
    ) -> Result<(), Stop> {
        self.calls.counters.count(function);
        self.calls.last = Some(function);
        let result = match if self.is_checkpoint_due() { self.checkpoint_before_call() } else { Ok(()) } {
            Ok(()) => body(self, memory, cells),
            Err(stop) => Err(stop),
        };
        match result {
            Ok(errno) => {
                if let Some(result) = cells.first_mut() {
                    *result = u64::from(errno as u16);
                }
                Ok(())
            }
            Err(stop) => Err(self.stopped(stop, function, cells)),
        }
    }

    /// Asks the host whether the guest may continue.
    #[cold]
    fn checkpoint_before_call(&mut self) -> Result<(), Stop> {
        self.check_fuel()?;
        if self.host.checkpoint() == Pause::Continue { Ok(()) } else { Err(Stop::Interrupted) }
    }

    /// Keeps an interrupted call, to be repeated; returns `stop`.
    #[cold]
    fn stopped(&mut self, stop: Stop, function: FunctionId, args: &[u64]) -> Stop {
        if stop == Stop::Interrupted {
            let mut call = Call { function, args: [0; PARAMS_MAX] };
            for (place, arg) in call.args.iter_mut().zip(args) {
                *place = *arg;
            }
            self.calls.interrupted = Some(call);
        }
        stop
    }

    /// Forgets the interrupted call, which the engine repeats itself.
    #[cfg(feature = "object")]
    pub(crate) fn withdraw(&mut self) {
        if let Some(call) = self.calls.interrupted.take() {
            self.calls.counters.uncount(call.function);
        }
    }

    /// Repeats the interrupted call, if there is one; returns its `errno`.
    pub(crate) fn repeat(&mut self, memory: &mut [u8]) -> Option<Result<u16, Stop>> {
        let mut call = self.calls.interrupted.take()?;
        // The call has been counted.
        self.calls.counters.uncount(call.function);
        let done = call.function.entry()(self, memory, &mut call.args);
        Some(done.map(|()| errno(&call.args)))
    }
}
