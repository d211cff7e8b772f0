// SPDX-License-Identifier: GPL-2.0

//! The C ABI between the engine and whoever hosts it: the kernel module, or a native program in tests.
//!
//! Both sides compile this very file, each with its own compiler. Two functions go in (`kwasmi_stack_enter`, which
//! switches to the engine's stack and calls `kwasmi_engine_entry`, and `kwasmi_stack_land`), two come out
//! (`kwasmi_host_entry`, always on the stack of the task, and `kwasmi_host_context`).
//!
//! Every structure is plain data. Addresses in them are valid for as long as the call that passes them.

use core::ffi::{
    c_char,
    c_void, //
};

/// Room for the text of a panic, in bytes.
pub const FAULT_TEXT_LEN: usize = 232;

/// What is known about one stay in the engine. It lives on the stack of the task that entered.
#[repr(C)]
pub struct Context {
    /// The top of the engine stack: the word there holds the task's own stack pointer while the engine runs.
    pub stack_top: *mut usize,
    /// The heap account that allocations are charged to; null before there is one.
    pub account: *mut c_void,
    /// The host's own data, handed back in each [`HostCall`].
    pub host: *mut c_void,
    /// Set when the engine landed: nothing of the account is in a known state.
    pub landed: bool,
    /// The [`Limit`] that made it land, with [`Status::Limited`].
    pub limit: u32,
    /// The bytes of `fault_text` in use.
    pub fault_len: usize,
    /// Why it landed.
    pub fault_text: [u8; FAULT_TEXT_LEN],
}

impl Context {
    /// The context of a stay that has not begun.
    #[must_use]
    pub const fn new(stack_top: *mut usize, account: *mut c_void, host: *mut c_void) -> Self {
        Self { stack_top, account, host, landed: false, limit: 0, fault_len: 0, fault_text: [0; FAULT_TEXT_LEN] }
    }
}

/// What `kwasmi_engine_entry` is asked to do, and the type that its argument points to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineOp {
    /// [`InitArgs`]: once, before anything else.
    Init = 0,
    /// [`AccountArgs`]: opens a heap account.
    AccountOpen = 1,
    /// [`AccountArgs`]: closes one.
    AccountClose = 2,
    /// [`LoadArgs`].
    Load = 3,
    /// [`ObjectArgs`] with a module.
    Unload = 4,
    /// [`StartArgs`].
    Start = 5,
    /// [`RunArgs`].
    Run = 6,
    /// [`ObjectArgs`] with an instance.
    Drop = 7,
    /// [`ReserveArgs`]: what is known about the reserve.
    Reserve = 8,
}

/// What `kwasmi_engine_entry` and `kwasmi_stack_land` return.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Not valid Wasm, or not a program that can run here. The log says why.
    Invalid = 1,
    /// No memory, or the account's budget is spent.
    NoMemory = 2,
    /// [`EngineOp::Run`] only: the host asked for a stop; the guest can be run on.
    Interrupted = 3,
    /// The engine panicked. [`Context::fault_text`] says why.
    Fault = 4,
    /// The host asked for something that there is not.
    Unknown = 5,
    /// A limit was reached.
    Limited = 6,
    /// The host asked for the end.
    Killed = 7,
}

impl Status {
    /// The status that `value` stands for.
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
            _ => Self::Unknown,
        }
    }
}

/// What the engine keeps to, or is told to by the host. The numbers are those of `KWASMI_LIMIT_*`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the header's own names")]
pub enum Limit {
    Functions = 2,
    FunctionSize = 3,
    Locals = 4,
    Arity = 5,
    Globals = 6,
    DataSegments = 7,
    ElementSegments = 8,
    Stack = 9,
    Code = 10,
    Memory = 11,
    Table = 12,
    Heap = 13,
    Fds = 14,
    Fuel = 15,
    Time = 16,
    CpuTime = 17,
    TotalHeap = 18,
}

/// A text buffer of the host.
#[repr(C)]
pub struct Log {
    /// Where it is.
    pub text: *mut u8,
    /// Its size in bytes.
    pub size: usize,
    /// The length of the whole text in bytes, which may be more than `size`.
    pub len: usize,
}

/// Bytes of the host.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    /// Where they are; not null, even if there are none.
    pub addr: *const u8,
    /// How many.
    pub len: usize,
}

/// The argument of [`EngineOp::Init`].
#[repr(C)]
pub struct InitArgs {
    /// Memory for the reserve, the engine's from now on.
    pub reserve: *mut u8,
    /// Its size in bytes.
    pub reserve_len: usize,
}

