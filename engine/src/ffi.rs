// SPDX-License-Identifier: GPL-2.0

//! The C ABI between the engine and its host, which is the kernel module or a native program in
//! tests.
//!
//! Both sides compile this file, each with its own compiler. The host calls one function of the
//! engine object: `kwasmi_stack_enter`, which switches to the engine stack and calls
//! `kwasmi_engine_entry`. The engine calls two functions of the host: `kwasmi_host_entry`, which
//! always runs on the task's stack, and `kwasmi_host_context`. The operations of
//! `kwasmi_host_entry` are listed in `host_operations.rs`.
//!
//! Every `repr(C)` structure is plain data. Addresses in them are valid for the duration of the
//! call that passes them.

use core::{
    ffi::c_void,
    mem::MaybeUninit,
    sync::atomic::AtomicU32, //
};

#[path = "ffi/counters.rs"]
mod counters;
#[path = "ffi/host_types.rs"]
mod host_types;
#[path = "limit_table.rs"]
pub(crate) mod limit_table;

pub use self::{
    counters::*,
    host_types::*, //
};

/// Size of [`Context::fault_text`], in bytes.
pub const FAULT_TEXT_LEN: usize = 232;

/// Bytes that the host maps behind the next power of two of a linear memory's size. Speculation in
/// compiled code does not get further: a masked index is below the power of two, and an access is
/// at most so many bytes behind its index.
pub const SPECULATION_PAD: usize = 64 * 1024;

/// State of one entry into the engine. It lives on the stack of the task that entered.
#[repr(C)]
pub struct Context {
    /// Top of the engine stack. The word there holds the task's own stack pointer while the engine
    /// runs.
    pub stack_top: *mut usize,
    /// Heap account that allocations are charged to; null if none is open yet.
    pub account: *mut c_void,
    /// The host's own data, passed back in each [`HostCall`].
    pub host: *mut c_void,
    /// Set when the engine aborted.
    ///
    /// # Invariants
    ///
    /// `fault_text` is initialised if this is set.
    aborted: bool,
    /// The [`Limit`] that ended the entry, with [`Status::Limited`].
    pub limit: u32,
    /// Bytes of `fault_text` in use.
    pub fault_len: usize,
    /// The reason for the abort. It is not initialised before, which would take more time than a
    /// short call of a reactor.
    fault_text: MaybeUninit<[u8; FAULT_TEXT_LEN]>,
}

impl Context {
    /// Returns the context of an entry that has not begun.
    #[must_use]
    pub const fn new(stack_top: *mut usize, account: *mut c_void, host: *mut c_void) -> Self {
        // INVARIANT: `aborted` is not set.
        Self { stack_top, account, host, aborted: false, limit: 0, fault_len: 0, fault_text: MaybeUninit::uninit() }
    }

    /// Records that the engine aborts, that is, returns without unwinding. The account's contents
    /// are then in an unknown state. Returns the place for the reason.
    pub fn set_aborted(&mut self) -> &mut [u8; FAULT_TEXT_LEN] {
        let text = self.fault_text.write([0; FAULT_TEXT_LEN]);
        // INVARIANT: `fault_text` was just written.
        self.aborted = true;
        text
    }

    /// Returns the reason for the abort, of which [`Context::fault_len`] bytes are in use. `None`
    /// if the engine did not abort.
    #[must_use]
    pub fn fault_text(&self) -> Option<&[u8; FAULT_TEXT_LEN]> {
        // SAFETY: By the invariant of `aborted`, `fault_text` is initialised.
        self.aborted.then(|| unsafe { self.fault_text.assume_init_ref() })
    }
}

