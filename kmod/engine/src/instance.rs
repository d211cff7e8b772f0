// SPDX-License-Identifier: GPL-2.0

//! Instances: one program, from its start to how it ended.

#[cfg(feature = "object")]
use crate::compiled::guest::Guest;
use crate::{
    ffi::{
        Ending,
        InstanceLimits,
        Limit,
        Trap, //
    },
    host::{
        End,
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
        Stop, //
        abi::Errno,
    },
};
#[cfg(feature = "object")]
use alloc::boxed::Box;
use alloc::{
    string::String,
    vec::Vec, //
};
use core::fmt::{
    self,
    Display, //
};
use wasmi::{
    Caller, Error, Func, Memory, ResourceLimiter, ResumableCall, Store, TrapCode, Val,
    errors::{
        MemoryError,
        TableError, //
    },
};
use wasmi_core::LimiterError;

/// The fuel of one slice, about as many instructions: well under a millisecond at native speed.
const SLICE: u64 = if cfg!(feature = "fuzzing") { 1_000 } else { 100_000 };

/// The highest exit status.
const STATUS_MAX: u32 = 255;

/// The most arguments of a host function.
pub(crate) const ARGS_MAX: usize = 9;

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
pub(crate) struct Call {
    function: Function,
    args: [u64; ARGS_MAX],
}

/// A quantity with a limit.
#[derive(Clone, Copy, Debug, Default)]
struct Quantity {
    now: u64,
    peak: u64,
    /// What was added last, for the case that it fails after all.
    growth: u64,
}

impl Quantity {
    /// Counts a growth from `current` to `desired`; whether that is within `max`.
    fn grow(&mut self, current: usize, desired: usize, max: u64) -> bool {
        let growth = desired.saturating_sub(current) as u64;
        let now = self.now.saturating_add(growth);
        if now > max {
            return false;
        }
        *self = Self { now, peak: self.peak.max(self.now), growth };
        true
    }

    /// The last growth did not happen.
    fn fail(&mut self) {
        self.now = self.now.saturating_sub(core::mem::take(&mut self.growth));
    }

    /// The most that it ever was.
    fn peak(self) -> u64 {
        self.peak.max(self.now)
    }
}

/// What host functions find in the store.
pub struct State<H> {
    pub(crate) wasi: wasi::Context<H>,
    memory: Option<Memory>,
    pub(crate) limits: InstanceLimits,
    memory_bytes: Quantity,
    table_elements: Quantity,
    /// Why a growth was denied: the guest is over.
    denied: Option<Denied>,
    pub(crate) interrupted: Option<Call>,
    pub(crate) host_calls: u64,
    last_call: Option<Function>,
}

impl<H> State<H> {
    /// The state of a guest that has done nothing.
    fn new(wasi: wasi::Context<H>, limits: InstanceLimits) -> Self {
        Self {
            wasi,
            memory: None,
            limits,
            memory_bytes: Quantity::default(),
            table_elements: Quantity::default(),
            denied: None,
            interrupted: None,
            host_calls: 0,
            last_call: None,
        }
    }
}

/// Why a growth was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// It would have exceeded a limit.
    Limit(Limit),
    /// It came at the end of a slice, for which `table.grow` cannot be paused: wasmi 2.0.0 does not note where it is then,
    /// and would go on with what comes before it once more.
    Pause,
}

impl<H> State<H> {
    fn deny<T>(&mut self, why: Denied) -> Result<T, LimiterError> {
        self.denied = Some(why);
        Err(LimiterError::ResourceLimiterDeniedAllocation)
    }
}

/// Growing beyond what the module itself declares fails in the guest, as the specification says; growing beyond a limit, or
/// what there is, ends the guest.
impl<H: Send + Sync + 'static> ResourceLimiter for State<H> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if self.memory_bytes.grow(current, desired, self.limits.memory) {
            Ok(true)
        } else {
            self.deny(Denied::Limit(Limit::Memory))
        }
    }

    fn memory_grow_failed(&mut self, error: &MemoryError) -> Result<(), LimiterError> {
        self.memory_bytes.fail();
        match error {
            MemoryError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            _ => Ok(()),
        }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if self.table_elements.grow(current, desired, self.limits.table) {
            Ok(true)
        } else {
            self.deny(Denied::Limit(Limit::Table))
        }
    }

    fn table_grow_failed(&mut self, error: &TableError) -> Result<(), LimiterError> {
        self.table_elements.fail();
        match error {
            TableError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            TableError::OutOfFuel { .. } => self.deny(Denied::Pause),
            _ => Ok(()),
        }
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

/// Calls a function for a guest; the cells are as those of a [`Direct`].
pub(crate) fn host_function<H: Host + 'static>(
    mut caller: Caller<'_, State<H>>,
    function: Direct<H>,
    cells: &mut [u64],
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
    function(state, bytes, cells)?;
    Ok(errno(cells).into())
}