/// The argument of [`EngineOp::Reserve`].
#[repr(C)]
#[derive(Default)]
pub struct ReserveArgs {
    /// Out: bytes in use.
    pub used: usize,
    /// Out: the most bytes that ever were.
    pub peak: usize,
}

/// Counters of an account, kept by the engine; the host may read them at any time.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct AccountStats {
    /// Bytes allocated, bookkeeping included.
    pub used: usize,
    /// The most that `used` ever was.
    pub peak: usize,
    /// Blocks allocated.
    pub blocks: usize,
}

/// The argument of [`EngineOp::AccountOpen`] and [`EngineOp::AccountClose`].
#[repr(C)]
pub struct AccountArgs {
    /// The account: out of `AccountOpen`, into `AccountClose`.
    pub account: *mut c_void,
    /// The most bytes that it may hold. `AccountOpen` only.
    pub budget: usize,
    /// The [`Limit`] that this is. `AccountOpen` only.
    pub limit: u32,
    /// The account that inherits blocks that are still in use; null: they are freed. `AccountClose` only.
    pub heir: *mut c_void,
    /// Out of `AccountClose`: what was still allocated, and the peak.
    pub stats: AccountStats,
}

/// What a module may have.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleLimits {
    /// Functions of its own.
    pub functions: u64,
    /// Bytes of code of one function.
    pub function_size: u64,
    /// Locals of one function, besides its parameters.
    pub locals: u64,
    /// Parameters of one function type, or results.
    pub arity: u64,
    /// Globals of its own.
    pub globals: u64,
    /// Data segments.
    pub data_segments: u64,
    /// Element segments.
    pub element_segments: u64,
    /// Bytes of the Wasm stack of each instance: values, and [`CALL_BYTES`] for each call.
    pub stack: u64,
}

/// What a Wasm call counts on the Wasm stack, besides its values, in bytes.
pub const CALL_BYTES: u64 = 64;

/// What an instance may take, besides the heap of its account. `u64::MAX`: no limit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InstanceLimits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Elements of tables.
    pub table: u64,
    /// Open descriptors.
    pub fds: u64,
    /// Instructions, about.
    pub fuel: u64,
}

/// How a module was loaded.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// It is interpreted: that was asked for, or it cannot be compiled.
    Interpreter = 0,
    /// It is compiled.
    Compiler = 1,
    /// It is interpreted, since the checker refused the compiler's output.
    Unsafe = 2,
}

/// The argument of [`EngineOp::Load`].
#[repr(C)]
pub struct LoadArgs {
    /// The module's bytes.
    pub wasm: Bytes,
    /// What the module may have.
    pub limits: ModuleLimits,
    /// Its manifest, which is well-formed; no bytes if there is none.
    pub manifest: Bytes,
    /// Whether the imports of `kwasmi_test` are provided.
    pub fault_injection: bool,
    /// Set if it is to be compiled, where that is possible.
    pub compiler: bool,
    /// Out: an [`Engine`].
    pub engine: u32,
    /// Out, with [`Status::Limited`]: a [`Limit`].
    pub limit: u32,
    /// Why it failed.
    pub log: *mut Log,
    /// Out: the module.
    pub module: *mut c_void,
}

/// The argument of [`EngineOp::Unload`] and [`EngineOp::Drop`].
#[repr(C)]
pub struct ObjectArgs {
    /// The module or instance. It is gone afterwards.
    pub object: *mut c_void,
}

/// A descriptor that the guest is handed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FdGrant {
    /// The guest's number for it.
    pub guest_fd: u32,
    /// The host's handle, passed back in [`HostOp`] calls.
    pub handle: u32,
    /// Preview 1 `rights`.
    pub rights: u64,
    /// Preview 1 `rights` of what is made from it.
    pub rights_inheriting: u64,
    /// The path under which the guest finds it, a preopened directory; no bytes if it is none.
    pub name: Bytes,
}

/// The argument of [`EngineOp::Start`].
#[repr(C)]
pub struct StartArgs {
    /// The module.
    pub module: *const c_void,
    /// NUL-terminated strings, one after another.
    pub args: Bytes,
    /// The same: `NAME=VALUE`.
    pub env: Bytes,
    /// Descriptors.
    pub fds: *const FdGrant,
    /// How many.
    pub fds_len: usize,
    /// What it may take.
    pub limits: InstanceLimits,
    /// Out, with [`Status::Limited`]: a [`Limit`].
    pub limit: u32,
    /// Why it failed.
    pub log: *mut Log,
    /// Out: the instance.
    pub instance: *mut c_void,
}

