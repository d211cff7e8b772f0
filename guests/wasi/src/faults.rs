// SPDX-License-Identifier: GPL-2.0

//! Cases for invalid addresses.

use crate::{
    World,
    abi::{
        oflags::CREAT,
        right, //
    },
    case::Topic,
    sys::{
        self,
        Result,
        Vector,
        raw, //
    },
};

/// Largest address: any object there exceeds the address space.
const LAST: usize = usize::MAX;
/// Address above the memory that this program has.
const BEYOND: usize = 0xf000_0000;

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("no memory");
    let dir = world.scratch.make("faults")?;
    let file = dir.open("file", CREAT)?;
    sys::fd_write(file, b"content")?;
    sys::fd_seek(file, 0, 0)?;
    dir.symlink("file", "link")?;
    // A small buffer at valid addresses, and a name.
    let mut place = [0_u64; 16];
    let (here, name) = ((&raw mut place).expose_provenance(), b"link".as_ptr().expose_provenance());
    for bad in [BEYOND, LAST] {
        let vectors = [Vector { addr: bad, len: 4 }];
        let list = vectors.as_ptr().expose_provenance();
        let calls: [(&str, i32); 42] = [
            ("args_get", raw::args_get(bad, here)),
            ("args_get, buffer", raw::args_get(here, bad)),
            ("args_sizes_get", raw::args_sizes_get(bad, here)),
            ("args_sizes_get, bytes", raw::args_sizes_get(here, bad)),
            ("environ_get", raw::environ_get(bad, here)),
            ("environ_get, buffer", raw::environ_get(here, bad)),
            ("environ_sizes_get", raw::environ_sizes_get(bad, here)),
            ("environ_sizes_get, bytes", raw::environ_sizes_get(here, bad)),
            ("clock_res_get", raw::clock_res_get(0, bad)),
            ("clock_time_get", raw::clock_time_get(0, 0, bad)),
            ("fd_fdstat_get", raw::fd_fdstat_get(file, bad)),
            ("fd_filestat_get", raw::fd_filestat_get(file, bad)),
            ("fd_pread", raw::fd_pread(file, bad, 1, 0, here)),
            ("fd_pread, bytes", raw::fd_pread(file, list, 1, 0, here)),
            ("fd_pread, number", raw::fd_pread(file, here, 0, 0, bad)),
            ("fd_prestat_get", raw::fd_prestat_get(world.scratch.0, bad)),
            ("fd_prestat_dir_name", raw::fd_prestat_dir_name(world.scratch.0, bad, 7)),
            ("fd_pwrite", raw::fd_pwrite(file, bad, 1, 0, here)),
            ("fd_pwrite, bytes", raw::fd_pwrite(file, list, 1, 0, here)),
            ("fd_pwrite, number", raw::fd_pwrite(file, here, 0, 0, bad)),
            ("fd_read", raw::fd_read(file, bad, 1, here)),
            ("fd_read, bytes", raw::fd_read(file, list, 1, here)),
            ("fd_read, number", raw::fd_read(file, here, 0, bad)),
            ("fd_readdir", raw::fd_readdir(dir.0, bad, 100, 0, here)),
            ("fd_readdir, number", raw::fd_readdir(dir.0, here, 100, 0, bad)),
            ("fd_seek", raw::fd_seek(file, 0, 0, bad)),
            ("fd_tell", raw::fd_tell(file, bad)),
            ("fd_write", raw::fd_write(file, bad, 1, here)),
            ("fd_write, bytes", raw::fd_write(file, list, 1, here)),
            ("fd_write, number", raw::fd_write(file, here, 0, bad)),
            ("path_create_directory", raw::path_create_directory(dir.0, bad, 3)),
            ("path_filestat_get", raw::path_filestat_get(dir.0, 0, name, 4, bad)),
            ("path_link", raw::path_link(dir.0, 0, name, 4, dir.0, bad, 3)),
            ("path_open", raw::path_open(dir.0, 0, bad, 3, 0, right::FD_READ, 0, 0, here)),
            ("path_open, number", raw::path_open(dir.0, 1, name, 4, 0, right::FD_READ, 0, 0, bad)),
            ("path_readlink", raw::path_readlink(dir.0, name, 4, bad, 10, here)),
            ("path_readlink, number", raw::path_readlink(dir.0, name, 4, here, 10, bad)),
            ("path_rename", raw::path_rename(dir.0, name, 4, dir.0, bad, 3)),
            ("path_symlink", raw::path_symlink(bad, 3, dir.0, name, 4)),
            ("path_unlink_file", raw::path_unlink_file(dir.0, bad, 3)),
            ("poll_oneoff", raw::poll_oneoff(bad, here, 1, here)),
            ("random_get", raw::random_get(bad, 100)),
        ];
        for (name, errno) in calls {
            topic.is(&format!("{name} at {bad:x}"), sys::done(errno), "fault");
        }
    }
    topic.is("no call has changed the file", dir.read("link"), "content");
    topic.is("no call has read the file", sys::fd_tell(file), "0");
    topic.is("a name of all memory", sys::done(raw::path_unlink_file(dir.0, name, LAST)), "fault");
    topic.is("vectors of all memory", sys::done(raw::fd_write(file, here, LAST, here)), "fault");
    let vectors = [Vector { addr: 0, len: LAST }];
    let list = vectors.as_ptr().expose_provenance();
    topic.is("bytes of all memory", sys::done(raw::fd_read(file, list, 1, here)), "fault");
    topic.is("random bytes of all memory", sys::done(raw::random_get(0, LAST)), "fault");
    topic.is("subscriptions of all memory", sys::done(raw::poll_oneoff(0, 0, 0x0500_0000, here)), "inval");
    std::hint::black_box(place);
    sys::fd_close(file)?;
    sys::fd_close(dir.0)
}