/// What a [`Direct`] came to.
fn errno(cells: &[u64]) -> u16 {
    cells.first().and_then(|errno| u16::try_from(*errno).ok()).unwrap_or(Errno::NoSys as u16)
}

/// The whole of a host function, with the guest's default memory, and cells of which each is an argument; there may be more of them.
/// The first of them becomes the result. So does wasmi call it for a guest whose default memory is the one that it exports as `memory`.
pub(crate) type Direct<H> = fn(&mut State<H>, &mut [u8], &mut [u64]) -> Result<(), Error>;

/// What a [`Direct`] does with its `body`: calls it if the guest may go on.
#[inline(always)]
pub(crate) fn call_direct<H: Host + 'static>(
    state: &mut State<H>,
    memory: &mut [u8],
    cells: &mut [u64],
    function: Function,
    body: impl FnOnce(&mut wasi::Context<H>, &mut [u8], &[u64]) -> Result<Errno, Stop>,
) -> Result<(), Error> {
    // It would take centuries to overflow.
    state.host_calls = state.host_calls.wrapping_add(1);
    state.last_call = Some(function);
    let result = match if state.wasi.is_look_due() { look(state) } else { Ok(()) } {
        Ok(()) => body(&mut state.wasi, memory, cells),
        Err(stop) => Err(stop),
    };
    match result {
        Ok(errno) => {
            if let Some(result) = cells.first_mut() {
                *result = u64::from(errno as u16);
            }
            Ok(())
        }
        Err(stop) => Err(stopped(state, stop, function, cells)),
    }
}

/// Whether the guest may go on.
#[cold]
fn look<H: Host>(state: &mut State<H>) -> Result<(), Stop> {
    state.wasi.check_fuel()?;
    if state.wasi.host.checkpoint() == Pause::Continue { Ok(()) } else { Err(Stop::Interrupted) }
}

/// The error that ends, or interrupts, a guest in a host call.
#[cold]
fn stopped<H>(state: &mut State<H>, stop: Stop, function: Function, args: &[u64]) -> Error {
    if stop == Stop::Interrupted {
        let mut call = Call { function, args: [0; ARGS_MAX] };
        for (place, arg) in call.args.iter_mut().zip(args) {
            *place = *arg;
        }
        state.interrupted = Some(call);
    }
    Error::host(stop)
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
pub enum Instance<H: Host + 'static> {
    /// The interpreter runs it.
    Interpreted(Interpreted<H>),
    /// It runs as machine code.
    #[cfg(feature = "object")]
    Compiled(Box<Guest<H>>),
}

impl<H: Host + Send + Sync + 'static> Instance<H> {
    /// Instantiates `module`: allocates and fills its memories and tables, runs nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not possible within `limits`, or a segment does not fit.
    pub fn new(module: &Module<H>, wasi: wasi::Context<H>, limits: InstanceLimits) -> Result<Self, Refusal> {
        // Compiled code counts no fuel.
        #[cfg(feature = "object")]
        if let Some(native) = module.native.as_ref().filter(|_| limits.fuel == u64::MAX) {
            let guest = Guest::new(native.clone(), State::new(wasi, limits))?;
            return Ok(Self::Compiled(Box::new(guest)));
        }
        Interpreted::new(module, wasi, limits).map(Self::Interpreted)
    }

    /// What the guest exports, and where that is, to compare it with what another engine leaves behind.
    #[cfg(feature = "fuzzing")]
    pub fn inspect(&self) -> (&Store<State<H>>, wasmi::Instance) {
        let Self::Interpreted(instance) = self;
        (&instance.store, instance.exports)
    }

    /// What the guest has used so far.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Interpreted(instance) => instance.usage(),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.usage(),
        }
    }

    /// Words about how the guest ended: a trap, or where it was.
    pub fn words(&self) -> impl Display {
        let (state, trap, is_in_start) = match self {
            Self::Interpreted(instance) => {
                (instance.store.data(), instance.trap.as_deref(), instance.has_start && instance.entry == 0)
            }
            #[cfg(feature = "object")]
            Self::Compiled(guest) => (guest.state(), guest.trap(), guest.is_in_start()),
        };
        let place = Place { is_in_start, host_calls: state.host_calls, last_call: state.last_call };
        fmt::from_fn(move |f| match trap {
            Some(trap) => f.write_str(trap),
            None => place.fmt(f),
        })
    }

    /// The world around the guest.
    pub fn host_mut(&mut self) -> &mut H {
        match self {
            Self::Interpreted(instance) => instance.host_mut(),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.host_mut(),
        }
    }

    /// Runs the guest until it ends or the host wants a pause; tells `report` after each slice, and if there is none, what it
    /// has used.
    pub fn run(&mut self, report: impl FnMut(Usage)) -> Outcome {
        match self {
            Self::Interpreted(instance) => instance.run(report),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.run(report),
        }
    }
}

