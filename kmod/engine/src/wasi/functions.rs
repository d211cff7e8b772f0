// SPDX-License-Identifier: GPL-2.0

//! The functions that there are: those of preview 1, after
//! [its definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md), those of [`batch`](super::batch), and
//! those of [`bytes`](super::bytes).

use super::{
    Context, Done, Failure, Stop,
    abi::{
        ClockId,
        Errno,
        FdFlags,
        Rights,
        Whence,
        signal, //
    },
    batch::{
        self,
        submit,
        wait, //
    },
    bytes::{
        self,
        count,
        find, //
    },
    files::{
        fd_advise,
        fd_allocate,
        fd_datasync,
        fd_filestat_get,
        fd_filestat_set_size,
        fd_filestat_set_times,
        fd_readdir,
        fd_sync,
        file_type, //
    },
    memory::{
        slice_mut,
        write, //
    },
    paths::{
        path_create_directory,
        path_filestat_get,
        path_filestat_set_times,
        path_link,
        path_open,
        path_readlink,
        path_remove_directory,
        path_rename,
        path_symlink,
        path_unlink_file, //
    },
    poll,
    sockets::{
        sock_accept,
        sock_recv,
        sock_send,
        sock_shutdown, //
    },
    transfer::{
        fd_pread,
        fd_pwrite,
        fd_read,
        fd_write, //
    },
};
use crate::{
    host::{
        End,
        Fail,
        Handle,
        Host, //
    },
    instance::{
        Direct,
        State,
        call_direct,
        host_function, //
    },
};
use wasmi::{
    Caller,
    Linker,
    ValType,
    WasmTy, //
};

/// The module that guests import preview 1 from.
pub(crate) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Random bytes are made in pieces of this size, so that a guest can be stopped in between.
const RANDOM_PIECE: usize = 64 * 1024;

/// Name and type of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The module that it is imported from.
    pub module: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [ValType],
    /// Its results.
    pub results: &'static [ValType],
}

/// A parameter of a WebAssembly type.
trait Parameter {
    const TYPE: ValType;

    /// Its value in a cell of wasmi's stack.
    fn from_cell(cell: u64) -> Self;
}

impl Parameter for u32 {
    const TYPE: ValType = ValType::I32;

    #[expect(clippy::cast_possible_truncation, reason = "what is above is not part of the value")]
    fn from_cell(cell: u64) -> Self {
        cell as Self
    }
}

impl Parameter for u64 {
    const TYPE: ValType = ValType::I64;

    fn from_cell(cell: u64) -> Self {
        cell
    }
}

/// The types of a function's parameters. Each list of types is linked by code of its own, which functions of the same types
/// share.
trait Parameters {
    /// Defines `function`; with `is_direct`, so that wasmi calls its [`Direct`].
    fn link<H: Host + 'static>(
        linker: &mut Linker<State<H>>,
        function: Function,
        is_direct: bool,
    ) -> Result<(), wasmi::Error>;
}

macro_rules! parameters {
    ($($type:ident)*) => {
        #[allow(non_snake_case, reason = "a parameter is called as its type")]
        impl<$($type: WasmTy + Into<u64>),*> Parameters for ($($type,)*) {
            fn link<H: Host + 'static>(
                linker: &mut Linker<State<H>>,
                function: Function,
                is_direct: bool,
            ) -> Result<(), wasmi::Error> {
                let (module, name, direct) = (function.module(), function.name(), function.direct());
                let closure = move |caller: Caller<'_, State<H>>, $($type: $type),*| {
                    // One more, for the result where there are no parameters.
                    host_function(caller, direct, [$($type.into(),)* 0].as_mut_slice())
                };
                if is_direct {
                    linker.func_wrap_direct(module, name, closure, direct)?;
                } else {
                    linker.func_wrap(module, name, closure)?;
                }
                Ok(())
            }
        }
    };
}

parameters!();
parameters!(A);
parameters!(A B);
parameters!(A B C);
parameters!(A B C D);
parameters!(A B C D E);
parameters!(A B C D E F);
parameters!(A B C D E F G);
parameters!(A B C D E F G I);
parameters!(A B C D E F G I J);

