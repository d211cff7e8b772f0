// SPDX-License-Identifier: GPL-2.0

//! Guest that the interpreter runs, in slices of fuel, from instantiation to its end.

use crate::{
    ffi::{
        Ending,
        INVOKE_MAX,
        Limit,
        NumberType,
        Status,
        Trap, //
    },
    host::{
        End,
        Host,
        Pause, //
    },
    interface::{
        ENTRY,
        Item, //
    },
    invoke::{
        Callable,
        Functions,
        INITIALIZE,
        Invocation,
        is_reserved,
        unknown, //
    },
    outcome::{
        Entry,
        Outcome,
        Usage,
        exited,
        trap_of, //
    },
    refusal::Refusal,
    start_section,
    state::{
        Denied,
        State, //
    },
    wasi::Stop,
};
use alloc::{
    collections::BTreeSet,
    string::String,
    vec::Vec, //
};
use wasmi::{
    Engine,
    Error,
    ExternType,
    F32,
    F64,
    Func,
    FuncType,
    Linker,
    ResumableCall,
    Store,
    TrapCode,
    Val,
    ValType, //
};

/// Fuel of one slice, about one unit an instruction. A slice takes well under a millisecond at
/// native speed.
pub(crate) const SLICE: u64 = if cfg!(feature = "fuzzing") { 1_000 } else { 100_000 };

/// Progress of a guest.
enum Progress {
    /// The function with this index in [`Instance::entries`] runs next.
    Call(usize),
    /// The function with this index is paused.
    Within(usize, ResumableCall),
    /// The reactor waits for its next call.
    Idle,
    /// The guest has ended.
    Ended(End),
}

/// Guest program that the interpreter runs.
pub struct Interpreted<H: Host + 'static> {
    store: Store<State<H>>,
    #[cfg(feature = "fuzzing")]
    exports: wasmi::Instance,
    entries: Vec<(Func, Entry)>,
    /// Index in `entries` of the function that runs, or ran last.
    entry: usize,
    /// Arguments of [`Entry::Invoked`].
    params: Vec<Val>,
    /// Results of [`Entry::Invoked`], once it has returned.
    results: Vec<Val>,
    has_returned: bool,
    /// Exported functions by their numbers, with their types; `None` for those that callers cannot
    /// call. `None` if the instance is no reactor.
    callables: Option<Vec<Option<(Func, FuncType)>>>,
    progress: Progress,
    fuel_used: u64,
    trap: Option<String>,
}

