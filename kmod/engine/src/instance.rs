// SPDX-License-Identifier: GPL-2.0

//! Instances: one program, from its start to how it ended.

use crate::{
    ffi::{
        Ending,
        Trap, //
    },
    host::{
        Host,
        Pause, //
    },
    module::{
        ENTRY,
        Module,
        Refusal, //
    },
    start_section,
    wasi::{
        self,
        Function,
        Interrupted, //
    },
};
use alloc::{
    string::String,
    vec::Vec, //
};
use wasmi::{
    Caller,
    Error,
    Func,
    Memory,
    ResourceLimiter,
    ResumableCall,
    Store,
    TrapCode,
    Val,
    errors::MemoryError, //
};
use wasmi_core::LimiterError;

/// The fuel of one slice, about as many instructions: well under a millisecond at native speed.
const SLICE: u64 = 100_000;

/// Host calls between two looks at whether the guest may go on: they cost the kernel more than they cost fuel. One that
/// moves many bytes counts as many.
const CALLS_PER_CHECK: u32 = 64;

/// The most arguments of a host function.
const ARGS_MAX: usize = 9;

/// The most elements of a table.
const TABLE_ELEMENTS_MAX: usize = 10_000_000;

/// What a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fuel; `u64::MAX`: no limit.
    pub fuel: u64,
    /// Bytes of one linear memory.
    pub memory: usize,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// In one word.
    pub ending: Ending,
    /// The exit status, or a [`Trap`].
    pub code: u32,
}

/// What [`Instance::run`] comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest has ended. Running it again says so again.
    Ended(End),
    /// The host wants a pause; run it again to go on.
    Interrupted,
}

/// A host call that was interrupted, to be made again.
#[derive(Clone, Copy, Debug)]
struct Call {
    function: Function,
    args: [u64; ARGS_MAX],
    len: usize,
}

/// What host functions find in the store.
pub struct State<H> {
    wasi: wasi::Context<H>,
    memory: Option<Memory>,
    limits: Limits,
    memory_bytes: usize,
    memory_peak: usize,
    /// The last growth that was allowed.
    growth: usize,
    interrupted: Option<Call>,
    calls: u32,
}

impl<H: Send + Sync + 'static> ResourceLimiter for State<H> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        if desired > self.limits.memory || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.growth = desired.saturating_sub(current);
        self.memory_peak = self.memory_peak.max(self.memory_bytes);
        self.memory_bytes = self.memory_bytes.saturating_add(self.growth);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: &MemoryError) -> Result<(), LimiterError> {
        self.memory_bytes = self.memory_bytes.saturating_sub(core::mem::take(&mut self.growth));
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }
}

/// Calls a preview 1 function for a guest.
pub(crate) fn host_function<H: Host>(
    mut caller: Caller<'_, State<H>>,
    function: Function,
    args: &[u64],
) -> Result<u32, Error> {
    let memory = match caller.data().memory {
        Some(memory) => Some(memory),
        None => {
            let memory = caller.get_export("memory").and_then(wasmi::Extern::into_memory);
            caller.data_mut().memory = memory;
            memory
        }
    };
    let (bytes, state) = match memory {
        Some(memory) => memory.data_and_store_mut(&mut caller),
        None => ([].as_mut_slice(), caller.data_mut()),
    };
    state.calls = state.calls.saturating_add(1).saturating_add(state.wasi.take_work());
    let is_due = state.calls >= CALLS_PER_CHECK;
    if is_due {
        state.calls = 0;
    }
    let result = if is_due && state.wasi.host.checkpoint() != Pause::Continue {
        Err(Interrupted)
    } else {
        wasi::call(&mut state.wasi, bytes, function, args)
    };
    match result {
        Ok(errno) => Ok(u32::from(errno as u16)),
        Err(Interrupted) => {
            let mut call = Call { function, args: [0; ARGS_MAX], len: args.len() };
            for (place, arg) in call.args.iter_mut().zip(args) {
                *place = *arg;
            }
            state.interrupted = Some(call);
            Err(Error::host(Interrupted))
        }
    }
}