/// From the one list of functions: their numbers, their types, how they are linked and how they are called.
macro_rules! functions {
    ($($module:path { $($name:ident($($param:ident: $type:ident),*);)* })*) => {
        /// A function that guests can call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "the specification's own names")]
        pub(crate) enum Function {
            $($($name,)*)*
        }

        impl Function {
            /// What it does.
            pub(crate) fn direct<H: Host + 'static>(self) -> Direct<H> {
                match self {
                    $($(Self::$name => direct::$name,)*)*
                }
            }

            /// Its name.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $($(Self::$name => stringify!($name),)*)*
                }
            }

            /// The function of this name in `module`.
            #[cfg(feature = "object")]
            pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
                const ALL: &[Function] = &[$($(Function::$name,)*)*];
                ALL.iter().copied().find(|function| function.module() == module && function.name() == name)
            }

            /// The module that it is imported from.
            const fn module(self) -> &'static str {
                match self {
                    $($(Self::$name => $module,)*)*
                }
            }
        }

        /// The whole of each function.
        mod direct {
            use super::*;

            $($(
                pub(super) fn $name<H: Host + 'static>(
                    state: &mut State<H>,
                    memory: &mut [u8],
                    cells: &mut [u64],
                ) -> Result<(), wasmi::Error> {
                    call_direct(state, memory, cells, Function::$name, |context, memory, cells| {
                        let Some(&[$($param),*]) = cells.first_chunk() else {
                            return Ok(Errno::NoSys);
                        };
                        done(super::$name(context, memory, $(<$type as Parameter>::from_cell($param)),*))
                    })
                }
            )*)*
        }

        /// Every function that a guest may import.
        pub const FUNCTIONS: &[Signature] = &[
            $($(Signature {
                module: $module,
                name: stringify!($name),
                params: &[$(<$type as Parameter>::TYPE),*],
                results: &[ValType::I32],
            },)*)*
            Signature { module: PREVIEW1, name: "proc_exit", params: &[ValType::I32], results: &[] },
        ];

        /// Defines every function but `proc_exit`.
        fn link_each<H: Host + 'static>(linker: &mut Linker<State<H>>, is_direct: bool) -> Result<(), wasmi::Error> {
            $($(<($($type,)*)>::link(linker, Function::$name, is_direct)?;)*)*
            Ok(())
        }
    };
}

/// What a function comes to.
fn done(done: Done) -> Result<Errno, Stop> {
    match done {
        Ok(()) => Ok(Errno::Success),
        Err(Failure::Errno(errno)) => Ok(errno),
        Err(Failure::Stop(stop)) => Err(stop),
    }
}

functions! {
    PREVIEW1 {
        args_get(argv: u32, argv_buf: u32);
        args_sizes_get(count: u32, bytes: u32);
        environ_get(environ: u32, environ_buf: u32);
        environ_sizes_get(count: u32, bytes: u32);
        clock_res_get(id: u32, resolution: u32);
        clock_time_get(id: u32, precision: u64, time: u32);
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, stat: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64);
        fd_filestat_get(fd: u32, stat: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, atime: u64, mtime: u64, flags: u32);
        fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
        fd_prestat_get(fd: u32, prestat: u32);
        fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
        fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
        fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
        fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, used: u32);
        fd_renumber(fd: u32, to: u32);
        fd_seek(fd: u32, offset: u64, whence: u32, position: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, position: u32);
        fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
        path_create_directory(fd: u32, path: u32, path_len: u32);
        path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, stat: u32);
        path_filestat_set_times(
            fd: u32, flags: u32, path: u32, path_len: u32, atime: u64, mtime: u64, fst_flags: u32
        );
        path_link(
            old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32
        );
        path_open(
            fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, rights: u64, inheriting: u64, fdflags: u32,
            opened: u32
        );
        path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, used: u32);
        path_remove_directory(fd: u32, path: u32, path_len: u32);
        path_rename(fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32);
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, path_len: u32);
        path_unlink_file(fd: u32, path: u32, path_len: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32);
        proc_raise(signal: u32);
        random_get(buf: u32, buf_len: u32);
        sched_yield();
        sock_accept(fd: u32, flags: u32, accepted: u32);
        sock_recv(fd: u32, data: u32, data_len: u32, flags: u32, received: u32, out_flags: u32);
        sock_send(fd: u32, data: u32, data_len: u32, flags: u32, sent: u32);
        sock_shutdown(fd: u32, how: u32);
    }
    batch::MODULE {
        submit(ops: u32, number: u32, ndone: u32);
        wait(ops: u32, number: u32, timeout: u64, completed: u32, max: u32, ncompleted: u32);
    }
    bytes::MODULE {
        find(bytes: u32, len: u32, byte: u32, found: u32);
        count(bytes: u32, len: u32, byte: u32, counted: u32);
    }
}

