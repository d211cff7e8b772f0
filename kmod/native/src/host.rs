// SPDX-License-Identifier: GPL-2.0

//! The host functions, by the system calls of an ordinary process: what `kmod/host` is in the kernel.

mod clock;
mod directory;
mod files;
mod paths;
mod ready;
mod sockets;

pub(crate) use files::Files;

use self::{
    files::Direction,
    paths::Path, //
};
use crate::ffi::{
    Checkpoint,
    Context,
    FileStat,
    HostCall,
    HostOp,
    IoVec,
    OPENED_DIRECTORY,
    Place,
    PollEntry,
    Times, //
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
        c_char,
        c_void, //
    },
    io::{
        IoSlice,
        IoSliceMut, //
    },
    ptr,
    slice,
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

/// What a host call comes to.
type Result<T = u64> = std::result::Result<T, Errno>;

thread_local! {
    static CONTEXT: Cell<*mut Context> = const { Cell::new(ptr::null_mut()) };
    /// Whether stretches are measured: the clock costs more than many a host call.
    static MEASURES: Cell<bool> = const { Cell::new(false) };
    /// When the host had its last say.
    static LAST_SAY: Cell<Option<Instant>> = const { Cell::new(None) };
    static LONGEST_STRETCH: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// The guest's files.
    static FILES: RefCell<Files> = const { RefCell::new(Files::new()) };
}

/// Notes which stay in the engine this thread is in; null: none.
pub(crate) fn set_context(context: *mut Context) {
    note_say();
    CONTEXT.set(context);
    LAST_SAY.set((MEASURES.get() && !context.is_null()).then(Instant::now));
}

/// From now on measures how long the engine runs without the host having a say.
pub(crate) fn measure_stretches() {
    MEASURES.set(true);
}

/// The longest time that the engine ran without the host having a say: in the kernel, the task could not be ended for as
/// long.
pub(crate) fn longest_stretch() -> Duration {
    LONGEST_STRETCH.get()
}

/// Hands the guest's files over to the host functions.
pub(crate) fn set_files(files: Files) {
    FILES.set(files);
}

fn note_say() {
    if let Some(last) = LAST_SAY.get() {
        LONGEST_STRETCH.set(LONGEST_STRETCH.get().max(last.elapsed()));
    }
}

/// What [`Context::host`] is: the engine asks whether to go on only if there is something to ask.
pub(crate) fn present() -> *mut c_void {
    ptr::dangling_mut::<u8>().cast()
}

#[unsafe(no_mangle)]
extern "C" fn kwasmi_host_context() -> *mut Context {
    CONTEXT.get()
}

/// The alignment of every block: as freeing does not tell it, one for all that is asked for.
const ALIGN: usize = 64;

fn layout(size: u64) -> Result<Layout> {
    let size = usize::try_from(size).map_err(|_| Errno::NOMEM)?;
    Layout::from_size_align(size.max(1), ALIGN).map_err(|_| Errno::NOMEM)
}

