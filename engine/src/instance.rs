// SPDX-License-Identifier: GPL-2.0

//! Instances: one guest each, which the interpreter or machine code runs.

#[cfg(feature = "object")]
use crate::{
    compiled::guest::Guest,
    interpreted::SLICE, //
};
use crate::{
    ffi::{
        InstanceLimits,
        Status, //
    },
    host::Host,
    interface::{
        no_program,
        no_reactor, //
    },
    interpreted::Interpreted,
    invoke::Functions,
    module::{
        Code,
        Module, //
    },
    outcome::Entry,
    refusal::Refusal,
    state::State,
    wasi::{
        self,
        FunctionId, //
    },
};
#[cfg(feature = "object")]
use alloc::{
    boxed::Box,
    string::String, //
};
use core::fmt::{
    self,
    Display, //
};
#[cfg(feature = "fuzzing")]
use wasmi::Store;

pub use crate::outcome::{
    Outcome,
    Usage, //
};

/// Instance of a module: one guest program.
#[cfg_attr(feature = "object", expect(clippy::large_enum_variant, reason = "`entry` boxes the instance"))]
pub enum Instance<H: Host + 'static> {
    /// Run by the interpreter.
    Interpreted(Interpreted<H>),
    /// Run as machine code.
    #[cfg(feature = "object")]
    Compiled(Box<Guest<H>>),
}

