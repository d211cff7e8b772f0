// SPDX-License-Identifier: GPL-2.0

//! All functions of preview 1: with raw addresses in [`raw`], and with slices and results.

#![allow(unsafe_code, reason = "functions of the host")]

use crate::{
    abi::{
        Event,
        Fd,
        Fdstat,
        Filestat,
        Prestat,
        Subscription, //
    },
    errno::Errno,
};

/// Functions of the host. They are declared as safe because the host checks every address and
/// number. Callers pass addresses of objects that they do not use otherwise during the call, or
/// invalid addresses.
pub(crate) mod raw {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(crate) safe fn args_get(argv: usize, buf: usize) -> i32;
        pub(crate) safe fn args_sizes_get(count: usize, bytes: usize) -> i32;
        pub(crate) safe fn environ_get(environ: usize, buf: usize) -> i32;
        pub(crate) safe fn environ_sizes_get(count: usize, bytes: usize) -> i32;
        pub(crate) safe fn clock_res_get(id: u32, resolution: usize) -> i32;
        pub(crate) safe fn clock_time_get(id: u32, precision: u64, time: usize) -> i32;
        pub(crate) safe fn fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32;
        pub(crate) safe fn fd_allocate(fd: u32, offset: u64, len: u64) -> i32;
        pub(crate) safe fn fd_close(fd: u32) -> i32;
        pub(crate) safe fn fd_datasync(fd: u32) -> i32;
        pub(crate) safe fn fd_fdstat_get(fd: u32, stat: usize) -> i32;
        pub(crate) safe fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        pub(crate) safe fn fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64) -> i32;
        pub(crate) safe fn fd_filestat_get(fd: u32, stat: usize) -> i32;
        pub(crate) safe fn fd_filestat_set_size(fd: u32, size: u64) -> i32;
        pub(crate) safe fn fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32) -> i32;
        pub(crate) safe fn fd_pread(fd: u32, iovs: usize, len: usize, offset: u64, done: usize) -> i32;
        pub(crate) safe fn fd_prestat_get(fd: u32, prestat: usize) -> i32;
        pub(crate) safe fn fd_prestat_dir_name(fd: u32, path: usize, len: usize) -> i32;
        pub(crate) safe fn fd_pwrite(fd: u32, iovs: usize, len: usize, offset: u64, done: usize) -> i32;
        pub(crate) safe fn fd_read(fd: u32, iovs: usize, len: usize, done: usize) -> i32;
        pub(crate) safe fn fd_readdir(fd: u32, buf: usize, len: usize, cookie: u64, used: usize) -> i32;
        pub(crate) safe fn fd_renumber(fd: u32, to: u32) -> i32;
        pub(crate) safe fn fd_seek(fd: u32, offset: i64, whence: u32, position: usize) -> i32;
        pub(crate) safe fn fd_sync(fd: u32) -> i32;
        pub(crate) safe fn fd_tell(fd: u32, position: usize) -> i32;
        pub(crate) safe fn fd_write(fd: u32, iovs: usize, len: usize, done: usize) -> i32;
        pub(crate) safe fn path_create_directory(fd: u32, path: usize, len: usize) -> i32;
        pub(crate) safe fn path_filestat_get(fd: u32, flags: u32, path: usize, len: usize, stat: usize) -> i32;
        pub(crate) safe fn path_filestat_set_times(
            fd: u32,
            flags: u32,
            path: usize,
            len: usize,
            atim: u64,
            mtim: u64,
            fst_flags: u32,
        ) -> i32;
        pub(crate) safe fn path_link(
            old_fd: u32,
            old_flags: u32,
            old: usize,
            old_len: usize,
            new_fd: u32,
            new: usize,
            new_len: usize,
        ) -> i32;
        pub(crate) safe fn path_open(
            fd: u32,
            dirflags: u32,
            path: usize,
            len: usize,
            oflags: u32,
            rights: u64,
            inheriting: u64,
            fdflags: u32,
            opened: usize,
        ) -> i32;
        pub(crate) safe fn path_readlink(
            fd: u32,
            path: usize,
            len: usize,
            buf: usize,
            buf_len: usize,
            used: usize,
        ) -> i32;
        pub(crate) safe fn path_remove_directory(fd: u32, path: usize, len: usize) -> i32;
        pub(crate) safe fn path_rename(
            fd: u32,
            old: usize,
            old_len: usize,
            new_fd: u32,
            new: usize,
            new_len: usize,
        ) -> i32;
        pub(crate) safe fn path_symlink(target: usize, target_len: usize, fd: u32, path: usize, len: usize) -> i32;
        pub(crate) safe fn path_unlink_file(fd: u32, path: usize, len: usize) -> i32;
        pub(crate) safe fn poll_oneoff(subscriptions: usize, events: usize, count: usize, happened: usize) -> i32;
        pub(crate) safe fn proc_exit(status: u32) -> !;
        pub(crate) safe fn proc_raise(signal: u32) -> i32;
        pub(crate) safe fn random_get(buf: usize, len: usize) -> i32;
        pub(crate) safe fn sched_yield() -> i32;
        pub(crate) safe fn sock_accept(fd: u32, flags: u32, accepted: usize) -> i32;
        pub(crate) safe fn sock_recv(
            fd: u32,
            iovs: usize,
            len: usize,
            flags: u32,
            received: usize,
            out_flags: usize,
        ) -> i32;
        pub(crate) safe fn sock_send(fd: u32, iovs: usize, len: usize, flags: u32, sent: usize) -> i32;
        pub(crate) safe fn sock_shutdown(fd: u32, how: u32) -> i32;
    }
}