/// A program that the interpreter runs.
pub struct Interpreted<H: Host + 'static> {
    store: Store<State<H>>,
    #[cfg(feature = "fuzzing")]
    exports: wasmi::Instance,
    entries: Vec<Func>,
    has_start: bool,
    /// The function of `entries` that it is in, or was in last.
    entry: usize,
    progress: Progress,
    fuel_used: u64,
    trap: Option<String>,
}

/// What a guest has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel, about one for each instruction.
    pub fuel: u64,
    /// The most bytes of linear memory.
    pub memory_peak: u64,
}

/// Where a guest was when it ended: how far that is known outside of the interpreter.
struct Place {
    is_in_start: bool,
    host_calls: u64,
    last_call: Option<Function>,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_in_start { "in the start function" } else { "in _start" })?;
        match (self.host_calls, self.last_call) {
            (1, Some(last)) => write!(f, ", after one host call, {}", last.name()),
            (calls, Some(last)) => write!(f, ", after {calls} host calls, the last one {}", last.name()),
            (_, None) => f.write_str(", before any host call"),
        }
    }
}

impl<H: Host + Send + Sync + 'static> Interpreted<H> {
    /// Instantiates `module`: allocates and fills its memories and tables, runs nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not possible within `limits`, or a segment does not fit.
    pub fn new(module: &Module<H>, wasi: wasi::Context<H>, limits: InstanceLimits) -> Result<Self, Refusal> {
        let state = State::new(wasi, limits);
        let mut store = Store::new(&module.engine, state);
        store.limiter(|state| state);
        // Growing what a module asks for from the start costs fuel as well.
        let instance = store
            .set_fuel(u64::MAX)
            .and_then(|()| module.linker.instantiate_and_start(&mut store, &module.module))
            .map_err(|error| match store.data().denied {
                Some(Denied::Limit(limit)) => Refusal::limited(limit, String::from("wanted from the start")),
                _ => Refusal::from(alloc::format!("cannot be instantiated: {error}")),
            })?;

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
        let has_start = module.has_start;
        Ok(Self {
            store,
            #[cfg(feature = "fuzzing")]
            exports: instance,
            entries,
            has_start,
            entry: 0,
            progress: Progress::Call(0),
            fuel_used: 0,
            trap: None,
        })
    }

    /// What the guest has used so far.
    pub fn usage(&self) -> Usage {
        let state = self.store.data();
        let fuel = self.fuel_used.saturating_add(state.wasi.fuel()).min(state.limits.fuel);
        Usage { fuel, memory_peak: state.memory_bytes.peak() }
    }

    /// The world around the guest.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.store.data_mut().wasi.host
    }

    /// Runs the guest until it ends or the host wants a pause; tells `report` after each slice, and if there is none, what it
    /// has used.
    pub fn run(&mut self, mut report: impl FnMut(Usage)) -> Outcome {
        // What happened since it ran last counts before anything else: it may be the last chance, if it sleeps next. Only a
        // pause waits for the end of a slice, so that there is one.
        if let Some(ended @ Outcome::Ended(_)) = self.pause() {
            report(self.usage());
            return ended;
        }
        loop {
            let progress = core::mem::replace(&mut self.progress, Progress::Ended(FAULT));
            self.progress = self.slice(progress);
            report(self.usage());
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
            Pause::End(end) => {
                self.progress = Progress::Ended(end);
                Some(Outcome::Ended(end))
            }
        }
    }

    /// Runs one slice. Host calls cost fuel, too: what they have cost is taken off before the next one.
    fn slice(&mut self, progress: Progress) -> Progress {
        let state = self.store.data_mut();
        // What the last slice has come to in host calls, however it has ended.
        self.fuel_used = self.fuel_used.saturating_add(state.wasi.take_fuel());
        let left = state.limits.fuel.saturating_sub(self.fuel_used);
        state.wasi.refuel(left);
        let needed = match &progress {
            Progress::Within(_, ResumableCall::OutOfFuel(call)) => call.required_fuel(),
            _ => 1,
        };
        if needed > left {
            return Progress::Ended(End::limited(Limit::Fuel));
        }
        let given = SLICE.min(left).max(needed);
        if self.store.set_fuel(given).is_err() {
            return Progress::Ended(FAULT);
        }
        let (entry, result) = match progress {
            Progress::Call(entry) => {
                let Some(function) = self.entries.get(entry).copied() else {
                    return Progress::Ended(End::exited(0));
                };
                self.entry = entry;
                (entry, function.call_resumable(&mut self.store, &[], &mut []))
            }
            Progress::Within(entry, ResumableCall::OutOfFuel(call)) => (entry, call.resume(&mut self.store, &mut [])),
            Progress::Within(entry, ResumableCall::HostTrap(call)) => match self.call_again() {
                Some(Ok(errno)) => {
                    let errno = Val::I32(i32::from(errno.cast_signed()));
                    (entry, call.resume(&mut self.store, &[errno], &mut []))
                }
                Some(Err(Stop::Interrupted)) => return Progress::Within(entry, ResumableCall::HostTrap(call)),
                Some(Err(Stop::End(end))) => return Progress::Ended(end),
                None => return Progress::Ended(FAULT),
            },
            Progress::Within(_, ResumableCall::Finished) | Progress::Ended(_) => return Progress::Ended(FAULT),
        };
        let unused = self.store.get_fuel().unwrap_or(0);
        self.fuel_used = self.fuel_used.saturating_add(given.saturating_sub(unused));
        match result {
            Ok(ResumableCall::Finished) => Progress::Call(entry.saturating_add(1)),
            Ok(ResumableCall::HostTrap(call)) => match call.host_error().downcast_ref::<Stop>() {
                Some(Stop::Interrupted) => Progress::Within(entry, ResumableCall::HostTrap(call)),
                Some(Stop::End(end)) => Progress::Ended(*end),
                None => Progress::Ended(self.ended(call.host_error())),
            },
            Ok(paused) => Progress::Within(entry, paused),
            Err(error) => Progress::Ended(self.ended(&error)),
        }
    }

    /// Makes the interrupted host call again.
    fn call_again(&mut self) -> Option<Result<u16, Stop>> {
        let mut call = self.store.data_mut().interrupted.take()?;
        let (bytes, state) = match self.store.data().memory {
            Some(memory) => memory.data_and_store_mut(&mut self.store),
            None => ([].as_mut_slice(), self.store.data_mut()),
        };
        // It is counted already.
        state.host_calls = state.host_calls.wrapping_sub(1);
        match call.function.direct()(state, bytes, &mut call.args) {
            Ok(()) => Some(Ok(errno(&call.args))),
            Err(error) => error.downcast_ref().map(|stop| Err(*stop)),
        }
    }

    /// What an error means for the guest.
    fn ended(&mut self, error: &Error) -> End {
        if let Some(status) = error.i32_exit_status() {
            let (end, trap) = exited(status.cast_unsigned());
            self.trap = trap;
            return end;
        }
        let trap = match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => return End::limited(Limit::Fuel),
            Some(TrapCode::OutOfSystemMemory | TrapCode::GrowthOperationLimited) => {
                let state = self.store.data();
                match state.denied {
                    Some(Denied::Limit(limit)) => return End::limited(limit),
                    Some(Denied::Pause) => {
                        self.trap = Some(String::from("table.grow of many elements at the end of a slice"));
                        return End { ending: Ending::Trapped, code: Trap::Other as u32 };
                    }
                    None => return state.wasi.host.refused_memory(),
                }
            }
            Some(TrapCode::StackOverflow) => return End::limited(Limit::Stack),
            Some(code) => trap_of(code),
            None => Trap::Other,
        };
        self.trap = Some(alloc::format!("{error}"));
        End { ending: Ending::Trapped, code: trap as u32 }
    }
}

/// What there is no way to see.
const FAULT: End = End { ending: Ending::EngineFault, code: 0 };

/// The end of a guest that calls `proc_exit` with `status`, and the message of the trap if it is one. A status that no process
/// could have is a trap, so that a failure does not look like success.
pub(crate) fn exited(status: u32) -> (End, Option<String>) {
    if status <= STATUS_MAX {
        return (End::exited(status), None);
    }
    let trap = alloc::format!("proc_exit: exit status {status} is outside 0..={STATUS_MAX}");
    (End { ending: Ending::Trapped, code: Trap::Other as u32 }, Some(trap))
}

/// The interface's number of a trap.
pub(crate) fn trap_of(code: TrapCode) -> Trap {
    match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::MemoryBounds,
        TrapCode::TableOutOfBounds => Trap::TableBounds,
        TrapCode::IndirectCallToNull => Trap::NullElement,
        TrapCode::IntegerDivisionByZero => Trap::DivideByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::BadConversion,
        TrapCode::BadSignature => Trap::BadSignature,
        _ => Trap::Other,
    }
}