/// How a guest ended. The numbers are those of `KWASMI_EXITED` and its siblings.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `code` is its exit status.
    Exited = 0,
    /// `code` is a [`Trap`].
    Trapped = 1,
    /// `code` is a [`Limit`].
    Limited = 2,
    /// Killed. Decided by the host. `code` is [`SIGPIPE`], or 0 for all else.
    Killed = 3,
    /// There was no memory for it.
    OutOfMemory = 4,
    /// The engine panicked.
    EngineFault = 5,
}

/// Linux's number of the signal that a process gets when it writes to a pipe that nobody reads.
pub const SIGPIPE: u32 = 13;

/// Why a guest trapped.
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

/// The argument of [`EngineOp::Run`].
#[repr(C)]
pub struct RunArgs {
    /// The instance.
    pub instance: *mut c_void,
    /// Out, if the status is [`Status::Ok`]: an [`Ending`].
    pub ending: u32,
    /// Out: its `code`.
    pub code: u32,
    /// Out, also when the engine lands: fuel used so far, up to the last slice.
    pub fuel_used: u64,
    /// Out, also when the engine lands: the most bytes of linear memory, up to the last slice.
    pub memory_peak: u64,
    /// Words about the ending: of a trap which one, of a limit where the guest was.
    pub log: *mut Log,
}

/// What `kwasmi_host_entry` is asked to do; each takes a [`HostCall`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostOp {
    /// Allocates `args[0]` bytes, aligned to `args[1]`. `value`: the address. Fails with `EDQUOT` for [`Limit::TotalHeap`].
    /// [`HOST_INTERRUPTED`] if the work that needs it is to end; `value` is a [`Checkpoint`] then.
    Alloc = 0,
    /// Frees the `args[1]` bytes at `args[0]`.
    Free = 1,
    /// Lets others run.
    Yield = 2,
    /// Between two slices, and in the middle of what takes long: may the guest go on? A [`Checkpoint`].
    Checkpoint = 3,
    /// Reads from handle `args[0]` into `args[2]` [`IoVec`]s at `args[1]`, from offset `args[3]` ([`AT_POSITION`] and
    /// [`AT_POSITION_NOW`]: from the file's position, which moves). `value`: bytes.
    Read = 4,
    /// Writes, likewise.
    Write = 5,
    /// Moves the position of handle `args[0]` by `args[1]` from `args[2]` (0 start, 1 position, 2 end). `value`: the
    /// new position.
    Seek = 6,
    /// Gives up handle `args[0]`.
    Close = 7,
    /// Describes handle `args[0]` in the [`FileStat`] at `args[1]`.
    Stat = 8,
    /// Sets the preview 1 `fdflags` of handle `args[0]` to `args[1]`.
    SetFlags = 9,
    /// Clock `args[0]` (preview 1 `clockid`). `value`: nanoseconds.
    ClockTime = 10,
    /// Its resolution. `value`: nanoseconds.
    ClockResolution = 11,
    /// Sleeps until clock `args[0]` shows `args[1]` nanoseconds.
    SleepUntil = 12,
    /// Fills `args[1]` bytes at `args[0]` with random ones.
    Random = 13,
    /// Opens what the [`Place`] at `args[0]` names, as the [`open`] bits of `args[1]` say; the new handle has the preview 1
    /// `fdflags` `args[2]`. `value`: the handle.
    Open = 14,
    /// Describes what the [`Place`] at `args[0]` names in the [`FileStat`] at `args[1]`.
    StatAt = 15,
    /// Sets the times of handle `args[0]` to the [`Times`] at `args[1]`.
    SetTimes = 16,
    /// The same for what the [`Place`] at `args[0]` names.
    SetTimesAt = 17,
    /// Makes the directory that the [`Place`] at `args[0]` names.
    CreateDirectory = 18,
    /// Removes the directory that the [`Place`] at `args[0]` names.
    RemoveDirectory = 19,
    /// Removes the file that the [`Place`] at `args[0]` names.
    Unlink = 20,
    /// Makes the [`Place`] at `args[0]` a symbolic link to the text at `args[1]`, which has a NUL at its end.
    Symlink = 21,
    /// Makes the [`Place`] at `args[1]` another name for what that at `args[0]` names.
    Link = 22,
    /// Gives what the [`Place`] at `args[0]` names the name of that at `args[1]`.
    Rename = 23,
    /// Puts the text of the symbolic link that the [`Place`] at `args[0]` names into the `args[2]` bytes at `args[1]`.
    /// `value`: the bytes of the text, also if there are more.
    ReadLink = 24,
    /// Puts entries of directory `args[0]` from cookie `args[3]` on (0: the first) into the `args[2]` bytes at `args[1]`, as
    /// preview 1 lays out `dirent`s, each with its name after it; the last one may be cut off. `value`: bytes.
    ReadDirectory = 25,
    /// Tells preview 1 `advice` `args[3]` about `args[2]` bytes at offset `args[1]` of handle `args[0]`.
    Advise = 26,
    /// Makes sure that handle `args[0]` has room for `args[2]` bytes at offset `args[1]`.
    Allocate = 27,
    /// Sets the size of handle `args[0]` to `args[1]` bytes.
    SetSize = 28,
    /// Puts handle `args[0]` on its device; only the data if `args[1]` is 1.
    Sync = 29,
    /// Waits until one of the `args[1]` [`PollEntry`]s at `args[0]` is ready, or the monotonic clock shows `args[2]`
    /// nanoseconds (`u64::MAX`: for ever). `value`: how many are ready.
    Poll = 30,
    /// Takes a connection from the listening socket `args[0]`; the new handle has the preview 1 `fdflags` `args[1]`. If
    /// `args[2]` is 1, it fails with `EAGAIN` where it would have to wait. `value`: the handle.
    Accept = 31,
    /// Receives from socket `args[0]` into `args[2]` [`IoVec`]s at `args[1]`, with preview 1 `riflags` `args[3]`. `value`:
    /// bytes, and [`RECEIVED_TRUNCATED`].
    Receive = 32,
    /// Sends `args[2]` [`IoVec`]s at `args[1]` on socket `args[0]`. `value`: bytes.
    Send = 33,
    /// Shuts socket `args[0]` down, in the directions of the preview 1 `sdflags` `args[1]`.
    Shutdown = 34,
    /// Moves at most `args[2]` bytes from handle `args[0]` to handle `args[1]`, at the positions of both, and waits until some can
    /// be. `value`: bytes, 0 at the end of what it reads. Fails with `ENOSYS`, with nothing done, where it takes a buffer.
    Splice = 35,
    /// Makes machine code of the functions in the [`Jit`] at `args[0]`. Fails with `EOPNOTSUPP` where there is no such compiler, and
    /// with `EINTR` if the work is to end.
    Compile = 36,
    /// Frees the machine code of the programs at `args[0]`, from [`Jit::programs`].
    Discard = 37,
    /// From now on sets the word at `args[0]` to 1 and that at `args[1]` to `args[2]` every few milliseconds, until the engine entry
    /// ends or the next such call; `args[0]` 0: not any more.
    Tick = 38,
    /// Allocates a stack of `args[0]` bytes between guard pages. `value`: its address. Fails with `EDQUOT` for [`Limit::TotalHeap`].
    AllocStack = 39,
    /// Frees the stack of `args[1]` bytes at `args[0]`.
    FreeStack = 40,
}