/// Defines every function. With `is_direct` they take a guest's default memory for the one that it exports as `memory`, and are
/// called with less in between.
pub(crate) fn link<H: Host + 'static>(linker: &mut Linker<State<H>>, is_direct: bool) -> Result<(), wasmi::Error> {
    link_each(linker, is_direct)?;
    linker.func_wrap(PREVIEW1, "proc_exit", |status: u32| -> Result<(), wasmi::Error> {
        Err(wasmi::Error::i32_exit(status.cast_signed()))
    })?;
    Ok(())
}

fn args_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], argv: u32, argv_buf: u32) -> Done {
    Ok(context.args.get(memory, argv, argv_buf)?)
}

fn args_sizes_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], count: u32, bytes: u32) -> Done {
    Ok(context.args.sizes(memory, count, bytes)?)
}

fn environ_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], environ: u32, environ_buf: u32) -> Done {
    Ok(context.env.get(memory, environ, environ_buf)?)
}

fn environ_sizes_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], count: u32, bytes: u32) -> Done {
    Ok(context.env.sizes(memory, count, bytes)?)
}

fn clock_res_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], id: u32, resolution: u32) -> Done {
    let id = ClockId::from_raw(id).ok_or(Errno::Inval)?;
    let nanoseconds = context.host.clock_resolution(id)?;
    Ok(write(memory, resolution, &nanoseconds.to_le_bytes())?)
}

fn clock_time_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], id: u32, _precision: u64, time: u32) -> Done {
    let id = ClockId::from_raw(id).ok_or(Errno::Inval)?;
    let nanoseconds = context.host.clock_time(id)?;
    Ok(write(memory, time, &nanoseconds.to_le_bytes())?)
}

/// Closes what has no number any more: it cannot be done again.
pub(super) fn close<H: Host>(context: &mut Context<H>, handle: Handle) -> Done {
    match context.host.close(handle) {
        Err(Fail::Interrupted) => Err(Errno::Intr.into()),
        done => Ok(done?),
    }
}

fn fd_close<H: Host>(context: &mut Context<H>, _memory: &mut [u8], fd: u32) -> Done {
    let descriptor = context.fds.remove(fd)?;
    close(context, descriptor.handle)
}

fn fd_fdstat_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], fd: u32, stat: u32) -> Done {
    let descriptor = context.fds.get(fd)?;
    let file = context.host.stat(descriptor.handle)?;
    let place = slice_mut(memory, stat, 24)?;
    let [filetype, _, flags @ ..] = place else {
        return Err(Errno::Fault.into());
    };
    *filetype = file_type(&file) as u8;
    let mut fields = [0; 22];
    fields[..2].copy_from_slice(&FdFlags::from_linux(file.flags).bits().to_le_bytes());
    fields[6..14].copy_from_slice(&descriptor.rights.bits().to_le_bytes());
    fields[14..].copy_from_slice(&descriptor.inheriting.with(descriptor.refused).bits().to_le_bytes());
    flags.copy_from_slice(&fields);
    Ok(())
}

/// `fdflags`.
pub(super) fn fdflags(raw: u32) -> Result<FdFlags, Errno> {
    u16::try_from(raw).ok().and_then(FdFlags::from_raw).ok_or(Errno::Inval)
}

fn fd_fdstat_set_flags<H: Host>(context: &mut Context<H>, _memory: &mut [u8], fd: u32, flags: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
    let flags = fdflags(flags)?;
    Ok(context.host.set_flags(descriptor.handle, flags)?)
}

