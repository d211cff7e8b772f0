// SPDX-License-Identifier: GPL-2.0

//! A guest that runs as machine code.

mod calls;

use super::{
    instance::{
        self,
        Private,
        Surroundings, //
    },
    native::{
        self,
        GuestStack,
        HostInstance,
        Request, //
    },
    native_module::{
        Native,
        is_wide, //
    },
};
use crate::{
    compiler::Error,
    ffi::{
        Ending,
        InstanceLimits,
        Limit,
        Trap, //
    },
    heap::Account,
    host::{
        End,
        Host,
        Pause, //
    },
    host_operations::{
        RawOperations as _,
        Ticks, //
    },
    invoke::Functions,
    kernel_host::KernelHost,
    outcome::{
        Entry,
        Outcome,
        Usage,
        exited,
        trap_of, //
    },
    refusal::Refusal,
    state::State,
    vmctx::{
        Helper,
        STACK_LIMIT_RAISED,
        TrapReason, //
    },
    wasi::{
        Stop,
        WasiFunction, //
    },
};
use alloc::{
    string::{
        String,
        ToString as _, //
    },
    sync::Arc,
    vec::Vec,
};
use core::{
    any::TypeId,
    ptr, //
};
use wasmi::TrapCode;
use wasmparser::ValType;

/// Progress of a guest.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// The function with this index in [`Guest::entries`] runs next.
    Call(usize),
    /// The function with this index is paused, with a request that is not answered.
    Within(usize, Request),
    /// The reactor waits for its next call.
    Idle,
    /// The guest has ended.
    Ended(End),
}

/// Answer to a request.
enum Answer {
    /// The guest continues, with this result of the helper.
    Resume(u64),
    /// The request is made again after a checkpoint.
    Again,
    /// The guest pauses.
    Pause,
    /// The guest ends.
    End(End),
}

/// A guest.
pub struct Guest<H: Host + 'static> {
    native: Arc<Native>,
    /// The imported functions.
    imports: Vec<WasiFunction<H>>,
    state: State<H>,
    instance: HostInstance,
    /// `None` while a reactor rests: see [`Guest::rest`].
    stack: Option<GuestStack>,
    progress: Progress,
    /// Largest size of the linear memories so far, in bytes.
    memory_peak: u64,
    /// Message of the trap.
    trap: Option<String>,
    /// Functions to call, in order, by their indices.
    entries: Vec<(u32, Entry)>,
    /// Number of the function that [`Guest::begin`] has prepared, whose types `args` and `results`
    /// have.
    begun: Option<u32>,
    /// Number of the function that [`Guest::repeat`] can call: that of `begun`, while the guest is
    /// idle and has ticks and a stack.
    repeatable: Option<u32>,
    /// Arguments of [`Entry::Invoked`]: whether they have 64 bits, and their bits.
    args: Vec<(bool, u64)>,
    /// Results of [`Entry::Invoked`], once it has returned: whether they have 64 bits, and their
    /// bits.
    results: Vec<(bool, u64)>,
    has_returned: bool,
    is_reactor: bool,
    /// Set while the host requests checkpoints.
    has_ticks: bool,
    /// Number of checkpoints within functions. It wraps around.
    checkpoints: u64,
    /// Why the quick form of a host call declined, after the call.
    stop: Option<Stop>,
}

/// Limits of a guest's growth.
struct Bounds<'a>(&'a InstanceLimits);

impl Surroundings for Bounds<'_> {
    fn base(&self, _index: usize, bytes: &[u8]) -> u64 {
        bytes.as_ptr().expose_provenance() as u64
    }

    fn may_have_memory(&self, bytes: u64) -> bool {
        bytes <= self.0.memory
    }

    fn may_have_elements(&self, elements: u64) -> bool {
        elements <= self.0.table
    }
}

/// Request of a guest that paused at a checkpoint.
const CHECKPOINT: Request = Request::Help(Helper::Checkpoint, [0; 5]);

/// End of a guest by a trap that the interface has no number for.
const OTHER_TRAP: End = End { ending: Ending::Trapped, code: Trap::Other as u32 };

/// End of a guest whose state is inconsistent, which is a defect of the engine.
const FAULT: End = End { ending: Ending::EngineFault, code: 0 };