/// Operation of `kwasmi_engine_entry`, with the type that its argument points to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineOp {
    /// [`InitArgs`]: initialises the engine. Called once, before any other operation.
    Init = 0,
    /// [`AccountArgs`]: opens a heap account.
    AccountOpen = 1,
    /// [`AccountArgs`]: closes a heap account.
    AccountClose = 2,
    /// [`LoadArgs`]: validates and translates a module.
    Load = 3,
    /// [`ObjectArgs`]: frees a module.
    Unload = 4,
    /// [`StartArgs`]: instantiates a module.
    Start = 5,
    /// [`RunArgs`]: runs an instance until it ends or pauses.
    Run = 6,
    /// [`ObjectArgs`]: frees an instance.
    Drop = 7,
    /// [`ReserveArgs`]: reads the counters of the reserve.
    Reserve = 8,
    /// [`FunctionArgs`]: looks up an exported function of a module.
    Function = 9,
    /// [`ObjectArgs`]: lets an instance rest. If it is an idle reactor, the operation returns
    /// [`Status::Ok`], and the instance does not use its stack until [`EngineOp::Run`] begins a
    /// call and allocates another one; otherwise it returns [`Status::Interrupted`].
    Rest = 10,
}

/// Status that `kwasmi_engine_entry` and `kwasmi_stack_abort` return.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The operation is complete.
    Ok = 0,
    /// The module is not valid Wasm, or not a program that can run here. The log gives the reason.
    Invalid = 1,
    /// No memory is available, or the account's budget is spent.
    NoMemory = 2,
    /// [`EngineOp::Run`] only: the host requested a pause. The guest can be run again.
    Interrupted = 3,
    /// The engine panicked. [`Context::fault_text`] gives the reason.
    Fault = 4,
    /// The operation is unknown.
    Unknown = 5,
    /// A limit was reached.
    Limited = 6,
    /// The host ended the operation.
    Killed = 7,
    /// [`EngineOp::Start`] only: the module exports no function of the name in [`Invoke`]. The log
    /// gives the reason.
    NoFunction = 8,
    /// [`EngineOp::Start`] only: [`Invoke`] has another number of arguments than the function. The
    /// log gives both.
    Argument = 9,
    /// [`EngineOp::Start`] only: the function in [`Invoke`] has a type that cannot be passed. The
    /// log gives the reason.
    Unsupported = 10,
    /// [`EngineOp::Start`] only: the function in [`Invoke`] has more than [`INVOKE_MAX`] parameters
    /// or results.
    TooBig = 11,
    /// [`EngineOp::Run`] only: the instance is a reactor that waits for its next call.
    Idle = 12,
}

impl Status {
    /// Returns the status with the number `value`; [`Status::Unknown`] for other numbers.
    #[must_use]
    pub fn from_raw(value: i32) -> Self {
        match value {
            0 => Self::Ok,
            1 => Self::Invalid,
            2 => Self::NoMemory,
            3 => Self::Interrupted,
            4 => Self::Fault,
            6 => Self::Limited,
            7 => Self::Killed,
            8 => Self::NoFunction,
            9 => Self::Argument,
            10 => Self::Unsupported,
            11 => Self::TooBig,
            12 => Self::Idle,
            _ => Self::Unknown,
        }
    }
}

/// Makes the limits' numbers from the table.
macro_rules! limits {
    ($(
        $limit:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $parameter:ident,
            $default:expr, $minimum:expr, $ceiling:expr, $text:literal;
    )*) => {
        /// Limit that the engine enforces, or that the host reports to it. The numbers are those of
        /// `KWASMI_LIMIT_*`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $(
                #[doc = concat!("Limit of the ", $text, ".")]
                $limit = $number,
            )*
        }

        impl Limit {
            /// Returns the limit with the number `value`, if there is one.
            #[must_use]
            pub const fn from_raw(value: u32) -> Option<Self> {
                match value {
                    $($number => Some(Self::$limit),)*
                    _ => None,
                }
            }

            /// Returns the limit's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$limit => $name,)*
                }
            }

            /// Returns the value that applies if the caller requests none; `u64::MAX` means
            /// unlimited.
            #[must_use]
            pub const fn default_value(self) -> u64 {
                match self {
                    $(Self::$limit => $default,)*
                }
            }
        }
    };
}

limit_table::limit_table!(limits);

/// Text buffer of the host.
#[repr(C)]
pub struct Log {
    /// Address of the buffer.
    pub text: *mut u8,
    /// Size of the buffer in bytes.
    pub size: usize,
    /// Length of the whole text in bytes; may exceed `size`.
    pub len: usize,
}

/// Bytes of the host.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    /// Address of the bytes; not null, even if `len` is 0.
    pub addr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl Bytes {
    /// Returns the place of `bytes`.
    #[must_use]
    pub const fn new(bytes: &[u8]) -> Self {
        Self { addr: bytes.as_ptr(), len: bytes.len() }
    }
}