impl<H: Host + Send + Sync + 'static> Interpreted<H> {
    /// Instantiates a translated module: allocates and initialises its memories and tables. Runs no
    /// code of the guest.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the module exceeds the limits in `state`, if no memory is available, or if a
    /// segment is out of bounds.
    pub(crate) fn new(
        (engine, module, linker): (&Engine, &wasmi::Module, &Linker<State<H>>),
        (has_start, reexports): (bool, &[String]),
        state: State<H>,
        functions: Functions<'_>,
    ) -> Result<Self, Refusal> {
        if !matches!(functions, Functions::Program) {
            check_initialize(module)?;
        }
        let (params, results) = match functions.invocation() {
            Some(invocation) => values(module, invocation)?,
            None => (Vec::new(), Vec::new()),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| state);
        // Allocating the initial memories and tables consumes fuel as well.
        let instance = store
            .set_fuel(u64::MAX)
            .and_then(|()| linker.instantiate_and_start(&mut store, module))
            .map_err(|error| match store.data().denied() {
                Some(Denied::Limit(limit)) => Refusal::limited(limit, String::from("at instantiation")),
                _ => Refusal::from(alloc::format!("cannot be instantiated: {error}")),
            })?;

        let mut entries = Vec::new();
        for entry in Entry::all(has_start, &functions) {
            let name = match (entry, functions.invocation()) {
                (Entry::Start, _) => start_section::EXPORT,
                (Entry::Initialize, _) => INITIALIZE,
                (Entry::Invoked, Some(invocation)) => invocation.name,
                (Entry::Invoked, None) | (Entry::Program, _) => ENTRY,
            };
            match instance.get_func(&store, name) {
                Some(function) => entries.push((function, entry)),
                None if entry == Entry::Initialize => {}
                None => return Err(Refusal::from(alloc::format!("function {name} is not exported"))),
            }
        }
        let callables = match functions {
            Functions::Reactor => Some(callables(module, reexports, &instance, &store)),
            _ => None,
        };
        let memory = instance.get_memory(&store, "memory");
        store.data_mut().memory = memory;
        Ok(Self {
            store,
            #[cfg(feature = "fuzzing")]
            exports: instance,
            entries,
            entry: 0,
            params,
            results,
            has_returned: false,
            callables,
            progress: Progress::Call(0),
            fuel_used: 0,
            trap: None,
        })
    }

    /// Returns the state of the guest.
    pub(crate) fn state(&self) -> &State<H> {
        self.store.data()
    }

    /// Returns the message of the trap, if there was one.
    pub(crate) fn trap(&self) -> Option<&str> {
        self.trap.as_deref()
    }

    /// Returns the store and the exports.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn inspect(&self) -> (&Store<State<H>>, wasmi::Instance) {
        (&self.store, self.exports)
    }

    /// Returns the resources that the guest has used so far.
    pub fn usage(&self) -> Usage {
        let state = self.store.data();
        let fuel = self.fuel_used.saturating_add(state.wasi.fuel()).min(state.limits.fuel);
        Usage { fuel, memory_peak: state.memory_peak() }
    }

    /// Returns the function that runs, or ran last.
    pub(crate) fn function(&self) -> Option<Entry> {
        self.entries.get(self.entry).map(|(_, entry)| *entry)
    }

    fn is_invoked(&self, entry: usize) -> bool {
        self.entries.get(entry).is_some_and(|(_, entry)| *entry == Entry::Invoked)
    }

    /// Implements [`Instance::results`](crate::instance::Instance::results).
    pub(crate) fn results(&self, results: &mut [u64]) -> usize {
        if !self.has_returned {
            return 0;
        }
        for (place, result) in results.iter_mut().zip(&self.results) {
            *place = match result {
                Val::I32(value) => u64::from(value.cast_unsigned()),
                Val::I64(value) => value.cast_unsigned(),
                Val::F32(value) => u64::from(value.to_bits()),
                Val::F64(value) => value.to_bits(),
                // `values` refuses such results.
                Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => 0,
            };
        }
        self.results.len()
    }

    /// Returns the host of the guest.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.store.data_mut().wasi.host
    }

    /// Returns true if it is an idle reactor.
    #[cfg(feature = "object")]
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.progress, Progress::Idle)
    }

    /// Implements [`Instance::begin`](crate::instance::Instance::begin).
    pub(crate) fn begin(&mut self, number: u32, args: &[u64]) -> Result<(), Status> {
        let Progress::Idle = self.progress else { return Err(Status::NoFunction) };
        let callable = self.callables.as_ref().and_then(|callables| callables.get(number as usize));
        let Some(Some((function, ty))) = callable else { return Err(Status::NoFunction) };
        if ty.params().len() != args.len() {
            return Err(Status::Argument);
        }
        self.params.clear();
        self.params.extend(ty.params().iter().zip(args).filter_map(|(ty, arg)| value(*ty, *arg)));
        self.results.clear();
        self.results.extend(ty.results().iter().filter_map(|ty| value(*ty, 0)));
        self.entries.clear();
        self.entries.push((*function, Entry::Invoked));
        self.entry = 0;
        self.has_returned = false;
        self.progress = Progress::Call(0);
        Ok(())
    }

    /// Runs the guest until it ends, is idle, or the host asks for a pause. Calls `report` with the
    /// resources used after each slice, and once if no slice runs.
    pub fn run(&mut self, mut report: impl FnMut(Usage)) -> Outcome {
        // A reason to end the guest takes effect before the first slice, because the guest may
        // sleep in it. A request for a pause takes effect only after a slice, so that each call
        // makes progress.
        if let Some(done @ (Outcome::Ended(_) | Outcome::Idle)) = self.pause() {
            report(self.usage());
            return done;
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

    /// Asks the host whether the guest may continue; returns the outcome if it may not.
    fn pause(&mut self) -> Option<Outcome> {
        if let Progress::Ended(end) = self.progress {
            return Some(Outcome::Ended(end));
        }
        match self.host_mut().checkpoint() {
            Pause::Continue | Pause::Interrupt if matches!(self.progress, Progress::Idle) => Some(Outcome::Idle),
            Pause::Continue => None,
            Pause::Interrupt => Some(Outcome::Interrupted),
            Pause::End(end) => {
                self.progress = Progress::Ended(end);
                Some(Outcome::Ended(end))
            }
        }
    }

    /// Runs one slice, after charging the fuel of the previous slice's host calls.
    fn slice(&mut self, progress: Progress) -> Progress {
        let state = self.store.data_mut();
        // Host calls of the previous slice count even if they ended in an error.
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
                let Some((function, _)) = self.entries.get(entry).copied() else {
                    self.has_returned = true;
                    return if self.callables.is_some() { Progress::Idle } else { Progress::Ended(End::exited(0)) };
                };
                self.entry = entry;
                let params = if self.is_invoked(entry) { self.params.as_slice() } else { &[] };
                let results = if self.is_invoked(entry) { self.results.as_mut_slice() } else { &mut [] };
                (entry, function.call_resumable(&mut self.store, params, results))
            }
            Progress::Within(entry, ResumableCall::OutOfFuel(call)) => {
                let results = if self.is_invoked(entry) { self.results.as_mut_slice() } else { &mut [] };
                (entry, call.resume(&mut self.store, results))
            }
            Progress::Within(entry, ResumableCall::HostTrap(call)) => match self.call_again() {
                Some(Ok(errno)) => {
                    let errno = Val::I32(i32::from(errno.cast_signed()));
                    let results = if self.is_invoked(entry) { self.results.as_mut_slice() } else { &mut [] };
                    (entry, call.resume(&mut self.store, &[errno], results))
                }
                Some(Err(Stop::Interrupted)) => return Progress::Within(entry, ResumableCall::HostTrap(call)),
                Some(Err(Stop::End(end))) => return Progress::Ended(end),
                Some(Err(Stop::Exit(status))) => return Progress::Ended(self.exit(status)),
                None => return Progress::Ended(FAULT),
            },
            Progress::Within(_, ResumableCall::Finished) | Progress::Idle | Progress::Ended(_) => {
                return Progress::Ended(FAULT);
            }
        };
        let unused = self.store.get_fuel().unwrap_or(0);
        self.fuel_used = self.fuel_used.saturating_add(given.saturating_sub(unused));
        match result {
            Ok(ResumableCall::Finished) => Progress::Call(entry.saturating_add(1)),
            Ok(ResumableCall::HostTrap(call)) => match call.host_error().downcast_ref::<Stop>() {
                Some(Stop::Interrupted) => Progress::Within(entry, ResumableCall::HostTrap(call)),
                Some(Stop::End(end)) => Progress::Ended(*end),
                Some(Stop::Exit(status)) => {
                    let status = *status;
                    Progress::Ended(self.exit(status))
                }
                None => Progress::Ended(self.ended(call.host_error())),
            },
            Ok(paused) => Progress::Within(entry, paused),
            Err(error) => Progress::Ended(self.ended(&error)),
        }
    }

    /// Repeats the interrupted host call.
    fn call_again(&mut self) -> Option<Result<u16, Stop>> {
        let (bytes, state) = match self.store.data().memory {
            Some(memory) => memory.data_and_store_mut(&mut self.store),
            None => ([].as_mut_slice(), self.store.data_mut()),
        };
        state.wasi.repeat(bytes)
    }

    /// Returns the end of a guest that exits with `status`.
    fn exit(&mut self, status: u32) -> End {
        let (end, trap) = exited(status);
        self.trap = trap;
        end
    }

    /// Returns the end of a guest that stopped with `error`.
    fn ended(&mut self, error: &Error) -> End {
        if let Some(status) = error.i32_exit_status() {
            return self.exit(status.cast_unsigned());
        }
        let trap = match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => return End::limited(Limit::Fuel),
            Some(TrapCode::OutOfSystemMemory | TrapCode::GrowthOperationLimited) => {
                let state = self.store.data();
                match state.denied() {
                    Some(Denied::Limit(limit)) => return End::limited(limit),
                    Some(Denied::Pause) => {
                        self.trap = Some(String::from("table.grow cannot be resumed after a fuel slice"));
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

/// Checks that the export [`INITIALIZE`], if there is one, is a function without parameters and
/// results.
fn check_initialize(module: &wasmi::Module) -> Result<(), Refusal> {
    let item = match module.get_export(INITIALIZE) {
        Some(ExternType::Func(ty)) => Item::function(ty.params(), ty.results()),
        Some(_) => Item::Other,
        None => return Ok(()),
    };
    item.check_entry("function _initialize")
}

/// Returns the exports of a translated module that are functions of the module, with their numbers:
/// their positions among all its exports.
fn functions(module: &wasmi::Module) -> impl Iterator<Item = (usize, &str, FuncType)> {
    module.exports().enumerate().filter_map(|(number, export)| match export.ty() {
        ExternType::Func(ty) if export.name() != start_section::EXPORT => Some((number, export.name(), ty.clone())),
        _ => None,
    })
}

/// Returns the exported function `name` of a translated module, for callers of a reactor.
///
/// # Errors
///
/// [`Refusal`] if there is no such function, or it cannot be called.
pub(crate) fn callable(module: &wasmi::Module, reexports: &[String], name: &str) -> Result<Callable, Refusal> {
    let mut named = functions(module).filter(|(_, export, _)| *export == name && !is_reserved(name));
    let (number, _, ty) = named.next().ok_or_else(|| unknown(name))?;
    if reexports.iter().any(|reexport| reexport == name) {
        return Err(Invocation { name, args: &[] }.imported());
    }
    Callable::new(name, number, (ty.params(), ty.results()), |ty| number_type(*ty))
}

/// Returns the functions of `instance` that callers can call, by their numbers.
fn callables<H: Host + 'static>(
    module: &wasmi::Module,
    reexports: &[String],
    instance: &wasmi::Instance,
    store: &Store<State<H>>,
) -> Vec<Option<(Func, FuncType)>> {
    // There may be a million exports.
    let imported: BTreeSet<&str> = reexports.iter().map(String::as_str).collect();
    let mut callables = Vec::new();
    for (number, name, ty) in functions(module) {
        crate::poll();
        let is_callable = !is_reserved(name) && !imported.contains(name) && is_number_function(&ty);
        let function = if is_callable { instance.get_func(store, name) } else { None };
        callables.resize_with(number, || None);
        callables.push(function.map(|function| (function, ty)));
    }
    callables
}

/// Returns true if parameters and results of a function can be passed by a call.
fn is_number_function(ty: &FuncType) -> bool {
    let (params, results) = (ty.params(), ty.results());
    params.len().max(results.len()) <= INVOKE_MAX && params.iter().chain(results).all(|ty| number_type(*ty).is_some())
}

/// Returns the arguments of the invoked function, and places for its results.
///
/// # Errors
///
/// [`Refusal`] if the module exports no such function, or it cannot be called.
fn values(module: &wasmi::Module, invocation: &Invocation<'_>) -> Result<(Vec<Val>, Vec<Val>), Refusal> {
    // The export of the start function is not one of the module.
    let export = module.get_export(invocation.name).filter(|_| invocation.name != start_section::EXPORT);
    let Some(ExternType::Func(ty)) = export else {
        return Err(invocation.unknown());
    };
    invocation.check(ty.params(), ty.results(), |ty| value(*ty, 0).is_some())?;
    let params = ty.params().iter().zip(invocation.args).filter_map(|(ty, arg)| value(*ty, *arg)).collect();
    let results = ty.results().iter().filter_map(|ty| value(*ty, 0)).collect();
    Ok((params, results))
}

/// Returns the type of a number; `None` if the type is not a number.
fn number_type(ty: ValType) -> Option<NumberType> {
    match ty {
        ValType::I32 => Some(NumberType::I32),
        ValType::I64 => Some(NumberType::I64),
        ValType::F32 => Some(NumberType::F32),
        ValType::F64 => Some(NumberType::F64),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => None,
    }
}

/// Returns the value of type `ty` with these bits; `None` if it is not a number.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is not part of the value")]
fn value(ty: ValType, bits: u64) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32((bits as u32).cast_signed()),
        ValType::I64 => Val::I64(bits.cast_signed()),
        ValType::F32 => Val::F32(F32::from_bits(bits as u32)),
        ValType::F64 => Val::F64(F64::from_bits(bits)),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => return None,
    })
}

/// End of a guest whose state is inconsistent, which is a defect of the engine.
const FAULT: End = End { ending: Ending::EngineFault, code: 0 };
