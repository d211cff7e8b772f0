// SPDX-License-Identifier: GPL-2.0

//! The functions of the [table](super::table), independent of the engine that calls them, and those
//! of preview 1 that have no file of their own.

use super::{
    Done, Failure, Stop, WasiCtx,
    abi::{
        ClockId,
        Errno,
        FdFlags,
        Rights,
        Whence,
        signal, //
    },
    batch::{
        submit,
        wait, //
    },
    bytes::{
        count,
        find, //
    },
    call::{
        input,
        output, //
    },
    files::{
        close,
        fd_advise,
        fd_allocate,
        fd_datasync,
        fd_filestat_get,
        fd_filestat_set_size,
        fd_filestat_set_times,
        fd_readdir,
        fd_sync,
        fdflags,
        file_type,
        seek, //
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
    table::wasi_functions,
    transfer::{
        fd_pread,
        fd_pwrite,
        fd_read,
        fd_write, //
    },
    unstable::{
        unstable_fd_filestat_get,
        unstable_fd_seek,
        unstable_path_filestat_get,
        unstable_poll_oneoff, //
    },
};
use crate::{
    ffi::HOST_FUNCTIONS_MAX,
    host::{
        End,
        Host, //
    },
    signing::manifest::Capability,
};

/// Size of the pieces in which random bytes are made, so that a guest can be ended in between.
const RANDOM_PIECE: usize = 64 * 1024;

/// Value type of a parameter or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
}

/// Import of a guest that the engine provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFunction {
    /// Module that the function is imported from.
    pub module: &'static str,
    /// Name of the function.
    pub name: &'static str,
    /// Types of its parameters.
    pub params: &'static [ValueType],
    /// Types of its results.
    pub results: &'static [ValueType],
    /// Capabilities of which a manifest must have one; empty if the function needs none. The first
    /// is the one that the function is about.
    pub capabilities: &'static [Capability],
}

/// Parameter of a WebAssembly type.
trait Parameter {
    const TYPE: ValueType;

    /// Returns the parameter that `cell` holds.
    fn from_cell(cell: u64) -> Self;
}

impl Parameter for u32 {
    const TYPE: ValueType = ValueType::I32;

    #[expect(clippy::cast_possible_truncation, reason = "the upper half is not part of the value")]
    fn from_cell(cell: u64) -> Self {
        cell as Self
    }
}

impl Parameter for u64 {
    const TYPE: ValueType = ValueType::I64;

    fn from_cell(cell: u64) -> Self {
        cell
    }
}

/// Implementation of a function: counts the call, checks that the guest may continue, and calls the
/// function.
///
/// The parameters are the guest's memory and the cells of the arguments, one each; there may be
/// more cells. The first cell becomes the result. An interrupted call is repeated by
/// [`WasiCtx::repeat`].
pub(crate) type WasiFunction<H> = fn(&mut WasiCtx<H>, &mut [u8], &mut [u64]) -> Result<(), Stop>;

/// The result types of a row of the table.
macro_rules! results {
    () => {
        &[ValueType::I32]
    };
    (!) => {
        &[]
    };
}

/// The body of an entry.
macro_rules! enter {
    ($context:ident, $memory:ident, $cells:ident, $name:ident($($param:ident: $type:ident),*)) => {
        $context.enter(FunctionId::$name, $memory, $cells, |context, memory, cells| {
            let Some(&[$($param),*]) = cells.first_chunk() else {
                return Ok(Errno::NoSys);
            };
            done(super::$name(context, memory, $(<$type as Parameter>::from_cell($param)),*))
        })
    };
    // It does not return: there is nothing to count, and no result.
    ($context:ident, $memory:ident, $cells:ident, $name:ident($($param:ident: $type:ident),*) -> !) => {
        match $cells.first_chunk() {
            Some(&[$($param),*]) => {
                done(super::$name($context, $memory, $(<$type as Parameter>::from_cell($param)),*)).map(drop)
            }
            None => Ok(()),
        }
    };
}