/// Argument of [`EngineOp::Init`].
#[repr(C)]
pub struct InitArgs {
    /// Memory for the reserve. The engine owns it from now on.
    pub reserve: *mut u8,
    /// Size of the reserve in bytes.
    pub reserve_len: usize,
}

/// Argument of [`EngineOp::Reserve`].
#[repr(C)]
#[derive(Default)]
pub struct ReserveArgs {
    /// Out: bytes in use.
    pub used: usize,
    /// Out: highest value of `used` so far.
    pub peak: usize,
}

/// Final counters of a heap account.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct AccountStats {
    /// Bytes allocated, including bookkeeping.
    pub used: usize,
    /// Highest value of `used` so far.
    pub peak: usize,
    /// Number of allocated blocks.
    pub blocks: usize,
}

/// Argument of [`EngineOp::AccountOpen`] and [`EngineOp::AccountClose`].
#[repr(C)]
pub struct AccountArgs {
    /// The account: out of `AccountOpen`, into `AccountClose`.
    pub account: *mut c_void,
    /// Upper bound of the account's allocations, in bytes. `AccountOpen` only.
    pub budget: usize,
    /// The [`Limit`] that `budget` stands for. `AccountOpen` only.
    pub limit: u32,
    /// Out of `AccountOpen`: counters of the account, valid until `AccountClose`.
    pub counters: *const AccountCounters,
    /// Account that inherits blocks still in use; if null, they are freed. `AccountClose` only.
    pub parent: *mut c_void,
    /// Out of `AccountClose`: the blocks that were still allocated, and the peak.
    pub stats: AccountStats,
}

/// Upper bounds of a module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleLimits {
    /// Functions that the module defines.
    pub functions: u64,
    /// Bytes of code of one function.
    pub function_size: u64,
    /// Locals of one function, without its parameters.
    pub locals: u64,
    /// Parameters of one function type, and results of one function type.
    pub arity: u64,
    /// Globals that the module defines.
    pub globals: u64,
    /// Data segments.
    pub data_segments: u64,
    /// Element segments.
    pub element_segments: u64,
    /// Bytes of the Wasm stack of each instance: values, and [`CALL_BYTES`] for each call.
    pub stack: u64,
}

/// Bytes that one Wasm call counts on the Wasm stack, in addition to its values.
pub const CALL_BYTES: u64 = 64;

/// Upper bounds of an instance, in addition to its account's budget. `u64::MAX` means unlimited.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InstanceLimits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Elements of all tables.
    pub table: u64,
    /// Open descriptors.
    pub fds: u64,
    /// Fuel, about one for each instruction.
    pub fuel: u64,
}

/// Engine of a loaded module.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The interpreter: the caller did not ask for the compiler, or it does not support the module.
    Interpreter = 0,
    /// The compiler.
    Compiler = 1,
    /// The interpreter, because the checker refused the compiler's output.
    Unsafe = 2,
}

/// Reason for not compiling a module. 0 stands for none: the module is compiled, if that is
/// possible.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCompiled {
    /// The caller asks for the interpreter.
    Requested = 1,
    /// Fuel is limited.
    Fuel = 2,
    /// The module parameter `compiler` is 0.
    Off = 3,
    /// The module is large and runs once.
    Large = 4,
}

impl NotCompiled {
    /// Returns the reason with this number.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        [Self::Requested, Self::Fuel, Self::Off, Self::Large].into_iter().find(|reason| *reason as u32 == raw)
    }

    /// Returns the reason as text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Requested => "the caller asked for the interpreter",
            Self::Fuel => "fuel is limited, and only the interpreter counts fuel",
            Self::Off => "the parameter `compiler` of the kernel module is off",
            Self::Large => "the module is large and runs once",
        }
    }
}

/// Size of [`LoadArgs::reason`], in bytes.
pub const REASON_LEN: usize = 127;