pub(crate) type Result<T = ()> = std::result::Result<T, Errno>;

/// Converts the return value of a function into a result.
pub(crate) fn done(errno: i32) -> Result {
    match u16::try_from(errno) {
        Ok(0) => Ok(()),
        Ok(errno) => Err(Errno(errno)),
        Err(_) => Err(Errno(u16::MAX)),
    }
}

/// Returns the address of a slice that the host may write to.
fn at<T>(slice: &mut [T]) -> usize {
    slice.as_mut_ptr().expose_provenance()
}

/// Returns the address of a value that the host may write to.
fn of<T>(value: &mut T) -> usize {
    (&raw mut *value).expose_provenance()
}

/// Returns the address of a slice that the host only reads.
fn from<T>(slice: &[T]) -> usize {
    slice.as_ptr().expose_provenance()
}

/// Returns the value that `call` stores at the address that it gets.
fn out<T: Default>(call: impl FnOnce(usize) -> i32) -> Result<T> {
    let mut value = T::default();
    done(call(of(&mut value)))?;
    // The compiler does not know that the host has written to `value` by its address.
    Ok(std::hint::black_box(value))
}

/// Element of a list of buffers: `iovec` or `ciovec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Vector {
    pub(crate) addr: usize,
    pub(crate) len: usize,
}

impl Vector {
    pub(crate) fn from(bytes: &[u8]) -> Self {
        Self { addr: from(bytes), len: bytes.len() }
    }

    pub(crate) fn into(bytes: &mut [u8]) -> Self {
        Self { addr: at(bytes), len: bytes.len() }
    }
}

/// Function with two addresses as arguments.
type Call = extern "C" fn(usize, usize) -> i32;

/// Returns the strings of `args_get` or `environ_get`.
fn strings(sizes: Call, get: Call) -> Result<Vec<Vec<u8>>> {
    let (mut count, mut bytes) = (0_usize, 0_usize);
    done(sizes(of(&mut count), of(&mut bytes)))?;
    let mut pointers = vec![0_usize; count];
    let mut buffer = vec![0xff_u8; bytes];
    let begin = at(&mut buffer);
    done(get(at(&mut pointers), begin))?;
    let string = |pointer: &usize| {
        let rest = buffer.get(pointer.wrapping_sub(begin)..).unwrap_or_default();
        rest.iter().copied().take_while(|byte| *byte != 0).collect()
    };
    Ok(pointers.iter().map(string).collect())
}

pub(crate) fn args() -> Result<Vec<Vec<u8>>> {
    strings(raw::args_sizes_get, raw::args_get)
}

pub(crate) fn environ() -> Result<Vec<Vec<u8>>> {
    strings(raw::environ_sizes_get, raw::environ_get)
}

