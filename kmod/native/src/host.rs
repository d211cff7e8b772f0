// SPDX-License-Identifier: GPL-2.0

//! The host functions, over libc and std: handles are descriptors of this process.

use crate::ffi::{
    AT_POSITION,
    Checkpoint,
    Context,
    FileStat,
    HostCall,
    HostOp,
    IoVec, //
};
use std::{
    alloc::{
        Layout,
        alloc,
        dealloc, //
    },
    cell::Cell,
    ffi::c_void,
    io,
    ptr,
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

thread_local! {
    static CONTEXT: Cell<*mut Context> = const { Cell::new(ptr::null_mut()) };
    /// When the host had its last say.
    static LAST_SAY: Cell<Option<Instant>> = const { Cell::new(None) };
    static LONGEST_STRETCH: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Notes which stay in the engine this thread is in; null: none.
pub(crate) fn set_context(context: *mut Context) {
    note_say();
    CONTEXT.set(context);
    LAST_SAY.set((!context.is_null()).then(Instant::now));
}

/// The longest time that the engine ran without the host having a say: in the kernel, the task could not be ended for as
/// long.
pub(crate) fn longest_stretch() -> Duration {
    LONGEST_STRETCH.get()
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

fn layout(size: u64) -> Result<Layout, i32> {
    let size = usize::try_from(size).map_err(|_| libc::ENOMEM)?;
    Layout::from_size_align(size.max(1), ALIGN).map_err(|_| libc::ENOMEM)
}

/// A value of libc, or the error number.
fn checked(value: i64) -> Result<u64, i32> {
    u64::try_from(value).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn clock(id: u64) -> Result<libc::clockid_t, i32> {
    match id {
        0 => Ok(libc::CLOCK_REALTIME),
        1 => Ok(libc::CLOCK_MONOTONIC),
        2 => Ok(libc::CLOCK_PROCESS_CPUTIME_ID),
        3 => Ok(libc::CLOCK_THREAD_CPUTIME_ID),
        _ => Err(libc::EINVAL),
    }
}

fn nanoseconds(time: &libc::timespec) -> u64 {
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn timespec() -> libc::timespec {
    libc::timespec { tv_sec: 0, tv_nsec: 0 }
}

fn descriptor(handle: u64) -> Result<i32, i32> {
    i32::try_from(handle).map_err(|_| libc::EBADF)
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
        Err(errno) => -errno,
    };
    LAST_SAY.set(Some(Instant::now()));
    status
}

/// # Safety
///
/// The arguments are what `op` says.
unsafe fn dispatch(op: u32, [a, b, c, d]: [u64; 4]) -> Result<u64, i32> {
    match op {
        op if op == HostOp::Alloc as u32 => {
            // SAFETY: The layout's size is not zero.
            Ok(unsafe { alloc(layout(a)?) }.expose_provenance() as u64)
        }
        op if op == HostOp::Free as u32 => {
            let block = ptr::with_exposed_provenance_mut(usize::try_from(a).map_err(|_| libc::EINVAL)?);
            // SAFETY: The engine frees what it allocated, once, with its size.
            unsafe { dealloc(block, layout(b)?) };
            Ok(0)
        }
        op if op == HostOp::Yield as u32 => {
            thread::yield_now();
            Ok(0)
        }
        op if op == HostOp::Checkpoint as u32 => Ok(Checkpoint::Continue as u64),
        op if op == HostOp::Read as u32 || op == HostOp::Write as u32 => {
            // SAFETY: The caller guarantees the vectors.
            unsafe { transfer(op == HostOp::Read as u32, descriptor(a)?, (b, c), d) }
        }
        op if op == HostOp::Seek as u32 => {
            // SAFETY: It has no requirements.
            let value = unsafe { libc::lseek(descriptor(a)?, b.cast_signed(), i32::try_from(c).unwrap_or(-1)) };
            checked(value)
        }
        op if op == HostOp::Close as u32 => {
            // SAFETY: The descriptor is the guest's.
            checked(i64::from(unsafe { libc::close(descriptor(a)?) }))
        }
        // SAFETY: The caller guarantees that the second argument is the address of a `FileStat`.
        op if op == HostOp::Stat as u32 => unsafe { stat(descriptor(a)?, b) },
        op if op == HostOp::ClockTime as u32 => {
            let mut time = timespec();
            // SAFETY: There is room for a time.
            checked(i64::from(unsafe { libc::clock_gettime(clock(a)?, &raw mut time) }))?;
            Ok(nanoseconds(&time))
        }
        op if op == HostOp::ClockResolution as u32 => {
            let mut time = timespec();
            // SAFETY: There is room for a time.
            checked(i64::from(unsafe { libc::clock_getres(clock(a)?, &raw mut time) }))?;
            Ok(nanoseconds(&time))
        }
        op if op == HostOp::SleepUntil as u32 => {
            let until = libc::timespec {
                tv_sec: i64::try_from(b / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(b % 1_000_000_000).unwrap_or(0),
            };
            // SAFETY: The time is valid.
            let errno =
                unsafe { libc::clock_nanosleep(clock(a)?, libc::TIMER_ABSTIME, &raw const until, ptr::null_mut()) };
            if errno == 0 { Ok(0) } else { Err(errno) }
        }
        op if op == HostOp::Random as u32 => {
            let (place, len) = (usize::try_from(a).unwrap_or(0), usize::try_from(b).unwrap_or(0));
            // SAFETY: The caller guarantees address and length.
            checked(unsafe { libc::getrandom(ptr::with_exposed_provenance_mut(place), len, 0) } as i64).map(|_| 0)
        }
        _ => Err(libc::EOPNOTSUPP),
    }
}

/// # Safety
///
/// `vectors` is address and number of [`IoVec`]s.
unsafe fn transfer(is_read: bool, fd: i32, vectors: (u64, u64), at: u64) -> Result<u64, i32> {
    // An `IoVec` is laid out as a `struct iovec`.
    const { assert!(size_of::<IoVec>() == size_of::<libc::iovec>()) };
    let address: *const libc::iovec = ptr::with_exposed_provenance(usize::try_from(vectors.0).unwrap_or(0));
    let count = i32::try_from(vectors.1).map_err(|_| libc::EINVAL)?;
    let done = match (is_read, at == AT_POSITION) {
        // SAFETY: The caller guarantees the vectors, here and below.
        (true, true) => unsafe { libc::readv(fd, address, count) },
        // SAFETY: As above.
        (false, true) => unsafe { libc::writev(fd, address, count) },
        // SAFETY: As above.
        (true, false) => unsafe { libc::preadv(fd, address, count, at.cast_signed()) },
        // SAFETY: As above.
        (false, false) => unsafe { libc::pwritev(fd, address, count, at.cast_signed()) },
    };
    checked(done as i64)
}

/// # Safety
///
/// `place` is the address of a [`FileStat`].
unsafe fn stat(fd: i32, place: u64) -> Result<u64, i32> {
    // SAFETY: All of it zero is a value.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: There is room for it.
    checked(i64::from(unsafe { libc::fstat(fd, &raw mut found) }))?;
    // SAFETY: It has no requirements.
    let flags = checked(i64::from(unsafe { libc::fcntl(fd, libc::F_GETFL) }))?;
    let time = |seconds: i64, nanoseconds: i64| u64::try_from(seconds * 1_000_000_000 + nanoseconds).unwrap_or(0);
    let result = FileStat {
        dev: found.st_dev,
        ino: found.st_ino,
        nlink: found.st_nlink,
        size: u64::try_from(found.st_size).unwrap_or(0),
        atime: time(found.st_atime, found.st_atime_nsec),
        mtime: time(found.st_mtime, found.st_mtime_nsec),
        ctime: time(found.st_ctime, found.st_ctime_nsec),
        mode: found.st_mode,
        flags: u32::try_from(flags).unwrap_or(0),
        socket_type: 0,
        reserved: 0,
    };
    let place: *mut FileStat = ptr::with_exposed_provenance_mut(usize::try_from(place).unwrap_or(0));
    // SAFETY: The caller guarantees that it may be written.
    unsafe { place.write(result) };
    Ok(0)
}
