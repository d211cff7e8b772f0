// SPDX-License-Identifier: GPL-2.0

//! Cases for properties of descriptors, for closing and for renumbering.

use crate::{
    World,
    abi::{
        FOLLOW,
        Fd,
        fdflags,
        oflags,
        right, //
    },
    case::{
        Topic,
        kind, //
    },
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

/// Descriptor number that is never open.
const NONE: Fd = 1000;

fn flags(fd: Fd) -> Result<u16> {
    Ok(sys::fd_fdstat_get(fd)?.flags)
}

fn fdstat(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_fdstat_get");
    topic.is("type of an empty pipe", sys::fd_fdstat_get(0).map(|stat| kind(stat.filetype)), "unknown");
    topic.is("type of a directory", sys::fd_fdstat_get(dir.0).map(|stat| kind(stat.filetype)), "directory");
    let file = dir.open("file", oflags::CREAT)?;
    topic.is("type of a file", sys::fd_fdstat_get(file).map(|stat| kind(stat.filetype)), "file");
    topic.is("flags of a file", flags(file), "0");
    topic.told("rights of standard input", sys::fd_fdstat_get(0).map(|stat| format!("{:x}", stat.rights)));
    topic.told("rights of a directory", sys::fd_fdstat_get(dir.0).map(|stat| format!("{:x}", stat.rights)));
    // Rights fd_read, fd_seek, fd_tell, fd_write, fd_advise, fd_allocate, fd_filestat_set_size, and
    // those of sockets.
    let of_bytes = 0x3040_01e6;
    let has = |fd| sys::fd_fdstat_get(fd).map(|stat| stat.rights & of_bytes);
    topic.is("rights of files that an opened directory has", has(dir.0), "0");
    topic.is("rights of files that a preopen has", has(world.scratch.0), "0");
    let all = sys::path_open(dir.0, FOLLOW, b".", 0, (right::ALL & !right::FD_WRITE & !0x0040_0100, right::ALL), 0)?;
    topic.is("rights of files of a directory opened with all", has(all), "0");
    topic.is(
        "a directory opened with all is listed",
        sys::fd_readdir(all, &mut [0; 100], 0).map(|used| used > 0),
        "yes",
    );
    sys::fd_close(all)?;
    topic.told(
        "inheriting rights of a directory",
        sys::fd_fdstat_get(dir.0).map(|stat| format!("{:x}", stat.inheriting)),
    );
    topic.told("rights of a file", sys::fd_fdstat_get(file).map(|stat| format!("{:x}", stat.rights)));
    topic.is("a descriptor that is not open", sys::fd_fdstat_get(NONE).map(drop), "badf");
    topic.is("the largest descriptor", sys::fd_fdstat_get(Fd::MAX).map(drop), "badf");
    sys::fd_close(file)?;

    let topic = Topic("fd_fdstat_set_flags");
    let file = dir.open("file", 0)?;
    for (flag, name) in [(fdflags::APPEND, "append"), (fdflags::NONBLOCK, "nonblock"), (0, "nothing")] {
        topic.is(name, sys::fd_fdstat_set_flags(file, flag), "ok");
        topic.is("the flag is returned", flags(file).map(|flags| u32::from(flags) == flag), "yes");
    }
    topic.is("an unknown flag", sys::fd_fdstat_set_flags(file, 1 << 5), "inval");
    topic.is("a flag beyond 16 bits", sys::fd_fdstat_set_flags(file, 1 << 16), "inval");
    topic.is("a descriptor that is not open", sys::fd_fdstat_set_flags(NONE, 0), "badf");
    sys::fd_close(file)?;
    for (flag, name, expected) in
        [(fdflags::APPEND, "append", "1"), (fdflags::DSYNC, "dsync", "2"), (fdflags::NONBLOCK, "nonblock", "4")]
    {
        let file = dir.open_flags("file", 0, flag)?;
        topic.is(&format!("opened with {name}"), flags(file), expected);
        sys::fd_close(file)?;
    }
    let file = dir.open_flags("file", 0, fdflags::SYNC)?;
    topic.is("opened with sync", flags(file).map(|flags| u32::from(flags) & fdflags::SYNC != 0), "yes");
    topic.told("sync again", sys::fd_fdstat_set_flags(file, fdflags::SYNC | fdflags::DSYNC | (1 << 3)));
    topic.is("sync is switched off", sys::fd_fdstat_set_flags(file, 0), "notsup");
    sys::fd_close(file)
}

fn preopened(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_prestat_get");
    let scratch = world.scratch.0;
    topic.is("a directory", sys::fd_prestat_get(scratch).map(|stat| u32::from(stat.tag)), "0");
    topic.is("the length of its name", sys::fd_prestat_get(scratch).map(|stat| stat.name_len), "7");
    topic.is("standard input", sys::fd_prestat_get(0).map(drop), "badf");
    topic.is("a directory that is no preopen", sys::fd_prestat_get(dir.0).map(drop), "badf");
    topic.is("a descriptor that is not open", sys::fd_prestat_get(NONE).map(drop), "badf");

    let topic = Topic("fd_prestat_dir_name");
    let name = |len: usize| {
        let mut name = vec![b'.'; len];
        sys::fd_prestat_dir_name(scratch, &mut name).map(|()| name)
    };
    topic.is("a buffer of the name's size", name(7), "scratch");
    topic.is("a larger buffer", name(9), "scratch..");
    topic.is("a smaller buffer", name(6), "nametoolong");
    topic.is("an empty buffer", name(0), "nametoolong");
    topic.is("standard input", sys::fd_prestat_dir_name(0, &mut [0; 9]), "badf");
    topic.is("a descriptor that is not open", sys::fd_prestat_dir_name(NONE, &mut [0; 9]), "badf");
    Ok(())
}

fn numbers(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_close");
    let file = dir.open("file", 0)?;
    topic.is("a file", sys::fd_close(file), "ok");
    topic.is("a closed file", sys::fd_close(file), "badf");
    topic.is("fd_tell of a closed file", sys::fd_tell(file), "badf");
    topic.is("a descriptor that is not open", sys::fd_close(NONE), "badf");
    topic.is("the largest descriptor", sys::fd_close(Fd::MAX), "badf");
    let again = dir.open("file", 0)?;
    topic.is("the number is used again", again == file, "yes");

    let topic = Topic("fd_renumber");
    dir.write("one", b"one")?;
    dir.write("two", b"two")?;
    let one = dir.open_read(FOLLOW, b"one", 0)?;
    let two = dir.open_read(FOLLOW, b"two", 0)?;
    let read = |fd| {
        let mut bytes = vec![0; 10];
        sys::fd_pread(fd, &mut bytes, 0).map(|len| bytes[..len].to_vec())
    };
    topic.is("to itself", sys::fd_renumber(one, one), "ok");
    topic.is("to a descriptor that is not open", sys::fd_renumber(one, NONE), "badf");
    topic.is("to the largest descriptor", sys::fd_renumber(one, Fd::MAX), "badf");
    topic.is("from a descriptor that is not open", sys::fd_renumber(NONE, one), "badf");
    topic.is("nothing was renumbered", read(one), "one");
    topic.is("over another", sys::fd_renumber(one, two), "ok");
    topic.is("the new number", read(two), "one");
    topic.is("the old number", read(one), "badf");
    let rights = |fd| sys::fd_fdstat_get(fd).map(|stat| stat.rights & right::FD_WRITE != 0);
    topic.is("a file onto another one", sys::fd_renumber(again, two), "ok");
    topic.is("the rights move with the file", rights(two), "yes");
    sys::fd_close(two)?;

    // The last call of this topic leaves the descriptors as they are for the following topics.
    let copy = world.read_only.directory(".")?;
    topic.is("a directory", sys::fd_renumber(copy.0, copy.0), "ok");
    sys::fd_close(copy.0)
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("descriptors")?;
    fdstat(world, dir)?;
    preopened(world, dir)?;
    numbers(world, dir)?;
    sys::fd_close(dir.0)
}