/// Makes the numbers, the signatures and the entries of all functions from the table.
macro_rules! functions {
    (
        $($module:literal { $(
            $id:ident = $name:ident($($param:ident: $type:ident),*) $(-> $never:tt)? $(needs [$($capability:ident),+])?;
        )* })*
        also $alias:literal { $(
            $alias_id:ident = $alias_name:ident($($alias_param:ident: $alias_type:ident),*) $(-> $alias_never:tt)?
            $(needs [$($alias_capability:ident),+])?;
        )* }
    ) => {
        /// Function that a guest can import.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "the specification's own names")]
        pub(crate) enum FunctionId {
            $($($id,)*)*
        }

        impl FunctionId {
            /// Number of functions. A function with two names counts once.
            const NUMBER: usize = [$($(stringify!($id),)*)*].len();

            /// Returns the function's entry.
            pub(crate) fn entry<H: Host>(self) -> WasiFunction<H> {
                match self {
                    $($(Self::$id => entries::$id,)*)*
                }
            }

            /// Returns the function's name.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $($(Self::$id => stringify!($name),)*)*
                }
            }

            /// Returns the function `name` of `module`.
            #[cfg(feature = "object")]
            pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
                const ALL: &[FunctionId] = &[$($(FunctionId::$id,)*)* $(FunctionId::$alias_id,)*];
                let is_named = |(_, other): &(_, &HostFunction)| other.module == module && other.name == name;
                ALL.iter().zip(FUNCTIONS).find(is_named).map(|(function, _)| *function)
            }
        }

        /// All functions that a guest can import.
        pub const FUNCTIONS: &[HostFunction] = &[
            $($(HostFunction {
                module: $module,
                name: stringify!($name),
                params: &[$(<$type as Parameter>::TYPE),*],
                results: results!($($never)?),
                capabilities: &[$($(Capability::$capability),+)?],
            },)*)*
            $(HostFunction {
                module: $alias,
                name: stringify!($alias_name),
                params: &[$(<$alias_type as Parameter>::TYPE),*],
                results: results!($($alias_never)?),
                capabilities: &[$($(Capability::$alias_capability),+)?],
            },)*
        ];

        /// The entry of each function.
        pub(super) mod entries {
            use super::*;

            $($(
                #[inline(always)]
                pub(in crate::wasi) fn $id<H: Host>(
                    context: &mut WasiCtx<H>,
                    memory: &mut [u8],
                    cells: &mut [u64],
                ) -> Result<(), Stop> {
                    enter!(context, memory, cells, $id($($param: $type),*) $(-> $never)?)
                }
            )*)*
        }
    };
}

wasi_functions!(functions);

const _: () = assert!(FunctionId::NUMBER <= HOST_FUNCTIONS_MAX);

/// Returns the `errno` of a call, or the reason why it has none.
fn done(done: Done) -> Result<Errno, Stop> {
    match done {
        Ok(()) => Ok(Errno::Success),
        Err(Failure::Errno(errno)) => Ok(errno),
        Err(Failure::Stop(stop)) => Err(stop),
    }
}

fn args_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], argv: u32, argv_buf: u32) -> Done {
    Ok(context.args.get(memory, argv, argv_buf)?)
}

fn args_sizes_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], count: u32, bytes: u32) -> Done {
    Ok(context.args.sizes(memory, count, bytes)?)
}

fn environ_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], environ: u32, environ_buf: u32) -> Done {
    Ok(context.env.get(memory, environ, environ_buf)?)
}

fn environ_sizes_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], count: u32, bytes: u32) -> Done {
    Ok(context.env.sizes(memory, count, bytes)?)
}

fn clock_res_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], id: u32, resolution: u32) -> Done {
    let id = ClockId::from_raw(id).ok_or(Errno::Inval)?;
    let nanoseconds = context.host.clock_resolution(id)?;
    Ok(write(memory, resolution, &nanoseconds.to_le_bytes())?)
}

fn clock_time_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], id: u32, _precision: u64, time: u32) -> Done {
    let id = ClockId::from_raw(id).ok_or(Errno::Inval)?;
    let nanoseconds = context.host.clock_time(id)?;
    Ok(write(memory, time, &nanoseconds.to_le_bytes())?)
}