impl<H: Host + Send + Sync + 'static> Instance<H> {
    /// Instantiates `module`, which is a program.
    ///
    /// # Errors
    ///
    /// The errors of [`Instance::with_functions`].
    pub fn new(module: &Module<H>, wasi: wasi::WasiCtx<H>, limits: InstanceLimits) -> Result<Self, Refusal> {
        Self::with_functions(module, wasi, limits, Functions::Program)
    }

    /// Instantiates `module`: allocates and initialises its memories and tables. Runs no code of
    /// the guest.
    ///
    /// The instance runs the module's start function, and then `functions`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that is not possible within `limits`, a segment does not fit, or the function
    /// cannot be called.
    pub fn with_functions(
        module: &Module<H>,
        wasi: wasi::WasiCtx<H>,
        limits: InstanceLimits,
        functions: Functions<'_>,
    ) -> Result<Self, Refusal> {
        match &functions {
            Functions::Program if !module.has_entry => return Err(no_program()),
            Functions::Reactor if module.has_entry => return Err(no_reactor()),
            Functions::Invoked(invocation) if module.reexports.iter().any(|name| name == invocation.name) => {
                return Err(invocation.imported());
            }
            _ => {}
        }
        match &module.code {
            Code::Translated { engine, module: translated, linker } => {
                let translated = (engine, translated, linker);
                Interpreted::new(translated, (module.has_start, &module.reexports), State::new(wasi, limits), functions)
                    .map(Self::Interpreted)
            }
            #[cfg(feature = "object")]
            Code::Compiled(_) if limits.fuel != u64::MAX => Err(Refusal::from(String::from(
                "machine code counts no fuel: load the module with a limit of fuel, or for the interpreter",
            ))),
            #[cfg(feature = "object")]
            Code::Compiled(native) => {
                let guest = Guest::new(native.clone(), State::new(wasi, limits), functions)?;
                Ok(Self::Compiled(Box::new(guest)))
            }
        }
    }

    /// Returns the store and the exports, so that the fuzzer can compare the final state with that
    /// of another engine.
    #[cfg(feature = "fuzzing")]
    pub fn inspect(&self) -> (&Store<State<H>>, wasmi::Instance) {
        let Self::Interpreted(instance) = self;
        instance.inspect()
    }

    /// Returns the resources that the guest has used so far.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Interpreted(instance) => instance.usage(),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.usage(),
        }
    }

    /// Returns a description of the guest's end: the trap, or the position of the guest.
    pub fn words(&self) -> impl Display {
        let (state, trap, function) = match self {
            Self::Interpreted(instance) => (instance.state(), instance.trap(), instance.function()),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => (guest.state(), guest.trap(), guest.function()),
        };
        let place = Place { function, host_calls: state.wasi.calls.counters.calls(), last_call: state.wasi.calls.last };
        fmt::from_fn(move |f| match trap {
            Some(trap) => f.write_str(trap),
            None => place.fmt(f),
        })
    }

    /// Stores the results of the invoked function to `results`, and returns their number: 0 if it
    /// has not returned, or the instance runs a program. An `i32` or `f32` is in the lower half,
    /// the upper half is 0.
    pub fn results(&self, results: &mut [u64]) -> usize {
        match self {
            Self::Interpreted(instance) => instance.results(results),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.results(results),
        }
    }

    /// Returns the host of the guest.
    pub fn host_mut(&mut self) -> &mut H {
        match self {
            Self::Interpreted(instance) => instance.host_mut(),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.host_mut(),
        }
    }

    /// Begins a call of a reactor that is idle: [`Instance::run`] runs the function with the number
    /// that [`Module::callable`] returns. The results have the types of the function.
    ///
    /// # Errors
    ///
    /// [`Status::NoFunction`] if the instance is not an idle reactor or there is no such function;
    /// [`Status::Argument`] if the number of arguments is wrong; [`Status::NoMemory`] or
    /// [`Status::Limited`] if the reactor rests and its stack cannot be allocated.
    pub fn begin(&mut self, number: u32, args: &[u64]) -> Result<(), Status> {
        match self {
            Self::Interpreted(instance) => instance.begin(number, args),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.begin(number, args),
        }
    }

    /// Lets an idle reactor rest: it does not use its stack until the next call. Returns false if
    /// the instance is not an idle reactor.
    #[cfg(feature = "object")]
    pub(crate) fn rest(&mut self) -> bool {
        match self {
            Self::Interpreted(instance) => instance.is_idle(),
            Self::Compiled(guest) => guest.rest(),
        }
    }

    /// Calls the function of the previous call again, without the setup of [`Instance::begin`] and
    /// [`Instance::run`]. Returns `None` if the call needs that setup, as in an interpreted guest.
    #[cfg(feature = "object")]
    pub(crate) fn repeat(&mut self, number: u32, args: &[u64], report: impl FnMut(Usage)) -> Option<Outcome> {
        match self {
            Self::Interpreted(_) => None,
            Self::Compiled(guest) => guest.repeat(number, args, report),
        }
    }

    /// Returns the number of slices so far: of fuel if interpreted, of checkpoints if compiled. While
    /// the guest runs, the number changes every few milliseconds.
    #[cfg(feature = "object")]
    pub(crate) fn slices(&self) -> u64 {
        match self {
            Self::Interpreted(instance) => instance.usage().fuel / SLICE,
            Self::Compiled(guest) => guest.checkpoints(),
        }
    }

    /// Returns true if the slice with the number `before` is over: [`Instance::slices`] has changed,
    /// or a requested checkpoint will change it as soon as the guest continues.
    #[cfg(feature = "object")]
    #[inline(always)]
    pub(crate) fn is_slice_over(&mut self, before: u64) -> bool {
        match self {
            Self::Interpreted(instance) => instance.usage().fuel / SLICE != before,
            Self::Compiled(guest) => guest.is_checkpoint_requested() || guest.checkpoints() != before,
        }
    }

    /// Records whether the ticks that the engine has started go on.
    #[cfg(feature = "object")]
    pub(crate) fn keep_ticks(&mut self, has_ticks: bool) {
        if let Self::Compiled(guest) = self {
            guest.keep_ticks(has_ticks);
        }
    }

    /// Runs the guest until it ends, is idle, or the host asks for a pause. Calls `report` with the
    /// used resources after each slice.
    pub fn run(&mut self, report: impl FnMut(Usage)) -> Outcome {
        match self {
            Self::Interpreted(instance) => instance.run(report),
            #[cfg(feature = "object")]
            Self::Compiled(guest) => guest.run(report),
        }
    }
}

/// Position of a guest when it ended, as far as it is known outside of the interpreter.
struct Place {
    function: Option<Entry>,
    host_calls: u64,
    last_call: Option<FunctionId>,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.function {
            Some(Entry::Start) => "in the start function",
            Some(Entry::Initialize) => "in _initialize",
            Some(Entry::Invoked) => "in the invoked function",
            Some(Entry::Program) | None => "in _start",
        })?;
        match (self.host_calls, self.last_call) {
            (1, Some(last)) => write!(f, ", after one host call, {}", last.name()),
            (calls, Some(last)) => write!(f, ", after {calls} host calls, the last one {}", last.name()),
            (_, None) => f.write_str(", before any host call"),
        }
    }
}