/// Argument of [`EngineOp::Load`].
#[repr(C)]
pub struct LoadArgs {
    /// The module's bytes.
    pub wasm: Bytes,
    /// Upper bounds of the module.
    pub limits: ModuleLimits,
    /// The module's well-formed manifest; no bytes if it has none.
    pub manifest: Bytes,
    /// Set if the imports of `kwasmi_test` are provided.
    pub fault_injection: bool,
    /// A [`NotCompiled`], or 0: then the module is compiled, if that is possible.
    pub not_compiled: u32,
    /// Set if compiled accesses to memories are protected against speculative execution.
    pub has_masks: bool,
    /// Out: an [`Engine`].
    pub engine: u32,
    /// Out: bytes of `reason` in use.
    pub reason_len: u32,
    /// Out: text that tells why it was not compiled although `not_compiled` is 0.
    pub reason: [u8; REASON_LEN],
    /// Out, with [`Status::Limited`]: a [`Limit`].
    pub limit: u32,
    /// Buffer for the reason of a failure.
    pub log: *mut Log,
    /// Out: the module.
    pub module: *mut c_void,
}

/// Argument of [`EngineOp::Unload`], [`EngineOp::Drop`] and [`EngineOp::Rest`].
#[repr(C)]
pub struct ObjectArgs {
    /// The module or instance, which `Unload` and `Drop` free.
    pub object: *mut c_void,
}

/// Descriptor that a guest starts with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FdGrant {
    /// The descriptor's number in the guest.
    pub guest_fd: u32,
    /// The host's [`Handle`], passed back in host operations.
    pub handle: u32,
    /// Preview 1 `rights`.
    pub rights: u64,
    /// Preview 1 `rights` that descriptors opened through this one inherit.
    pub rights_inheriting: u64,
    /// Guest path of a preopened directory; no bytes for other descriptors.
    pub name: Bytes,
}

/// Upper bound of the parameters, and of the results, of a function that [`Invoke`] calls.
pub const INVOKE_MAX: usize = 32;

/// Call of an exported function.
#[repr(C)]
pub struct Invoke {
    /// Name of the export, in UTF-8.
    pub name: Bytes,
    /// Arguments. An `i32` or `f32` is in the lower half; the upper half is ignored.
    pub args: *const u64,
    /// Number of elements of `args`.
    pub args_len: usize,
}

/// Argument of [`EngineOp::Start`].
#[repr(C)]
pub struct StartArgs {
    /// The module.
    pub module: *const c_void,
    /// Arguments: NUL-terminated strings, one after another.
    pub args: Bytes,
    /// Environment: NUL-terminated strings `NAME=VALUE`, one after another.
    pub env: Bytes,
    /// Array of descriptors.
    pub fds: *const FdGrant,
    /// Number of elements of `fds`.
    pub fds_len: usize,
    /// Function to call; null for the entry of a program.
    pub invoke: *const Invoke,
    /// Set for a reactor, which runs [`RunArgs::call`] after its initialisation; `invoke` is null.
    pub is_reactor: bool,
    /// Upper bounds of the instance.
    pub limits: InstanceLimits,
    /// Counters of the guest, valid until the instance is dropped.
    pub counters: *const GuestCounters,
    /// Out, with [`Status::Limited`]: a [`Limit`].
    pub limit: u32,
    /// Buffer for the reason of a failure.
    pub log: *mut Log,
    /// Out: the instance.
    pub instance: *mut c_void,
}

/// End of a guest. The numbers are those of `KWASMI_EXITED` and its siblings.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest exited; `code` is its exit status.
    Exited = 0,
    /// The guest trapped; `code` is a [`Trap`].
    Trapped = 1,
    /// The guest reached a limit; `code` is a [`Limit`].
    Limited = 2,
    /// The host killed the guest; `code` is [`SIGPIPE`] for a broken pipe, otherwise 0.
    Killed = 3,
    /// No memory was available for the guest.
    OutOfMemory = 4,
    /// The engine panicked.
    EngineFault = 5,
}

/// Linux's number of the signal for a write to a pipe without readers.
pub const SIGPIPE: u32 = 13;

/// Kind of a trap.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the specification's own names")]
pub enum Trap {
    Unreachable = 1,
    MemoryBounds = 2,
    TableBounds = 3,
    NullElement = 4,
    DivideByZero = 5,
    IntegerOverflow = 6,
    BadConversion = 7,
    BadSignature = 8,
    Other = 9,
}