/// A function for the host's compiler.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct JitFunction {
    /// Instructions, as eBPF has them; a call of a function has its index as immediate, one of a helper the helper's number.
    pub code: *const u64,
    /// Number of instructions.
    pub len: usize,
    /// Size of the frame in bytes.
    pub frame: u32,
    /// Out: size of the machine code in bytes.
    pub size: u32,
    /// Out: address of the machine code.
    pub entry: usize,
    /// Must be zero.
    pub reserved: u64,
}

/// The argument of [`HostOp::Compile`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Jit {
    /// Functions that may call each other.
    pub functions: *mut JitFunction,
    /// How many.
    pub count: usize,
    /// Addresses of helpers by their numbers; 0: there is none.
    pub helpers: *const usize,
    /// How many.
    pub helpers_len: usize,
    /// Out: for [`HostOp::Discard`].
    pub programs: *mut c_void,
}

/// What [`HostOp::Open`] is to do.
pub mod open {
    /// Make a file where there is none.
    pub const CREATE: u64 = 1 << 0;
    /// Fail if it is not a directory.
    pub const DIRECTORY: u64 = 1 << 1;
    /// Fail if there is one.
    pub const EXCLUSIVE: u64 = 1 << 2;
    /// Empty it.
    pub const TRUNCATE: u64 = 1 << 3;
    /// To read it.
    pub const READ: u64 = 1 << 4;
    /// To write it.
    pub const WRITE: u64 = 1 << 5;
}

