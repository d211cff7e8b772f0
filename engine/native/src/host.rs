// SPDX-License-Identifier: GPL-2.0

//! The host operations of an ordinary process, made of system calls. `kmod/host` has those of the
//! kernel.

mod clock;
mod directory;
mod files;
mod paths;
mod readiness;
mod sockets;
mod ticker;

pub(crate) use files::Files;

use self::{
    files::{
        Direction,
        Open, //
    },
    paths::Path,
    ticker::Ticker, //
};
use crate::{
    ffi::{
        Checkpoint,
        Context,
        FileStat,
        Handle,
        HostCall,
        IoVec,
        Opened,
        PollEntry,
        Position,
        Received,
        Times, //
    },
    host_operations::{
        Allocated,
        Block,
        CallError,
        Destination,
        HostOp,
        Operations,
        RawOperations,
        RelativePath,
        Source,
        Ticks,
        Transfer,
        Uncompiled,
        dispatch, //
    },
    machine_code::{
        self,
        Mapping, //
    },
    preview1::{
        Advice,
        ClockId,
        FdFlags,
        Whence, //
    },
};
use rustix::{
    fs::FileType,
    io::Errno,
    rand::GetRandomFlags, //
};
use std::{
    alloc::{
        Layout,
        alloc,
        dealloc, //
    },
    cell::{
        Cell,
        RefCell, //
    },
    ffi::{
        CStr,
        c_void, //
    },
    io::{
        IoSlice,
        IoSliceMut, //
    },
    ptr::{
        self,
        NonNull, //
    },
    slice,
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

/// Result of a host operation.
type Result<T = u64> = std::result::Result<T, Errno>;

thread_local! {
    static CONTEXT: Cell<*mut Context> = const { Cell::new(ptr::null_mut()) };
    /// Set if stretches are measured. Reading the clock costs more than many host calls.
    static MEASURES: Cell<bool> = const { Cell::new(false) };
    /// Time of the last host call, or of the entry into the engine.
    static LAST_SAY: Cell<Option<Instant>> = const { Cell::new(None) };
    static LONGEST_STRETCH: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// The guest's files.
    static FILES: RefCell<Files> = const { RefCell::new(Files::new()) };
    /// Machine code of the guest's module.
    static CODE: RefCell<Option<kwasmi::machine_code::MachineCode>> = const { RefCell::new(None) };
    /// The mapped machine code of the module. A process loads one.
    static MAPPED: RefCell<Option<Mapping>> = const { RefCell::new(None) };
    /// The stack of the compiled guest. A process starts one.
    static STACK: RefCell<Option<Mapping>> = const { RefCell::new(None) };
    /// Linear memories of that guest, by their indices.
    static MEMORIES: RefCell<Vec<Option<Mapping>>> = const { RefCell::new(Vec::new()) };
    /// The timer of the guest.
    static TICKER: RefCell<Option<Ticker>> = const { RefCell::new(None) };
}

/// Sets the machine code of the module that is loaded next.
pub(crate) fn set_code(code: kwasmi::machine_code::MachineCode) {
    CODE.set(Some(code));
}

/// Ends the entry into the engine.
pub(crate) fn end() {
    TICKER.set(None);
    set_context(ptr::null_mut());
}

/// Sets the context of this thread's entry into the engine; null if there is none.
pub(crate) fn set_context(context: *mut Context) {
    note_say();
    CONTEXT.set(context);
    LAST_SAY.set((MEASURES.get() && !context.is_null()).then(Instant::now));
}

/// Starts to measure how long the engine runs between two host calls.
pub(crate) fn measure_stretches() {
    MEASURES.set(true);
}

/// Returns the longest time that the engine ran between two host calls. In the kernel, the task
/// could not be ended for as long.
pub(crate) fn longest_stretch() -> Duration {
    LONGEST_STRETCH.get()
}

/// Returns the CPU time of the process in nanoseconds.
pub(crate) fn cpu_time() -> u64 {
    clock::time(ClockId::ProcessCpu)
}

/// Sets the guest's files.
pub(crate) fn set_files(files: Files) {
    FILES.set(files);
}

fn note_say() {
    if let Some(last) = LAST_SAY.get() {
        LONGEST_STRETCH.set(LONGEST_STRETCH.get().max(last.elapsed()));
    }
}

/// Returns the value of [`Context::host`]. The engine only makes checkpoints if it is not null.
pub(crate) fn present() -> *mut c_void {
    ptr::dangling_mut::<u8>().cast()
}

#[unsafe(no_mangle)]
extern "C" fn kwasmi_host_context() -> *mut Context {
    CONTEXT.get()
}

/// Size of a page, in bytes.
const PAGE: usize = 4096;

/// Alignment of every block: freeing does not tell the alignment, so one value serves all requests.
const ALIGN: usize = 64;

fn layout(size: usize) -> Result<Layout> {
    Layout::from_size_align(size.max(1), ALIGN).map_err(|_| Errno::NOMEM)
}

/// Makes the host call `op`.
///
/// # Safety
///
/// `call` must point to a call that nothing else uses, with the words that the engine's
/// `Border::call` made for `op`.
#[unsafe(no_mangle)]
unsafe extern "C" fn kwasmi_host_entry(op: u32, call: *mut HostCall) -> i32 {
    // SAFETY: `call` is valid and not used otherwise by the safety requirement of this function.
    let call = unsafe { &mut *call };
    note_say();
    let result = match HostOp::from_raw(op) {
        // SAFETY: The words are those of `op` by the safety requirement of this function.
        Some(op) => unsafe { dispatch(&mut Process, op, call.args) },
        None => Err(Errno::NOSYS),
    };
    let status = match result {
        Ok(value) => {
            call.value = value;
            0
        }
        Err(errno) => -errno.raw_os_error(),
    };
    if MEASURES.get() {
        LAST_SAY.set(Some(Instant::now()));
    }
    status
}

impl From<CallError> for Errno {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSupported => Self::OPNOTSUPP,
            CallError::Malformed => Self::INVAL,
        }
    }
}