pub(crate) fn clock_res_get(id: u32) -> Result<u64> {
    out(|value| raw::clock_res_get(id, value))
}

pub(crate) fn clock_time_get(id: u32, precision: u64) -> Result<u64> {
    out(|value| raw::clock_time_get(id, precision, value))
}

pub(crate) fn fd_advise(fd: Fd, offset: u64, len: u64, advice: u32) -> Result {
    done(raw::fd_advise(fd, offset, len, advice))
}

pub(crate) fn fd_allocate(fd: Fd, offset: u64, len: u64) -> Result {
    done(raw::fd_allocate(fd, offset, len))
}

pub(crate) fn fd_close(fd: Fd) -> Result {
    done(raw::fd_close(fd))
}

pub(crate) fn fd_datasync(fd: Fd) -> Result {
    done(raw::fd_datasync(fd))
}

pub(crate) fn fd_fdstat_get(fd: Fd) -> Result<Fdstat> {
    out(|value| raw::fd_fdstat_get(fd, value))
}

pub(crate) fn fd_fdstat_set_flags(fd: Fd, flags: u32) -> Result {
    done(raw::fd_fdstat_set_flags(fd, flags))
}

pub(crate) fn fd_fdstat_set_rights(fd: Fd, rights: u64, inheriting: u64) -> Result {
    done(raw::fd_fdstat_set_rights(fd, rights, inheriting))
}

pub(crate) fn fd_filestat_get(fd: Fd) -> Result<Filestat> {
    out(|value| raw::fd_filestat_get(fd, value))
}

pub(crate) fn fd_filestat_set_size(fd: Fd, size: u64) -> Result {
    done(raw::fd_filestat_set_size(fd, size))
}

pub(crate) fn fd_filestat_set_times(fd: Fd, atim: u64, mtim: u64, flags: u32) -> Result {
    done(raw::fd_filestat_set_times(fd, atim, mtim, flags))
}

pub(crate) fn fd_pread(fd: Fd, bytes: &mut [u8], offset: u64) -> Result<usize> {
    let vectors = [Vector::into(bytes)];
    out(|count| raw::fd_pread(fd, from(&vectors), vectors.len(), offset, count))
}

pub(crate) fn fd_prestat_get(fd: Fd) -> Result<Prestat> {
    out(|value| raw::fd_prestat_get(fd, value))
}

pub(crate) fn fd_prestat_dir_name(fd: Fd, name: &mut [u8]) -> Result {
    done(raw::fd_prestat_dir_name(fd, at(name), name.len()))
}

pub(crate) fn fd_pwrite(fd: Fd, bytes: &[u8], offset: u64) -> Result<usize> {
    let vectors = [Vector::from(bytes)];
    out(|count| raw::fd_pwrite(fd, from(&vectors), vectors.len(), offset, count))
}

pub(crate) fn fd_readv(fd: Fd, vectors: &[Vector]) -> Result<usize> {
    out(|count| raw::fd_read(fd, from(vectors), vectors.len(), count))
}

pub(crate) fn fd_read(fd: Fd, bytes: &mut [u8]) -> Result<usize> {
    fd_readv(fd, &[Vector::into(bytes)])
}

pub(crate) fn fd_readdir(fd: Fd, entries: &mut [u8], cookie: u64) -> Result<usize> {
    let (place, len) = (at(entries), entries.len());
    out(|used| raw::fd_readdir(fd, place, len, cookie, used))
}

pub(crate) fn fd_renumber(fd: Fd, to: Fd) -> Result {
    done(raw::fd_renumber(fd, to))
}

pub(crate) fn fd_seek(fd: Fd, offset: i64, whence: u32) -> Result<u64> {
    out(|position| raw::fd_seek(fd, offset, whence, position))
}

pub(crate) fn fd_sync(fd: Fd) -> Result {
    done(raw::fd_sync(fd))
}

pub(crate) fn fd_tell(fd: Fd) -> Result<u64> {
    out(|position| raw::fd_tell(fd, position))
}