/// Where a guest stands.
enum Progress {
    /// This function of [`Instance::entries`] is next.
    Call(usize),
    /// In the middle of one.
    Within(usize, ResumableCall),
    /// Over.
    Ended(End),
}

/// One program.
pub struct Instance<H: Host + 'static> {
    store: Store<State<H>>,
    entries: Vec<Func>,
    progress: Progress,
    fuel_used: u64,
    trap: Option<String>,
}

impl<H: Host + Send + Sync + 'static> Instance<H> {
    /// Instantiates `module`: allocates and fills its memories and tables, runs nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not possible within `limits`, or a segment does not fit.
    pub fn new(module: &Module<H>, wasi: wasi::Context<H>, limits: Limits) -> Result<Self, Refusal> {
        let refuse = |error: Error| Refusal::from(alloc::format!("cannot be instantiated: {error}"));
        let state = State {
            wasi,
            memory: None,
            limits,
            memory_bytes: 0,
            memory_peak: 0,
            growth: 0,
            interrupted: None,
            calls: 0,
        };
        let mut store = Store::new(&module.engine, state);
        store.limiter(|state| state);
        // Growing what a module asks for from the start costs fuel as well.
        store.set_fuel(u64::MAX).map_err(refuse)?;
        let instance = module.linker.instantiate_and_start(&mut store, &module.module).map_err(refuse)?;

        let names = module.has_start.then_some(start_section::EXPORT).into_iter().chain([ENTRY]);
        let mut entries = Vec::new();
        for name in names {
            let function = instance
                .get_func(&store, name)
                .ok_or_else(|| Refusal::from(alloc::format!("function {name} is not exported")))?;
            entries.push(function);
        }
        let memory = instance.get_memory(&store, "memory");
        store.data_mut().memory = memory;
        Ok(Self { store, entries, progress: Progress::Call(0), fuel_used: 0, trap: None })
    }

    /// Fuel used so far, about one for each instruction.
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// The most bytes of linear memory so far.
    pub fn memory_peak(&self) -> usize {
        let state = self.store.data();
        state.memory_peak.max(state.memory_bytes)
    }

    /// Words about a trap.
    pub fn trap(&self) -> Option<&str> {
        self.trap.as_deref()
    }

    /// The world around the guest.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.store.data_mut().wasi.host
    }

    /// Runs the guest until it ends or the host wants a pause.
    pub fn run(&mut self) -> Outcome {
        // What happened since it ran last counts before anything else: it may be the last chance, if it sleeps next. Only a
        // pause waits for the end of a slice, so that there is one.
        if let Some(ended @ Outcome::Ended(_)) = self.pause() {
            return ended;
        }
        loop {
            let progress = core::mem::replace(&mut self.progress, Progress::Ended(FAULT));
            self.progress = self.slice(progress);
            if let Some(outcome) = self.pause() {
                return outcome;
            }
        }
    }

    /// Asks the host whether to go on; if not, what to come back with.
    fn pause(&mut self) -> Option<Outcome> {
        if let Progress::Ended(end) = self.progress {
            return Some(Outcome::Ended(end));
        }
        match self.host_mut().checkpoint() {
            Pause::Continue => None,
            Pause::Interrupt => Some(Outcome::Interrupted),
            Pause::End(ending) => {
                let end = End { ending, code: 0 };
                self.progress = Progress::Ended(end);
                Some(Outcome::Ended(end))
            }
        }
    }

    /// Runs one slice.
    fn slice(&mut self, progress: Progress) -> Progress {
        let left = self.store.data().limits.fuel.saturating_sub(self.fuel_used);
        let needed = match &progress {
            Progress::Within(_, ResumableCall::OutOfFuel(call)) => call.required_fuel(),
            _ => 1,
        };
        if needed > left {
            return Progress::Ended(End { ending: Ending::OutOfFuel, code: 0 });
        }
        let given = SLICE.min(left).max(needed);
        if self.store.set_fuel(given).is_err() {
            return Progress::Ended(FAULT);
        }
        let (entry, result) = match progress {
            Progress::Call(entry) => {
                let Some(function) = self.entries.get(entry).copied() else {
                    return Progress::Ended(exited(0));
                };
                (entry, function.call_resumable(&mut self.store, &[], &mut []))
            }
            Progress::Within(entry, ResumableCall::OutOfFuel(call)) => (entry, call.resume(&mut self.store, &mut [])),
            Progress::Within(entry, ResumableCall::HostTrap(call)) => match self.call_again() {
                Some(Ok(errno)) => {
                    let errno = Val::I32(i32::from(errno.cast_signed()));
                    (entry, call.resume(&mut self.store, &[errno], &mut []))
                }
                Some(Err(Interrupted)) => return Progress::Within(entry, ResumableCall::HostTrap(call)),
                None => return Progress::Ended(FAULT),
            },
            Progress::Within(_, ResumableCall::Finished) | Progress::Ended(_) => return Progress::Ended(FAULT),
        };
        let unused = self.store.get_fuel().unwrap_or(0);
        self.fuel_used = self.fuel_used.saturating_add(given.saturating_sub(unused));
        match result {
            Ok(ResumableCall::Finished) => Progress::Call(entry.saturating_add(1)),
            Ok(ResumableCall::HostTrap(call)) if call.host_error().downcast_ref::<Interrupted>().is_none() => {
                Progress::Ended(self.ended(call.host_error()))
            }
            Ok(paused) => Progress::Within(entry, paused),
            Err(error) => Progress::Ended(self.ended(&error)),
        }
    }

    /// Makes the interrupted host call again.
    fn call_again(&mut self) -> Option<Result<u16, Interrupted>> {
        let call = self.store.data_mut().interrupted?;
        let (bytes, state) = match self.store.data().memory {
            Some(memory) => memory.data_and_store_mut(&mut self.store),
            None => ([].as_mut_slice(), self.store.data_mut()),
        };
        let args = call.args.get(..call.len).unwrap_or(&[]);
        let result = wasi::call(&mut state.wasi, bytes, call.function, args);
        if result != Err(Interrupted) {
            state.interrupted = None;
        }
        Some(result.map(|errno| errno as u16))
    }

    /// What an error means for the guest.
    fn ended(&mut self, error: &Error) -> End {
        if let Some(status) = error.i32_exit_status() {
            return exited(status.cast_unsigned());
        }
        let code = match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => {
                return End { ending: Ending::OutOfFuel, code: 0 };
            }
            Some(TrapCode::OutOfSystemMemory) => {
                return End { ending: Ending::OutOfMemory, code: 0 };
            }
            Some(TrapCode::UnreachableCodeReached) => Trap::Unreachable,
            Some(TrapCode::MemoryOutOfBounds) => Trap::MemoryBounds,
            Some(TrapCode::TableOutOfBounds) => Trap::TableBounds,
            Some(TrapCode::IndirectCallToNull) => Trap::NullElement,
            Some(TrapCode::IntegerDivisionByZero) => Trap::DivideByZero,
            Some(TrapCode::IntegerOverflow) => Trap::IntegerOverflow,
            Some(TrapCode::BadConversionToInteger) => Trap::BadConversion,
            Some(TrapCode::BadSignature) => Trap::BadSignature,
            Some(TrapCode::StackOverflow) => Trap::StackOverflow,
            Some(TrapCode::GrowthOperationLimited) => Trap::GrowthLimited,
            _ => Trap::Other,
        };
        self.trap = Some(alloc::format!("{error}"));
        End { ending: Ending::Trapped, code: code as u32 }
    }
}

/// What there is no way to see.
const FAULT: End = End { ending: Ending::EngineFault, code: 0 };

const fn exited(status: u32) -> End {
    End { ending: Ending::Exited, code: status }
}