impl<H: Host + Send + Sync + 'static> Guest<H> {
    /// Instantiates `native`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not possible within the limits, or a segment does not fit.
    pub(crate) fn new(native: Arc<Native>, state: State<H>, functions: Functions<'_>) -> Result<Self, Refusal> {
        let is_reactor = matches!(functions, Functions::Reactor);
        if is_reactor {
            native.check_initialize()?;
        }
        let (mut invoked, mut args, mut results) = (None, Vec::new(), Vec::new());
        if let Some(invocation) = functions.invocation() {
            let (index, ty) = native.invoked(invocation)?;
            let is_wide = |ty: &ValType| is_wide(*ty).unwrap_or(true);
            invoked = Some(index);
            args = ty.params.iter().zip(invocation.args).map(|(ty, arg)| (is_wide(ty), *arg)).collect();
            results = ty.results.iter().map(|ty| (is_wide(ty), 0)).collect();
        }
        let entries = native.entries(&functions, invoked);
        let mut imports = Vec::new();
        imports.try_reserve_exact(native.imports.len()).map_err(|_| Refusal::from(Error::Memory.to_string()))?;
        imports.extend(native.imports.iter().map(|function| function.entry::<H>()));
        let limits = state.limits;
        let instance = HostInstance::new(&native.program, &Bounds(&limits)).map_err(|stop| match stop {
            instance::InstanceStop::MemoryLimit => Refusal::limited(Limit::Memory, String::from("at instantiation")),
            instance::InstanceStop::TableLimit => Refusal::limited(Limit::Table, String::from("at instantiation")),
            instance::InstanceStop::Trap(reason) => {
                Refusal::from(alloc::format!("cannot be instantiated: {}", message(reason)))
            }
            instance::InstanceStop::OutOfMemory => Refusal::from(String::from("cannot be instantiated: no memory")),
        })?;
        let stack = GuestStack::new(native.stack).map_err(|error| {
            if let Some(account) = Account::current() {
                account.note_alloc_error(error);
            }
            Refusal::from(Error::Memory.to_string())
        })?;
        let stack = Some(stack);
        let memory_peak = instance.memory_size();
        state.wasi.calls.counters.set_memory(memory_peak);
        let progress = Progress::Call(0);
        let (trap, has_returned, stop) = (None, false, None);
        Ok(Self {
            native,
            imports,
            state,
            instance,
            stack,
            progress,
            memory_peak,
            trap,
            entries,
            begun: None,
            repeatable: None,
            args,
            results,
            has_returned,
            is_reactor,
            has_ticks: false,
            checkpoints: 0,
            stop,
        })
    }

    pub(crate) fn state(&self) -> &State<H> {
        &self.state
    }

    pub(crate) fn host_mut(&mut self) -> &mut H {
        &mut self.state.wasi.host
    }

    /// Returns the message of the trap, if there was one.
    pub(crate) fn trap(&self) -> Option<&str> {
        self.trap.as_deref()
    }

    /// Returns the function that runs, or ran last.
    pub(crate) fn function(&self) -> Option<Entry> {
        let entry = match self.progress {
            Progress::Call(entry) | Progress::Within(entry, _) => entry,
            Progress::Idle | Progress::Ended(_) => return self.entries.last().map(|(_, entry)| *entry),
        };
        self.entries.get(entry).map(|(_, entry)| *entry)
    }

    /// Frees the stack of a reactor that is idle, until the next call. Returns false if the guest
    /// is not an idle reactor.
    pub(crate) fn rest(&mut self) -> bool {
        let is_idle = matches!(self.progress, Progress::Idle);
        if is_idle {
            self.repeatable = None;
            self.stack = None;
        }
        is_idle
    }

    /// Returns the limit of the stack, for compiled code. Without a stack every function is above
    /// it.
    fn stack_limit(&self) -> u64 {
        self.stack.as_ref().map_or(u64::MAX, GuestStack::limit)
    }

    /// Returns how many checkpoints have interrupted functions of this guest. The number wraps
    /// around.
    pub(crate) fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    /// Returns true if the host requests a checkpoint.
    pub(crate) fn is_checkpoint_requested(&mut self) -> bool {
        self.instance.is_checkpoint_requested()
    }

    /// Records whether the ticks that were started go on.
    pub(crate) fn keep_ticks(&mut self, has_ticks: bool) {
        self.has_ticks &= has_ticks;
        if !has_ticks {
            self.repeatable = None;
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { fuel: self.state.wasi.fuel(), memory_peak: self.memory_peak }
    }

    /// Runs the guest until it ends or the host wants a pause.
    pub(crate) fn run(&mut self, mut report: impl FnMut(Usage)) -> Outcome {
        if let Progress::Ended(end) = self.progress {
            return Outcome::Ended(end);
        }
        // The host has just decided that a call may begin.
        let begins = matches!(self.progress, Progress::Call(0)) && self.is_reactor && self.has_ticks;
        let pause = if begins { Pause::Continue } else { self.host_mut().checkpoint() };
        match pause {
            Pause::Continue | Pause::Interrupt if matches!(self.progress, Progress::Idle) => return Outcome::Idle,
            Pause::Continue => {}
            Pause::Interrupt => return Outcome::Interrupted,
            Pause::End(end) => {
                self.progress = Progress::Ended(end);
                report(self.usage());
                return Outcome::Ended(end);
            }
        }
        self.instance.clear_requests(self.stack_limit());
        if !self.has_ticks {
            let [flag, limit] = self.instance.request_words();
            // SAFETY: The words are in the instance's context, which stays where it is until the
            // ticks end below or the instance is dropped; if the engine is left before, they end
            // with the entry. The engine and compiled code access both words atomically meanwhile.
            let ticks = unsafe { Ticks::new(flag, limit, STACK_LIMIT_RAISED) };
            if KernelHost::new().tick(Some(ticks)).is_err() {
                self.progress = Progress::Ended(End::OUT_OF_MEMORY);
                return Outcome::Ended(End::OUT_OF_MEMORY);
            }
            self.has_ticks = true;
        }
        self.proceed(&mut report)
    }

    /// Continues the guest until it ends or the host wants a pause. Then stops the timer that
    /// requests checkpoints, except for an idle reactor, whose next call uses it.
    fn proceed(&mut self, report: &mut impl FnMut(Usage)) -> Outcome {
        let outcome = self.execute(report);
        // The next call of a reactor finds the ticks there.
        if outcome == Outcome::Idle {
            self.repeatable = self.begun;
        } else {
            // Without ticks to start, the call does not fail.
            let _ = KernelHost::new().tick(None);
            self.has_ticks = false;
        }
        report(self.usage());
        outcome
    }

    /// Runs the guest until it ends or the host wants a pause, while the host requests checkpoints.
    fn execute(&mut self, report: &mut impl FnMut(Usage)) -> Outcome {
        loop {
            let (entry, request) = match self.progress {
                Progress::Ended(end) => return Outcome::Ended(end),
                Progress::Idle => return Outcome::Idle,
                Progress::Call(entry) => match self.entries.get(entry).copied() {
                    None if self.is_reactor => {
                        self.has_returned = true;
                        self.progress = Progress::Idle;
                        return Outcome::Idle;
                    }
                    None => {
                        self.has_returned = true;
                        self.progress = Progress::Ended(End::exited(0));
                        continue;
                    }
                    Some((function, kind)) => {
                        let imported = self.native.declarations.imported;
                        if kind == Entry::Invoked {
                            for (index, (is_wide, arg)) in self.args.iter().enumerate() {
                                self.instance.set_arg(index, narrowed(*is_wide, *arg));
                            }
                        }
                        let Some(stack) = &mut self.stack else {
                            self.progress = Progress::Ended(FAULT);
                            continue;
                        };
                        stack.prepare(&self.native.code, function, imported, &mut self.instance);
                        (entry, self.resume(0))
                    }
                },
                Progress::Within(entry, request) => (entry, request),
            };
            let mut request = request;
            self.progress = loop {
                if let Request::Done(first) = request {
                    if let Some(tag) = self.instance.uncaught() {
                        self.trap = Some(self.native.program.uncaught(tag));
                        break Progress::Ended(OTHER_TRAP);
                    }
                    if self.entries.get(entry).is_some_and(|(_, kind)| *kind == Entry::Invoked) {
                        self.take_results(first);
                    }
                    break Progress::Call(entry.saturating_add(1));
                }
                match self.answer(request, report) {
                    Answer::Resume(value) => request = self.resume(value),
                    Answer::Pause => {
                        // The guest continues with the request for a checkpoint, even if it asked
                        // for stack because the limit was raised: by then the limit is as before,
                        // so that the same request for stack would end the guest.
                        self.progress = Progress::Within(entry, CHECKPOINT);
                        return Outcome::Interrupted;
                    }
                    // A host call was interrupted, or a checkpoint is requested. The checkpoint
                    // tells why.
                    Answer::Again => match self.checkpoint(report) {
                        Answer::Resume(_) | Answer::Again => {}
                        Answer::Pause => {
                            self.progress = Progress::Within(entry, request);
                            return Outcome::Interrupted;
                        }
                        Answer::End(end) => break Progress::Ended(end),
                    },
                    Answer::End(end) => break Progress::Ended(end),
                }
            };
        }
    }

    /// Handles a request of the guest.
    fn answer(&mut self, request: Request, report: &mut impl FnMut(Usage)) -> Answer {
        let (helper, args) = match request {
            Request::Help(helper, args) => (helper, args),
            Request::Import(args) => {
                for (index, arg) in args.into_iter().enumerate() {
                    self.instance.set_arg(index, arg);
                }
                let index = self.instance.resolved();
                return match self.call(index as usize) {
                    Answer::Resume(_) => Answer::Resume(self.instance.arg(0)),
                    other => other,
                };
            }
            Request::Done(_) | Request::Unknown => return Answer::End(FAULT),
        };
        let [_, number, ..] = args;
        match helper {
            Helper::Trap if number == TrapReason::Stack as u64 => {
                // The host raises the limit to request a checkpoint.
                if self.instance.clear_requests(self.stack_limit()) == STACK_LIMIT_RAISED {
                    return self.checkpoint(report);
                }
                Answer::End(End::limited(Limit::Stack))
            }
            Helper::Trap => self.trapped(TrapReason::from_number(number)),
            Helper::Checkpoint => {
                self.instance.clear_requests(self.stack_limit());
                self.checkpoint(report)
            }
            Helper::CallImport => match self.stop.take() {
                Some(stop) => self.stopped(stop),
                None => self.call(usize::try_from(number).unwrap_or(usize::MAX)),
            },
            // Compiled code on its way out of deep recursion may call helpers for minutes without a
            // checkpoint of its own.
            _ if self.instance.is_checkpoint_requested() => {
                self.instance.clear_requests(self.stack_limit());
                Answer::Again
            }
            _ => {
                if helper == Helper::Throw && self.instance.is_collection_due() {
                    let words = self.stack.as_ref().map(|stack| stack.words(&self.instance));
                    self.instance.collect(words.into_iter().flatten());
                }
                let native = &*self.native;
                let limits = self.state.limits;
                let help = self.instance.help(&native.program, &native.declarations, &Bounds(&limits), helper, args);
                let memory = self.instance.memory_size();
                if memory > self.memory_peak {
                    self.memory_peak = memory;
                    self.state.wasi.calls.counters.set_memory(memory);
                }
                match help {
                    Ok(value) => {
                        if matches!(helper, Helper::Resolve | Helper::ResolveTail) {
                            native.resolve(&mut self.instance);
                        }
                        Answer::Resume(value)
                    }
                    Err(instance::InstanceStop::Trap(reason)) => self.trapped(reason),
                    Err(instance::InstanceStop::MemoryLimit) => Answer::End(End::limited(Limit::Memory)),
                    Err(instance::InstanceStop::TableLimit) => Answer::End(End::limited(Limit::Table)),
                    Err(instance::InstanceStop::OutOfMemory) => Answer::End(self.state.wasi.host.refused_memory()),
                }
            }
        }
    }

    /// Asks the host whether the guest may continue.
    fn checkpoint(&mut self, report: &mut impl FnMut(Usage)) -> Answer {
        self.checkpoints = self.checkpoints.wrapping_add(1);
        report(self.usage());
        match self.state.wasi.host.checkpoint() {
            Pause::Continue => Answer::Resume(0),
            Pause::Interrupt => Answer::Pause,
            Pause::End(end) => Answer::End(end),
        }
    }

    /// Runs the guest on its stack until it makes a request; the helper that it waits for returns
    /// `result`.
    fn resume(&mut self, result: u64) -> Request {
        let number = self.switch(result);
        native::request(&self.instance, number)
    }

    /// Runs the guest as [`Guest::resume`] does. Returns the number of the request.
    #[inline(always)]
    fn switch(&mut self, result: u64) -> u64 {
        let context = self.instance.context_pointer();
        let guest = ptr::from_mut(self);
        // Quick forms are made for this host.
        let has_quick_forms = TypeId::of::<H>() == TypeId::of::<KernelHost>();
        let address = if has_quick_forms { guest.expose_provenance() as u64 } else { 0 };
        // SAFETY: `write` requires a valid, aligned pointer. There are private words before the
        // context, which live as long as the instance.
        unsafe { context.wrapping_sub(Private::Guest.distance()).write(address) };
        // SAFETY: The context is that of the instance, whose stack was prepared before the guest's
        // first request. `address` is that of this guest or 0. Neither the instance nor the guest
        // is used here until `resume` returns.
        unsafe { native::resume(context, result) }
    }

    /// Returns what helpers work on.
    #[inline(always)]
    pub(super) fn parts(&mut self) -> (&Native, &mut HostInstance) {
        (&self.native, &mut self.instance)
    }

    /// Calls an imported function; its arguments are in the context, and so is its result
    /// afterwards. `None` if there is no such function.
    #[inline(always)]
    fn call_host(&mut self, index: usize) -> Option<Result<(), Stop>> {
        let function = self.imports.get(index)?;
        let (memory, args) = self.instance.memory_and_args(self.native.program.memory);
        Some(function(&mut self.state.wasi, memory, args))
    }

    /// Calls an imported function on the guest's stack. `None` if the guest must switch to the
    /// engine's stack for the same request.
    #[inline(always)]
    pub(super) fn call_quickly(&mut self, index: usize) -> Option<u64> {
        match self.call_host(index)? {
            Ok(()) => Some(0),
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }

    /// Calls an imported function; its arguments are in the context.
    fn call(&mut self, index: usize) -> Answer {
        match self.call_host(index) {
            Some(Ok(())) => Answer::Resume(0),
            Some(Err(stop)) => self.stopped(stop),
            None => Answer::End(FAULT),
        }
    }

    /// Answers a host call that stops the guest.
    fn stopped(&mut self, stop: Stop) -> Answer {
        match stop {
            Stop::Interrupted => {
                // The call is made again after a checkpoint, and counted then.
                self.state.wasi.withdraw();
                Answer::Again
            }
            Stop::End(end) => Answer::End(end),
            Stop::Exit(status) => {
                let (end, trap) = exited(status);
                self.trap = trap;
                Answer::End(end)
            }
        }
    }

    /// Ends the guest by a trap.
    fn trapped(&mut self, reason: TrapReason) -> Answer {
        self.trap = Some(String::from(message(reason)));
        let trap = code(reason).map_or(Trap::Other, trap_of);
        Answer::End(End { ending: Ending::Trapped, code: trap as u32 })
    }
}

/// Returns the bits of a number without those that are not part of it.
fn narrowed(is_wide: bool, bits: u64) -> u64 {
    if is_wide { bits } else { bits & u64::from(u32::MAX) }
}

/// Returns the message of a trap: wasmi's, if wasmi has such a trap.
fn message(reason: TrapReason) -> &'static str {
    code(reason).map_or("null exception reference", |code| code.trap_message())
}

/// Returns wasmi's trap for `reason`, so that messages are the same in both engines; `None` if
/// wasmi has no such trap.
fn code(reason: TrapReason) -> Option<TrapCode> {
    Some(match reason {
        TrapReason::Unreachable => TrapCode::UnreachableCodeReached,
        TrapReason::MemoryBounds => TrapCode::MemoryOutOfBounds,
        TrapReason::TableBounds => TrapCode::TableOutOfBounds,
        TrapReason::NullElement => TrapCode::IndirectCallToNull,
        TrapReason::BadSignature => TrapCode::BadSignature,
        TrapReason::DivideByZero => TrapCode::IntegerDivisionByZero,
        TrapReason::IntegerOverflow => TrapCode::IntegerOverflow,
        TrapReason::BadConversion => TrapCode::BadConversionToInteger,
        TrapReason::Stack => TrapCode::StackOverflow,
        TrapReason::NullException => return None,
    })
}