/// Types of the parameters or results of an exported function.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberTypes {
    /// The types, each a [`NumberType`].
    pub types: [u8; INVOKE_MAX],
    /// Number of `types` in use.
    pub len: u32,
}

/// Type of a number. The numbers are those of `KWASMI_TYPE_*`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// `i32`.
    I32 = 1,
    /// `i64`.
    I64 = 2,
    /// `f32`.
    F32 = 3,
    /// `f64`.
    F64 = 4,
}

/// Argument of [`EngineOp::Function`].
#[repr(C)]
pub struct FunctionArgs {
    /// The module.
    pub module: *const c_void,
    /// Name of the export, in UTF-8.
    pub name: Bytes,
    /// Out: number of the function, for [`Call::function`].
    pub function: u32,
    /// Out: types of its parameters.
    pub params: NumberTypes,
    /// Out: types of its results.
    pub results: NumberTypes,
    /// Buffer for the reason of a failure.
    pub log: *mut Log,
}

/// Call of an exported function of a reactor.
#[repr(C)]
pub struct Call {
    /// Number of the function, from [`FunctionArgs::function`].
    pub function: u32,
    /// Number of elements of `args`.
    pub args_len: u32,
    /// Arguments. An `i32` or `f32` is in the lower half; the upper half is ignored.
    pub args: *const u64,
}

/// Number of arguments and results of a [`BatchCall`].
pub const BATCH_VALUES: usize = 10;

/// Call of an exported function of a reactor in a [`CallBatch`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCall {
    /// Number of the function, from [`FunctionArgs::function`].
    pub function: u32,
    /// Number of arguments, at most [`BATCH_VALUES`] unless the call is skipped.
    pub args_len: u32,
    /// Out: number of results.
    pub results_len: u32,
    /// In: [`Status::Ok`], or another status to skip the call. Out, for the calls before
    /// [`CallBatch::done`] that are not skipped: [`Status::Idle`] if the function returned; otherwise
    /// [`Status::NoFunction`] or [`Status::Argument`], and the function has not run.
    pub status: i32,
    /// The arguments, as in [`Call::args`]. Out: the first results.
    pub values: [u64; BATCH_VALUES],
}

/// Calls that one engine entry makes in order.
#[repr(C)]
#[derive(Debug)]
pub struct CallBatch {
    /// The calls.
    pub calls: *mut BatchCall,
    /// Number of elements of `calls`.
    pub len: u32,
    /// Number of calls that are finished. While a function runs, it is the index of its call.
    pub done: *const AtomicU32,
}

/// Argument of [`EngineOp::Run`].
#[repr(C)]
pub struct RunArgs {
    /// The instance.
    pub instance: *mut c_void,
    /// Call to begin, of a reactor that is idle; null to continue. The operation returns
    /// [`Status::NoFunction`] if the reactor is not idle or has no such function, and
    /// [`Status::Argument`] if the number of arguments is wrong. After [`EngineOp::Rest`] it
    /// returns [`Status::NoMemory`] or [`Status::Limited`] if the stack cannot be allocated.
    pub call: *const Call,
    /// Calls to begin in place of `call`, of a reactor that is idle; null for none. The operation
    /// returns [`Status::Idle`] between two calls if the calls have taken a few milliseconds.
    pub batch: *const CallBatch,
    /// Set to begin `call` without running it. The operation returns [`Status::Interrupted`].
    pub only_begins: bool,
    /// Set if the ticks that the engine has started go on while the guest runs.
    pub has_ticks: bool,
    /// The counters in [`StartArgs`]. They are correct also when the engine aborts.
    pub counters: *const GuestCounters,
    /// Out, with [`Status::Ok`]: an [`Ending`].
    pub ending: u32,
    /// Out: the ending's `code`.
    pub code: u32,
    /// Out, with [`Status::Ok`] or [`Status::Idle`]: place for [`INVOKE_MAX`] results of the
    /// function that was called, if it returned.
    pub results: *mut u64,
    /// Out, with [`Status::Ok`] or [`Status::Idle`]: number of `results`.
    pub results_len: usize,
    /// Buffer for a description of the ending: the trap, or the guest's position at a limit.
    pub log: *mut Log,
}