fn fd_fdstat_set_rights<H: Host>(
    context: &mut Context<H>,
    _memory: &mut [u8],
    fd: u32,
    rights: u64,
    inheriting: u64,
) -> Done {
    let rights = Rights::from_raw(rights).ok_or(Errno::NotCapable)?;
    let inheriting = Rights::from_raw(inheriting).ok_or(Errno::NotCapable)?;
    Ok(context.fds.shrink(fd, rights, inheriting)?)
}

fn fd_prestat_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], fd: u32, prestat: u32) -> Done {
    let len = u32::try_from(context.fds.name(fd)?.len()).map_err(|_| Errno::Overflow)?;
    // A `prestat` of the only kind that there is, a directory.
    let mut fields = [0; 8];
    fields[4..].copy_from_slice(&len.to_le_bytes());
    Ok(write(memory, prestat, &fields)?)
}

fn fd_prestat_dir_name<H: Host>(
    context: &mut Context<H>,
    memory: &mut [u8],
    fd: u32,
    path: u32,
    path_len: u32,
) -> Done {
    let name = context.fds.name(fd)?;
    if usize::try_from(path_len).is_ok_and(|len| len < name.len()) {
        return Err(Errno::NameTooLong.into());
    }
    Ok(write(memory, path, name)?)
}

fn fd_renumber<H: Host>(context: &mut Context<H>, _memory: &mut [u8], fd: u32, to: u32) -> Done {
    match context.fds.renumber(fd, to)? {
        Some(handle) => close(context, handle),
        None => Ok(()),
    }
}

fn fd_seek<H: Host>(
    context: &mut Context<H>,
    memory: &mut [u8],
    fd: u32,
    offset: u64,
    whence: u32,
    position: u32,
) -> Done {
    let whence = u8::try_from(whence).ok().and_then(Whence::from_raw).ok_or(Errno::Inval)?;
    let offset = offset.cast_signed();
    let rights =
        if whence == Whence::Cur && offset == 0 { Rights::FD_TELL } else { Rights::FD_SEEK.with(Rights::FD_TELL) };
    let descriptor = context.file(fd, rights, Errno::BadF)?;
    slice_mut(memory, position, 8)?;
    let now = context.host.seek(descriptor.handle, offset, whence)?;
    Ok(write(memory, position, &now.to_le_bytes())?)
}

fn fd_tell<H: Host>(context: &mut Context<H>, memory: &mut [u8], fd: u32, position: u32) -> Done {
    let descriptor = context.file(fd, Rights::FD_TELL, Errno::BadF)?;
    let now = context.host.seek(descriptor.handle, 0, Whence::Cur)?;
    Ok(write(memory, position, &now.to_le_bytes())?)
}

fn poll_oneoff<H: Host>(
    context: &mut Context<H>,
    memory: &mut [u8],
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Done {
    poll::oneoff(context, memory, (subscriptions, count), events, nevents)
}

/// Does what the signal does to a process that has no handlers: nothing, or it ends.
fn proc_raise<H: Host>(_context: &mut Context<H>, _memory: &mut [u8], signal: u32) -> Done {
    match signal {
        signal::NONE | signal::CHLD | signal::CONT | signal::URG | signal::WINCH => Ok(()),
        // A guest cannot stop itself: nobody could continue it.
        signal::STOP | signal::TSTP | signal::TTIN | signal::TTOU => Err(Errno::NotSup.into()),
        // As a shell tells it, with Linux's number.
        1..signal::CHLD => Err(End::exited(signal.saturating_add(128)).into()),
        signal::URG..=signal::SYS => Err(End::exited(signal.saturating_add(129)).into()),
        _ => Err(Errno::Inval.into()),
    }
}

fn random_get<H: Host>(context: &mut Context<H>, memory: &mut [u8], buf: u32, buf_len: u32) -> Done {
    for piece in slice_mut(memory, buf, buf_len)?.chunks_mut(RANDOM_PIECE) {
        context.host.random(piece)?;
        context.charge(piece.len());
        context.look()?;
    }
    Ok(())
}

fn sched_yield<H: Host>(context: &mut Context<H>, _memory: &mut [u8]) -> Done {
    Ok(context.host.yield_now()?)
}