/// The host operations of this process. The guest's files are those of [`set_files`].
struct Process;

/// Calls `go` with the guest's files.
fn with_files<T>(go: impl FnOnce(&mut Files) -> Result<T>) -> Result<T> {
    FILES.with_borrow_mut(go)
}

/// Calls `go` with the file that `handle` is.
fn with_file<T>(handle: Handle, go: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
    with_files(|files| go(files.get(handle.0.into())?))
}

/// Calls `go` with the path that `place` stands for.
fn with_path<T>(place: RelativePath<'_>, go: impl FnOnce(Path<'_>) -> Result<T>) -> Result<T> {
    with_files(|files| go(path(files, place)?))
}

fn path<'a>(files: &'a Files, place: RelativePath<'a>) -> Result<Path<'a>> {
    Ok(Path::new(files.get(place.dir.0.into())?, place.path, place.follow))
}

/// Returns a number of bytes as a length in memory.
fn length(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|_| Errno::OVERFLOW)
}

/// Returns the handle of a file that was added to the table.
fn handle(index: u64) -> Result<Handle> {
    u32::try_from(index).map(Handle).map_err(|_| Errno::MFILE)
}

impl Operations for Process {
    type Error = Errno;

    fn yield_now(&mut self) -> Result<()> {
        thread::yield_now();
        Ok(())
    }

    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64> {
        with_file(handle, |file| file.seek(offset, whence as u64))
    }