/// Does `op`, see `ffi::HostOp`.
///
/// # Safety
///
/// `call` points to a call that is filled in as `op` says.
#[unsafe(no_mangle)]
unsafe extern "C" fn kwasmi_host_entry(op: u32, call: *mut HostCall) -> i32 {
    // SAFETY: The caller guarantees it.
    let call = unsafe { &mut *call };
    note_say();
    // SAFETY: The caller guarantees the arguments.
    let status = match unsafe { dispatch(op, call.args) } {
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

/// # Safety
///
/// The arguments are what `op` says.
unsafe fn dispatch(op: u32, args: [u64; 4]) -> Result {
    let [a, b, _, _] = args;
    match op {
        op if op == HostOp::Alloc as u32 => {
            // SAFETY: The layout's size is not zero.
            Ok(unsafe { alloc(layout(a)?) }.expose_provenance() as u64)
        }
        op if op == HostOp::Free as u32 => {
            // SAFETY: The engine frees what it allocated, once, with its size.
            unsafe { dealloc(pointer(a), layout(b)?) };
            Ok(0)
        }
        op if op == HostOp::Yield as u32 => {
            thread::yield_now();
            Ok(0)
        }
        op if op == HostOp::Checkpoint as u32 => Ok(Checkpoint::Continue as u64),
        op if op == HostOp::ClockTime as u32 => clock::time(a),
        op if op == HostOp::ClockResolution as u32 => clock::resolution(a),
        op if op == HostOp::SleepUntil as u32 => clock::sleep_until(a, b),
        op if op == HostOp::Random as u32 => {
            // SAFETY: The engine guarantees address and length.
            rustix::rand::getrandom(unsafe { bytes_mut(a, b) }, GetRandomFlags::empty()).map(|_| 0)
        }
        _ => FILES.with_borrow_mut(|files| {
            // SAFETY: The caller guarantees the arguments.
            unsafe { for_files(op, args, files) }
        }),
    }
}

/// Operations on open files.
///
/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_files(op: u32, [a, b, c, d]: [u64; 4], files: &mut Files) -> Result {
    match op {
        op if op == HostOp::Read as u32 => {
            // SAFETY: The engine guarantees the vectors and what they point to.
            files.get(a)?.transfer(Direction::Read(unsafe { parts_mut(b, c) }), d)
        }
        op if op == HostOp::Write as u32 => {
            // SAFETY: As above.
            files.get(a)?.transfer(Direction::Write(unsafe { parts(b, c) }), d)
        }
        op if op == HostOp::Seek as u32 => files.get(a)?.seek(b.cast_signed(), c),
        op if op == HostOp::Close as u32 => files.close(a),
        op if op == HostOp::Stat as u32 => {
            let stat = files.get(a)?.stat()?;
            // SAFETY: The engine guarantees that the second argument is the address of a `FileStat`.
            unsafe { pointer::<FileStat>(b).write(stat) };
            Ok(0)
        }
        op if op == HostOp::SetFlags as u32 => files.set_flags(a, b),
        op if op == HostOp::SetTimes as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of `Times`.
            files.get(a)?.set_times(unsafe { &*pointer::<Times>(b) })
        }
        op if op == HostOp::ReadDirectory as u32 => {
            // SAFETY: The engine guarantees address and length.
            directory::read(files.get(a)?, unsafe { bytes_mut(b, c) }, d)
        }
        op if op == HostOp::Advise as u32 => files.get(a)?.advise(b, c, d),
        op if op == HostOp::Allocate as u32 => files.get(a)?.allocate(b, c),
        op if op == HostOp::SetSize as u32 => files.get(a)?.set_size(b),
        op if op == HostOp::Sync as u32 => files.get(a)?.sync(b == 1),
        // SAFETY: The caller guarantees the arguments.
        _ => unsafe { for_sockets(op, [a, b, c, d], files) },
    }
}

/// Operations on sockets, and on whatever can be waited for.
///
/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_sockets(op: u32, [a, b, c, d]: [u64; 4], files: &mut Files) -> Result {
    match op {
        op if op == HostOp::Poll as u32 => {
            // SAFETY: The engine guarantees address and number of the entries.
            let entries = unsafe { slice::from_raw_parts_mut(pointer::<PollEntry>(a), length(b)) };
            ready::poll(files, entries, c)
        }
        op if op == HostOp::Accept as u32 => {
            let accepted = sockets::accept(files.get(a)?, b, c == 1)?;
            Ok(files.add(accepted))
        }
        op if op == HostOp::Receive as u32 => {
            // SAFETY: The engine guarantees the vectors and what they point to.
            sockets::receive(files.get(a)?, unsafe { parts_mut(b, c) }, d)
        }
        op if op == HostOp::Send as u32 => {
            // SAFETY: As above.
            sockets::send(files.get(a)?, unsafe { parts(b, c) }, false)
        }
        op if op == HostOp::Shutdown as u32 => sockets::shutdown(files.get(a)?, b),
        // SAFETY: The caller guarantees the arguments.
        _ => unsafe { for_paths(op, [a, b, c], files) },
    }
}

/// Operations on names.
///
/// # Safety
///
/// The arguments are what `op` says.
unsafe fn for_paths(op: u32, [a, b, c]: [u64; 3], files: &mut Files) -> Result {
    if !(HostOp::Open as u32..=HostOp::ReadLink as u32).contains(&op) {
        return Err(Errno::NOSYS);
    }
    // SAFETY: The engine guarantees that the first argument is the address of a place.
    let place = unsafe { path(files, a) }?;
    match op {
        op if op == HostOp::Open as u32 => {
            let opened = place.open(b, c)?;
            let kind = if opened.kind()? == FileType::Directory { OPENED_DIRECTORY } else { 0 };
            Ok(files.add(opened) | kind)
        }
        op if op == HostOp::StatAt as u32 => {
            let stat = place.stat()?;
            // SAFETY: The engine guarantees that the second argument is the address of a `FileStat`.
            unsafe { pointer::<FileStat>(b).write(stat) };
            Ok(0)
        }
        op if op == HostOp::SetTimesAt as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of `Times`.
            place.set_times(unsafe { &*pointer::<Times>(b) })
        }
        op if op == HostOp::CreateDirectory as u32 => place.create_directory(),
        op if op == HostOp::RemoveDirectory as u32 => place.remove_directory(),
        op if op == HostOp::Unlink as u32 => place.unlink(),
        op if op == HostOp::Symlink as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a text with a NUL.
            place.symlink(unsafe { CStr::from_ptr(pointer::<c_char>(b)) })
        }
        op if op == HostOp::Link as u32 => {
            // SAFETY: The engine guarantees that the second argument is the address of a place.
            place.link(&unsafe { path(files, b) }?)
        }
        op if op == HostOp::Rename as u32 => {
            // SAFETY: As above.
            place.rename(&unsafe { path(files, b) }?)
        }
        op if op == HostOp::ReadLink as u32 => {
            // SAFETY: The engine guarantees address and length.
            place.read_link(unsafe { bytes_mut(b, c) })
        }
        _ => Err(Errno::NOSYS),
    }
}