fn fd_close<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32) -> Done {
    let descriptor = context.fds.remove(fd)?;
    close(context, descriptor.handle)
}

fn fd_fdstat_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], fd: u32, stat: u32) -> Done {
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

fn fd_fdstat_set_flags<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32, flags: u32) -> Done {
    let descriptor = context.fds.get_with(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
    let flags = fdflags(flags)?;
    Ok(context.host.set_flags(descriptor.handle, flags)?)
}

fn fd_fdstat_set_rights<H: Host>(
    context: &mut WasiCtx<H>,
    _memory: &mut [u8],
    fd: u32,
    rights: u64,
    inheriting: u64,
) -> Done {
    let rights = Rights::from_raw(rights).ok_or(Errno::NotCapable)?;
    let inheriting = Rights::from_raw(inheriting).ok_or(Errno::NotCapable)?;
    Ok(context.fds.shrink(fd, rights, inheriting)?)
}

fn fd_prestat_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], fd: u32, prestat: u32) -> Done {
    let len = u32::try_from(context.fds.name(fd)?.len()).map_err(|_| Errno::Overflow)?;
    // A `prestat` of a directory, which is the only kind.
    let mut fields = [0; 8];
    fields[4..].copy_from_slice(&len.to_le_bytes());
    Ok(write(memory, prestat, &fields)?)
}

fn fd_prestat_dir_name<H: Host>(
    context: &mut WasiCtx<H>,
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

fn fd_renumber<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8], fd: u32, to: u32) -> Done {
    match context.fds.renumber(fd, to)? {
        Some(handle) => close(context, handle),
        None => Ok(()),
    }
}

fn fd_seek<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    fd: u32,
    offset: u64,
    whence: u32,
    position: u32,
) -> Done {
    let whence = u8::try_from(whence).ok().and_then(Whence::from_raw).ok_or(Errno::Inval)?;
    seek(context, memory, fd, (offset.cast_signed(), whence), position)
}

fn fd_tell<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], fd: u32, position: u32) -> Done {
    let descriptor = context.file(fd, Rights::FD_TELL, Errno::BadF)?;
    let now = context.host.seek(descriptor.handle, 0, Whence::Cur)?;
    Ok(write(memory, position, &now.to_le_bytes())?)
}

fn poll_oneoff<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Done {
    poll::oneoff(context, memory, (subscriptions, count, &poll::PREVIEW_1), events, nevents)
}

/// Ends the guest with `status`.
fn proc_exit<H: Host>(_context: &mut WasiCtx<H>, _memory: &mut [u8], status: u32) -> Done {
    Err(Stop::Exit(status).into())
}

/// Does what the signal does to a process without handlers: nothing, or it ends the guest.
fn proc_raise<H: Host>(_context: &mut WasiCtx<H>, _memory: &mut [u8], signal: u32) -> Done {
    match signal {
        signal::NONE | signal::CHLD | signal::CONT | signal::URG | signal::WINCH => Ok(()),
        // A guest cannot stop itself, because nothing could continue it.
        signal::STOP | signal::TSTP | signal::TTIN | signal::TTOU => Err(Errno::NotSup.into()),
        // The status that a shell reports, with Linux's number of the signal.
        1..signal::CHLD => Err(End::exited(signal.saturating_add(128)).into()),
        signal::URG..=signal::SYS => Err(End::exited(signal.saturating_add(129)).into()),
        _ => Err(Errno::Inval.into()),
    }
}

fn random_get<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], buf: u32, buf_len: u32) -> Done {
    for piece in slice_mut(memory, buf, buf_len)?.chunks_mut(RANDOM_PIECE) {
        context.host.random(piece)?;
        context.charge(piece.len());
        context.checkpoint()?;
    }
    Ok(())
}

fn sched_yield<H: Host>(context: &mut WasiCtx<H>, _memory: &mut [u8]) -> Done {
    Ok(context.host.yield_now()?)
}