    fn close(&mut self, handle: Handle) -> Result<()> {
        with_files(|files| files.close(handle.0.into())).map(drop)
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat> {
        with_file(handle, Open::stat)
    }

    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result<()> {
        with_files(|files| files.set_flags(handle.0.into(), flags.bits().into())).map(drop)
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64> {
        Ok(clock::time(clock))
    }

    fn clock_resolution(&mut self, clock: ClockId) -> Result<u64> {
        Ok(clock::resolution(clock))
    }

    fn sleep_until(&mut self, clock: ClockId, deadline: u64) -> Result<()> {
        clock::sleep_until(clock, deadline)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<()> {
        rustix::rand::getrandom(bytes, GetRandomFlags::empty()).map(drop)
    }

    fn open(&mut self, place: RelativePath<'_>, how: u64, flags: FdFlags) -> Result<Opened> {
        with_files(|files| {
            let opened = path(files, place)?.open(how, flags.bits().into())?;
            let is_directory = opened.kind()? == FileType::Directory;
            Ok(Opened { handle: handle(files.add(opened))?, is_directory })
        })
    }

    fn stat_at(&mut self, place: RelativePath<'_>) -> Result<FileStat> {
        with_path(place, |path| path.stat())
    }

    fn set_times(&mut self, handle: Handle, times: &Times) -> Result<()> {
        with_file(handle, |file| file.set_times(times)).map(drop)
    }

    fn set_times_at(&mut self, place: RelativePath<'_>, times: &Times) -> Result<()> {
        with_path(place, |path| path.set_times(times)).map(drop)
    }

    fn create_directory(&mut self, place: RelativePath<'_>) -> Result<()> {
        with_path(place, |path| path.create_directory()).map(drop)
    }

    fn remove_directory(&mut self, place: RelativePath<'_>) -> Result<()> {
        with_path(place, |path| path.remove_directory()).map(drop)
    }

    fn unlink(&mut self, place: RelativePath<'_>) -> Result<()> {
        with_path(place, |path| path.unlink()).map(drop)
    }

    fn symlink(&mut self, target: &CStr, place: RelativePath<'_>) -> Result<()> {
        with_path(place, |path| path.symlink(target)).map(drop)
    }

    fn link(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result<()> {
        with_files(|files| path(files, old)?.link(&path(files, new)?)).map(drop)
    }

    fn rename(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result<()> {
        with_files(|files| path(files, old)?.rename(&path(files, new)?)).map(drop)
    }

    fn read_link(&mut self, place: RelativePath<'_>, text: &mut [u8]) -> Result<usize> {
        with_path(place, |path| length(path.read_link(text)?))
    }

    fn read_directory(&mut self, handle: Handle, entries: &mut [u8], cookie: u64) -> Result<usize> {
        with_file(handle, |file| length(directory::read(file, entries, cookie)?))
    }

    fn advise(&mut self, handle: Handle, offset: u64, len: u64, advice: Advice) -> Result<()> {
        with_file(handle, |file| file.advise(offset, len, advice as u64)).map(drop)
    }

    fn allocate(&mut self, handle: Handle, offset: u64, len: u64) -> Result<()> {
        with_file(handle, |file| file.allocate(offset, len)).map(drop)
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Result<()> {
        with_file(handle, |file| file.set_size(size)).map(drop)
    }

    fn sync(&mut self, handle: Handle, data_only: bool) -> Result<()> {
        with_file(handle, |file| file.sync(data_only)).map(drop)
    }

    fn poll(&mut self, entries: &mut [PollEntry], deadline: Option<u64>) -> Result<usize> {
        with_files(|files| length(readiness::poll(files, entries, deadline.unwrap_or(u64::MAX))?))
    }

    fn accept(&mut self, socket: Handle, flags: FdFlags, waits: bool) -> Result<Handle> {
        with_files(|files| {
            let accepted = sockets::accept(files.get(socket.0.into())?, flags.bits().into(), !waits)?;
            handle(files.add(accepted))
        })
    }

    // Nobody calls functions of the guest.
    fn call_input(&mut self, _offset: u64, _bytes: &mut [u8]) -> Result<usize> {
        Err(Errno::NOTCONN)
    }

    fn call_output(&mut self, _bytes: &[u8]) -> Result<()> {
        Err(Errno::NOTCONN)
    }

    fn shutdown(&mut self, handle: Handle, how: u8) -> Result<()> {
        with_file(handle, |file| sockets::shutdown(file, how.into())).map(drop)
    }
}

impl RawOperations for Process {
    fn alloc(&mut self, size: usize, _align: usize) -> Result<Allocated> {
        let layout = layout(size)?;
        // SAFETY: `alloc` requires a layout whose size is not 0; `layout` returns at least 1 byte.
        let start = unsafe { alloc(layout) };
        NonNull::new(start).map(Allocated::At).ok_or(Errno::NOMEM)
    }

    fn free(&mut self, block: Block) -> Result<()> {
        let (start, size) = block.into_parts();
        let layout = layout(size)?;
        // SAFETY: A `Block` comes from `RawOperations::alloc`, with this size, and this function
        // owns it.
        unsafe { dealloc(start.as_ptr(), layout) };
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint> {
        Ok(Checkpoint::Continue)
    }

    fn transfer(&mut self, handle: Handle, transfer: Transfer<'_>, at: Position) -> Result<usize> {
        let direction = match transfer {
            Transfer::Read(into) => Direction::Read(parts_mut(into)),
            Transfer::Write(from) => Direction::Write(parts(from)),
        };
        with_file(handle, |file| length(file.transfer(direction, at)?))
    }

    fn receive(&mut self, handle: Handle, into: Destination<'_>, flags: u16) -> Result<Received> {
        with_file(handle, |file| sockets::receive(file, parts_mut(into), flags.into()))
    }

    fn send(&mut self, handle: Handle, from: Source<'_>) -> Result<usize> {
        with_file(handle, |file| length(sockets::send(file, parts(from), false)?))
    }

    /// Takes the machine code of [`set_code`].
    fn compile(&mut self, functions: Uncompiled<'_>) -> Result<()> {
        let code = CODE.take().ok_or(Errno::OPNOTSUPP)?;
        let mapping = machine_code::map(&code, functions).map_err(|reason| {
            eprintln!("kwasmi-native: {reason}");
            Errno::INVAL
        })?;
        MAPPED.set(Some(mapping));
        Ok(())
    }

    fn tick(&mut self, ticks: Option<Ticks>) -> Result<()> {
        TICKER.set(None);
        if let Some(ticks) = ticks {
            // SAFETY: The ticker is dropped at the next call of this function, or by `end`.
            let ticker = unsafe { Ticker::start(ticks) };
            TICKER.set(Some(ticker.map_err(|_| Errno::NOMEM)?));
        }
        Ok(())
    }

    fn alloc_stack(&mut self, size: usize) -> Result<NonNull<u8>> {
        let len = size.checked_add(2 * PAGE).ok_or(Errno::NOMEM)?;
        let mut mapping = Mapping::new(0, len).map_err(|_| Errno::NOMEM)?;
        for guard in [0, len - PAGE] {
            mapping.protect(guard, PAGE, libc::PROT_NONE).map_err(|_| Errno::NOMEM)?;
        }
        let start = mapping.start().as_ptr().wrapping_add(PAGE);
        STACK.set(Some(mapping));
        NonNull::new(start).ok_or(Errno::NOMEM)
    }

    fn grow_memory(&mut self, index: u16, size: usize) -> Result<Allocated> {
        let mut memories = MEMORIES.take();
        let index = usize::from(index);
        memories.resize_with(memories.len().max(index + 1), || None);
        let mapping = match memories[index].take() {
            Some(mapping) => mapping.grow(size),
            None => Mapping::new(0, size),
        };
        let mapping = mapping.map_err(|_| Errno::NOMEM)?;
        let start = mapping.start();
        memories[index] = Some(mapping);
        MEMORIES.set(memories);
        Ok(Allocated::At(start))
    }

    /// Fails with `ENOSYS`: every pair of files needs a buffer in between.
    fn splice(&mut self, _from: Handle, _to: Handle, _len: usize) -> Result<usize> {
        Err(Errno::NOSYS)
    }
}

// `IoVec` is laid out as `struct iovec`, and so are the types of the standard library.
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSlice<'_>>());
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSliceMut<'_>>());

/// Returns the parts of a source as the standard library has them.
fn parts(from: Source<'_>) -> &[IoSlice<'_>] {
    let parts = from.parts();
    // SAFETY: An `IoSlice` is laid out as an `IoVec`, and the parts of a `Source` are valid for
    // reads.
    unsafe { slice::from_raw_parts(parts.as_ptr().cast(), parts.len()) }
}

/// Returns the parts of a destination as the standard library has them.
fn parts_mut(into: Destination<'_>) -> &mut [IoSliceMut<'_>] {
    let parts = into.parts();
    // SAFETY: An `IoSliceMut` is laid out as an `IoVec`, and the parts of a `Destination` are valid
    // for writes and not used otherwise.
    unsafe { slice::from_raw_parts_mut(parts.as_ptr().cast_mut().cast(), parts.len()) }
}