/// The path that a place of the engine is.
///
/// # Safety
///
/// `place` is the address of one, which outlives what is returned.
unsafe fn path(files: &Files, place: u64) -> Result<Path<'_>> {
    // SAFETY: The caller guarantees it.
    let place = unsafe { *pointer::<Place>(place) };
    // SAFETY: The engine guarantees that the path has a NUL at its end.
    let name = unsafe { CStr::from_ptr(place.path) };
    Ok(Path::new(files.get(u64::from(place.dir))?, name, place.follow != 0))
}

/// The address that an argument is.
fn pointer<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(length(address))
}

fn length(value: u64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// # Safety
///
/// There are `len` bytes at `address`, which nobody else uses.
unsafe fn bytes_mut<'a>(address: u64, len: u64) -> &'a mut [u8] {
    // SAFETY: The caller guarantees it.
    unsafe { slice::from_raw_parts_mut(pointer(address), length(len)) }
}

// An `IoVec` is laid out as a `struct iovec`, and so are these.
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSlice<'_>>());
const _: () = assert!(size_of::<IoVec>() == size_of::<IoSliceMut<'_>>());

/// # Safety
///
/// There are `count` [`IoVec`]s at `address`, of memory that nobody changes.
unsafe fn parts<'a>(address: u64, count: u64) -> &'a [IoSlice<'a>] {
    // SAFETY: The caller guarantees it.
    unsafe { slice::from_raw_parts(pointer(address), length(count)) }
}

/// # Safety
///
/// There are `count` [`IoVec`]s at `address`, of memory that nobody else uses.
unsafe fn parts_mut<'a>(address: u64, count: u64) -> &'a mut [IoSliceMut<'a>] {
    // SAFETY: The caller guarantees it.
    unsafe { slice::from_raw_parts_mut(pointer(address), length(count)) }
}