pub(crate) fn fd_writev(fd: Fd, vectors: &[Vector]) -> Result<usize> {
    out(|count| raw::fd_write(fd, from(vectors), vectors.len(), count))
}

pub(crate) fn fd_write(fd: Fd, bytes: &[u8]) -> Result<usize> {
    fd_writev(fd, &[Vector::from(bytes)])
}

pub(crate) fn path_create_directory(fd: Fd, path: &[u8]) -> Result {
    done(raw::path_create_directory(fd, from(path), path.len()))
}

pub(crate) fn path_filestat_get(fd: Fd, flags: u32, path: &[u8]) -> Result<Filestat> {
    out(|value| raw::path_filestat_get(fd, flags, from(path), path.len(), value))
}

pub(crate) fn path_filestat_set_times(fd: Fd, flags: u32, path: &[u8], (atim, mtim): (u64, u64), set: u32) -> Result {
    done(raw::path_filestat_set_times(fd, flags, from(path), path.len(), atim, mtim, set))
}

pub(crate) fn path_link(fd: Fd, flags: u32, old: &[u8], new_fd: Fd, new: &[u8]) -> Result {
    done(raw::path_link(fd, flags, from(old), old.len(), new_fd, from(new), new.len()))
}

pub(crate) fn path_open(
    fd: Fd,
    dirflags: u32,
    path: &[u8],
    oflags: u32,
    (rights, inheriting): (u64, u64),
    fdflags: u32,
) -> Result<Fd> {
    out(|opened| raw::path_open(fd, dirflags, from(path), path.len(), oflags, rights, inheriting, fdflags, opened))
}

pub(crate) fn path_readlink(fd: Fd, path: &[u8], text: &mut [u8]) -> Result<usize> {
    let (place, len) = (at(text), text.len());
    out(|used| raw::path_readlink(fd, from(path), path.len(), place, len, used))
}

pub(crate) fn path_remove_directory(fd: Fd, path: &[u8]) -> Result {
    done(raw::path_remove_directory(fd, from(path), path.len()))
}

pub(crate) fn path_rename(fd: Fd, old: &[u8], new_fd: Fd, new: &[u8]) -> Result {
    done(raw::path_rename(fd, from(old), old.len(), new_fd, from(new), new.len()))
}

pub(crate) fn path_symlink(target: &[u8], fd: Fd, path: &[u8]) -> Result {
    done(raw::path_symlink(from(target), target.len(), fd, from(path), path.len()))
}

pub(crate) fn path_unlink_file(fd: Fd, path: &[u8]) -> Result {
    done(raw::path_unlink_file(fd, from(path), path.len()))
}

pub(crate) fn poll_oneoff(subscriptions: &[Subscription]) -> Result<Vec<Event>> {
    let mut events = vec![Event::default(); subscriptions.len()];
    let place = at(&mut events);
    let count: usize = out(|count| raw::poll_oneoff(from(subscriptions), place, subscriptions.len(), count))?;
    events.truncate(count);
    Ok(std::hint::black_box(events))
}

pub(crate) fn random_get(bytes: &mut [u8]) -> Result {
    done(raw::random_get(at(bytes), bytes.len()))
}

pub(crate) fn sock_accept(fd: Fd, flags: u32) -> Result<Fd> {
    out(|accepted| raw::sock_accept(fd, flags, accepted))
}

/// Receives. Returns the number of bytes and the `roflags`.
pub(crate) fn sock_recv(fd: Fd, bytes: &mut [u8], flags: u32) -> Result<(usize, u16)> {
    let vectors = [Vector::into(bytes)];
    let mut out_flags = 0_u16;
    let place = of(&mut out_flags);
    let count = out(|count| raw::sock_recv(fd, from(&vectors), vectors.len(), flags, count, place))?;
    Ok((count, std::hint::black_box(out_flags)))
}

pub(crate) fn sock_send(fd: Fd, bytes: &[u8], flags: u32) -> Result<usize> {
    let vectors = [Vector::from(bytes)];
    out(|count| raw::sock_send(fd, from(&vectors), vectors.len(), flags, count))
}

pub(crate) fn sock_shutdown(fd: Fd, how: u32) -> Result {
    done(raw::sock_shutdown(fd, how))
}