/// A name below a directory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    /// The directory's handle.
    pub dir: u32,
    /// Whether a symbolic link at the end of the path is followed.
    pub follow: u32,
    /// The path: not empty, relative, with a NUL at its end, at most [`PATH_MAX`] bytes without it.
    pub path: *const c_char,
}

/// The most bytes of a path: Linux's `PATH_MAX`, without the NUL.
pub const PATH_MAX: usize = 4095;

/// Times to set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Preview 1 `fstflags`: which of them, and whether to now.
    pub flags: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Of the last access, in nanoseconds since 1970.
    pub atime: u64,
    /// Of the last change of the data.
    pub mtime: u64,
}

/// Something to wait for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PollEntry {
    /// The handle.
    pub handle: u32,
    /// [`poll::READ`], [`poll::WRITE`]; [`poll::BYTES`] with the first.
    pub events: u32,
    /// Out: which of them there are, and [`poll::HANGUP`]; or a negative `errno`.
    pub ready: i32,
    /// Must be zero.
    pub reserved: u32,
    /// Out: the bytes that can be read, with [`poll::BYTES`]; 1 where that is not known.
    pub bytes: u64,
}

/// Bits of a [`PollEntry`].
pub mod poll {
    /// It can be read without waiting.
    pub const READ: u32 = 1 << 0;
    /// It can be written without waiting.
    pub const WRITE: u32 = 1 << 1;
    /// The other side is gone.
    pub const HANGUP: u32 = 1 << 2;
    /// It is to be told how many bytes can be read.
    pub const BYTES: u32 = 1 << 3;
}

/// [`HostOp::Receive`]: the message was longer.
pub const RECEIVED_TRUNCATED: u64 = 1 << 63;

/// In the `value` of [`HostOp::Open`]: it is a directory.
pub const OPENED_DIRECTORY: u64 = 1 << 63;

/// [`HostOp::Read`] and [`HostOp::Write`]: at the file's position.
pub const AT_POSITION: u64 = u64::MAX;

/// The same, but where that would have to wait it fails with `EAGAIN`.
pub const AT_POSITION_NOW: u64 = u64::MAX - 1;

/// The most [`IoVec`]s of one call, Linux's `UIO_MAXIOV`.
pub const IOVECS_MAX: usize = 1024;

/// A part of a guest's memory, for the host to read or write.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoVec {
    /// Where it is.
    pub addr: *mut u8,
    /// Its length in bytes.
    pub len: usize,
}

/// What the host says at a [`HostOp::Checkpoint`].
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Go on.
    Continue = 0,
    /// Stop for now: the guest is to be run on later.
    Interrupt = 1,
    /// End it with [`Ending::Killed`].
    Killed = 2,
    /// End it with [`Limit::Time`].
    Time = 3,
    /// End it with [`Limit::CpuTime`].
    CpuTime = 4,
    /// End it with [`Ending::Killed`], by SIGPIPE.
    BrokenPipe = 5,
}

impl Checkpoint {
    /// The answer that `value` stands for.
    #[must_use]
    pub fn from_raw(value: u64) -> Self {
        match value {
            0 => Self::Continue,
            1 => Self::Interrupt,
            3 => Self::Time,
            4 => Self::CpuTime,
            5 => Self::BrokenPipe,
            _ => Self::Killed,
        }
    }
}

/// Linux's `EDQUOT`.
pub const EDQUOT: i32 = 122;

/// What is behind a handle.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct FileStat {
    /// Device of the inode.
    pub dev: u64,
    /// Number of the inode.
    pub ino: u64,
    /// Hard links.
    pub nlink: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last access, in nanoseconds since 1970.
    pub atime: u64,
    /// Time of the last change of the data.
    pub mtime: u64,
    /// Time of the last change of the inode.
    pub ctime: u64,
    /// Linux's `st_mode`.
    pub mode: u32,
    /// Linux's open flags.
    pub flags: u32,
    /// For a socket its type (Linux's `SOCK_*`), else 0.
    pub socket_type: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// The argument of `kwasmi_host_entry`.
#[repr(C)]
pub struct HostCall {
    /// [`Context::host`].
    pub host: *mut c_void,
    /// See [`HostOp`].
    pub args: [u64; 4],
    /// Out.
    pub value: u64,
}

/// `kwasmi_host_entry` returns 0, a negative Linux `errno`, or this: a signal or the end of the guest is pending, and
/// nothing was done. The next [`HostOp::Checkpoint`] says which.
pub const HOST_INTERRUPTED: i32 = -512;
