// SPDX-License-Identifier: GPL-2.0

//! What is known about descriptors, their numbers, and how they go away.

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

/// What there is never a descriptor for.
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
    // fd_read, fd_seek, fd_tell, fd_write, fd_advise, fd_allocate, fd_filestat_set_size, those of sockets.
    let of_bytes = 0x3040_01e6;
    let has = |fd| sys::fd_fdstat_get(fd).map(|stat| stat.rights & of_bytes);
    topic.is("of those of files it has", has(dir.0), "0");
    topic.is("nor has one that was handed over", has(world.scratch.0), "0");
    let all = sys::path_open(dir.0, FOLLOW, b".", 0, (right::ALL & !right::FD_WRITE & !0x0040_0100, right::ALL), 0)?;
    topic.is("nor one that was to have all", has(all), "0");
    topic.is("but it reads a directory", sys::fd_readdir(all, &mut [0; 100], 0).map(|used| used > 0), "yes");
    sys::fd_close(all)?;
    topic.told("rights that it passes on", sys::fd_fdstat_get(dir.0).map(|stat| format!("{:x}", stat.inheriting)));
    topic.told("rights of a file", sys::fd_fdstat_get(file).map(|stat| format!("{:x}", stat.rights)));
    topic.is("none", sys::fd_fdstat_get(NONE).map(drop), "badf");
    topic.is("the last number", sys::fd_fdstat_get(Fd::MAX).map(drop), "badf");
    sys::fd_close(file)?;

    let topic = Topic("fd_fdstat_set_flags");
    let file = dir.open("file", 0)?;
    for (flag, name) in [(fdflags::APPEND, "append"), (fdflags::NONBLOCK, "nonblock"), (0, "nothing")] {
        topic.is(name, sys::fd_fdstat_set_flags(file, flag), "ok");
        topic.is("is told", flags(file).map(|flags| u32::from(flags) == flag), "yes");
    }
    topic.is("what is no flag", sys::fd_fdstat_set_flags(file, 1 << 5), "inval");
    topic.is("more bits than there are", sys::fd_fdstat_set_flags(file, 1 << 16), "inval");
    topic.is("none", sys::fd_fdstat_set_flags(NONE, 0), "badf");
    sys::fd_close(file)?;
    for (flag, name, wanted) in
        [(fdflags::APPEND, "append", "1"), (fdflags::DSYNC, "dsync", "2"), (fdflags::NONBLOCK, "nonblock", "4")]
    {
        let file = dir.open_flags("file", 0, flag)?;
        topic.is(&format!("opened with {name}"), flags(file), wanted);
        sys::fd_close(file)?;
    }
    let file = dir.open_flags("file", 0, fdflags::SYNC)?;
    topic.is("opened with sync", flags(file).map(|flags| u32::from(flags) & fdflags::SYNC != 0), "yes");
    topic.told("sync again", sys::fd_fdstat_set_flags(file, fdflags::SYNC | fdflags::DSYNC | (1 << 3)));
    topic.is("less durable than opened", sys::fd_fdstat_set_flags(file, 0), "notsup");
    sys::fd_close(file)
}

fn preopened(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_prestat_get");
    let scratch = world.scratch.0;
    topic.is("a directory", sys::fd_prestat_get(scratch).map(|stat| u32::from(stat.tag)), "0");
    topic.is("the length of its name", sys::fd_prestat_get(scratch).map(|stat| stat.name_len), "7");
    topic.is("standard input", sys::fd_prestat_get(0).map(drop), "badf");
    topic.is("a directory that was opened", sys::fd_prestat_get(dir.0).map(drop), "badf");
    topic.is("none", sys::fd_prestat_get(NONE).map(drop), "badf");

    let topic = Topic("fd_prestat_dir_name");
    let name = |len: usize| {
        let mut name = vec![b'.'; len];
        sys::fd_prestat_dir_name(scratch, &mut name).map(|()| name)
    };
    topic.is("room for it", name(7), "scratch");
    topic.is("more room", name(9), "scratch..");
    topic.is("less room", name(6), "nametoolong");
    topic.is("no room", name(0), "nametoolong");
    topic.is("standard input", sys::fd_prestat_dir_name(0, &mut [0; 9]), "badf");
    topic.is("none", sys::fd_prestat_dir_name(NONE, &mut [0; 9]), "badf");
    Ok(())
}

fn numbers(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_close");
    let file = dir.open("file", 0)?;
    topic.is("a file", sys::fd_close(file), "ok");
    topic.is("a second time", sys::fd_close(file), "badf");
    topic.is("used afterwards", sys::fd_tell(file), "badf");
    topic.is("none", sys::fd_close(NONE), "badf");
    topic.is("the last number", sys::fd_close(Fd::MAX), "badf");
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
    topic.is("to what is not open", sys::fd_renumber(one, NONE), "badf");
    topic.is("to the last number", sys::fd_renumber(one, Fd::MAX), "badf");
    topic.is("of what is not open", sys::fd_renumber(NONE, one), "badf");
    topic.is("nothing has happened", read(one), "one");
    topic.is("over another", sys::fd_renumber(one, two), "ok");
    topic.is("the new number", read(two), "one");
    topic.is("the old number", read(one), "badf");
    let rights = |fd| sys::fd_fdstat_get(fd).map(|stat| stat.rights & right::FD_WRITE != 0);
    topic.is("the file that was there", sys::fd_renumber(again, two), "ok");
    topic.is("rights come along", rights(two), "yes");
    sys::fd_close(two)?;

    // The last that is done with it is to leave it as it was for those that follow.
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
