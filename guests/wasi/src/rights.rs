// SPDX-License-Identifier: GPL-2.0

//! Cases for rights: a call without its right is refused, rights only shrink, and an opened
//! descriptor has at most the rights that its directory passes on.

use crate::{
    World,
    abi::{
        FOLLOW,
        NO_FOLLOW,
        oflags,
        right, //
    },
    case::Topic,
    scratch::{
        DIRECTORY,
        Dir, //
    },
    sys::{
        self,
        Result, //
    },
};

/// Number of a right, its name, and a call with a directory or file that needs it.
type Need = (u32, &'static str, fn(Dir) -> Result);

const OF_DIRECTORIES: [Need; 19] = [
    (0, "fd_datasync", |dir| sys::fd_datasync(dir.0)),
    (3, "fd_fdstat_set_flags", |dir| sys::fd_fdstat_set_flags(dir.0, 0)),
    (4, "fd_sync", |dir| sys::fd_sync(dir.0)),
    (9, "path_create_directory", |dir| dir.mkdir("new")),
    (10, "path_create_file", |dir| dir.try_open(FOLLOW, "new", oflags::CREAT)),
    (11, "path_link_source", |dir| dir.link("file", "new")),
    (12, "path_link_target", |dir| dir.link("file", "new")),
    (13, "path_open", |dir| dir.try_open(FOLLOW, "file", 0)),
    (14, "fd_readdir", |dir| sys::fd_readdir(dir.0, &mut [0; 100], 0).map(drop)),
    (15, "path_readlink", |dir| dir.read_link("link").map(drop)),
    (16, "path_rename_source", |dir| dir.rename("file", "new")),
    (17, "path_rename_target", |dir| dir.rename("file", "new")),
    (18, "path_filestat_get", |dir| dir.stat("file").map(drop)),
    (19, "path_filestat_set_size", |dir| dir.try_open(FOLLOW, "file", oflags::TRUNC)),
    (20, "path_filestat_set_times", |dir| sys::path_filestat_set_times(dir.0, NO_FOLLOW, b"file", (0, 0), 1)),
    (21, "fd_filestat_get", |dir| sys::fd_filestat_get(dir.0).map(drop)),
    (23, "fd_filestat_set_times", |dir| sys::fd_filestat_set_times(dir.0, 0, 0, 1)),
    (24, "path_symlink", |dir| dir.symlink("file", "new")),
    (25, "path_remove_directory", |dir| dir.rmdir("dir")),
];

const OF_FILES: [Need; 13] = [
    (0, "fd_datasync", |file| sys::fd_datasync(file.0)),
    (1, "fd_read", |file| sys::fd_read(file.0, &mut [0]).map(drop)),
    (1, "fd_read at an offset", |file| sys::fd_pread(file.0, &mut [0], 0).map(drop)),
    (2, "fd_seek", |file| sys::fd_seek(file.0, 1, 0).map(drop)),
    (2, "fd_seek to read at an offset", |file| sys::fd_pread(file.0, &mut [0], 0).map(drop)),
    (3, "fd_fdstat_set_flags", |file| sys::fd_fdstat_set_flags(file.0, 0)),
    (5, "fd_tell", |file| sys::fd_tell(file.0).map(drop)),
    (5, "fd_tell to seek nowhere", |file| sys::fd_seek(file.0, 0, 1).map(drop)),
    (6, "fd_write", |file| sys::fd_write(file.0, b"x").map(drop)),
    (6, "fd_write at an offset", |file| sys::fd_pwrite(file.0, b"x", 0).map(drop)),
    (7, "fd_advise", |file| sys::fd_advise(file.0, 0, 0, 0)),
    (8, "fd_allocate", |file| sys::fd_allocate(file.0, 0, 1)),
    (22, "fd_filestat_set_size", |file| sys::fd_filestat_set_size(file.0, 0)),
];

/// Removes `rights` from the rights of a descriptor.
fn without(fd: u32, rights: u64) -> Result {
    let stat = sys::fd_fdstat_get(fd)?;
    sys::fd_fdstat_set_rights(fd, stat.rights & !rights, stat.inheriting)
}

fn needed(dir: Dir) -> Result {
    let topic = Topic("without the right");
    for (bit, name, call) in OF_DIRECTORIES {
        let again = dir.directory(".")?;
        without(again.0, 1 << bit)?;
        topic.is(name, call(again), "notcapable");
        sys::fd_close(again.0)?;
    }
    let again = dir.directory(".")?;
    without(again.0, 1 << 26)?;
    topic.is("path_unlink_file", again.unlink("file"), "notcapable");
    sys::fd_close(again.0)?;
    topic.is("nothing was created without a right", dir.stat("new"), "noent");
    for (bit, name, call) in OF_FILES {
        let file = Dir(dir.open("file", 0)?);
        without(file.0, 1 << bit)?;
        topic.is(name, call(file), "notcapable");
        sys::fd_close(file.0)?;
    }
    let topic = Topic("with that right alone");
    for (bit, name, call) in OF_DIRECTORIES.iter().filter(|(bit, ..)| !matches!(bit, 9..=12 | 16 | 17 | 19 | 24 | 25)) {
        let again = dir.directory(".")?;
        without(again.0, !(1 << bit))?;
        topic.is(name, call(again), "ok");
        sys::fd_close(again.0)?;
    }
    Ok(())
}

fn shrunk(dir: Dir) -> Result {
    let topic = Topic("fd_fdstat_set_rights");
    let file = dir.open("file", 0)?;
    let stat = sys::fd_fdstat_get(file)?;
    topic.is("the rights that it has", sys::fd_fdstat_set_rights(file, stat.rights, stat.inheriting), "ok");
    topic.is("fewer", sys::fd_fdstat_set_rights(file, right::FD_READ, right::FD_READ), "ok");
    topic.is("the fewer rights are returned", sys::fd_fdstat_get(file).map(|stat| stat.rights), "2");
    topic.is("the fewer inheriting rights are returned", sys::fd_fdstat_get(file).map(|stat| stat.inheriting), "2");
    topic.is("all former rights", sys::fd_fdstat_set_rights(file, stat.rights, right::FD_READ), "notcapable");
    topic.is(
        "all former inheriting rights",
        sys::fd_fdstat_set_rights(file, right::FD_READ, stat.inheriting),
        "notcapable",
    );
    topic.is("one more right", sys::fd_fdstat_set_rights(file, right::FD_READ | right::FD_TELL, 0), "notcapable");
    topic.is("an unknown right", sys::fd_fdstat_set_rights(file, 1 << 30, 0), "notcapable");
    topic.is("the highest unknown right", sys::fd_fdstat_set_rights(file, 1 << 63, 0), "notcapable");
    topic.is("refused calls change nothing", sys::fd_fdstat_get(file).map(|stat| stat.rights), "2");
    topic.is("no rights", sys::fd_fdstat_set_rights(file, 0, 0), "ok");
    topic.is("fd_fdstat_get needs no right", sys::fd_fdstat_get(file).map(|stat| stat.rights), "0");
    topic.is("fd_close needs no right", sys::fd_close(file), "ok");
    topic.is("no such descriptor", sys::fd_fdstat_set_rights(1000, 0, 0), "badf");
    Ok(())
}

fn passed_on(dir: Dir) -> Result {
    let topic = Topic("rights passed on");
    let again = dir.directory(".")?;
    let own = sys::fd_fdstat_get(again.0)?.rights;
    sys::fd_fdstat_set_rights(again.0, own, right::READ | right::PATH_OPEN)?;
    let open = |rights| sys::path_open(again.0, FOLLOW, b"file", 0, (rights, right::ALL), 0);
    topic.is("open to write", open(right::FD_WRITE).map(drop), "notcapable");
    topic.is("open to read and write", open(right::READ_WRITE).map(drop), "notcapable");
    let file = open(right::READ | (1 << 22))?;
    topic.is("open to read", sys::fd_read(file, &mut [0; 9]), "7");
    topic.is("a call whose right was not passed on", sys::fd_filestat_set_size(file, 0), "notcapable");
    let stat = sys::fd_fdstat_get(file)?;
    topic.is("rights of the file", stat.rights == right::READ, "yes");
    topic.is("inheriting rights of the file", stat.inheriting == right::READ | right::PATH_OPEN, "yes");
    sys::fd_close(file)?;
    let inner =
        sys::path_open(again.0, FOLLOW, b"dir", oflags::DIRECTORY, (DIRECTORY & !right::FD_READ, right::ALL), 0)?;
    let inner = Dir(inner);
    topic.is("open in a directory inside", inner.try_open_read(FOLLOW, "../dir/inner", 0), "perm");
    topic.is("open a file in the inner directory", inner.try_open_read(FOLLOW, "inner", 0), "ok");
    topic.is("open a file in the inner directory to write", inner.try_open(FOLLOW, "inner", 0), "notcapable");
    topic.is("make a file in the inner directory", inner.try_open_read(FOLLOW, "new", oflags::CREAT), "notcapable");
    topic.is("remove a file in the inner directory", inner.unlink("inner"), "notcapable");
    sys::fd_close(inner.0)?;
    sys::fd_fdstat_set_rights(again.0, own & !right::PATH_CREATE_FILE, 0)?;
    topic.is(
        "a directory that passes on nothing",
        sys::path_open(again.0, FOLLOW, b"file", 0, (0, right::ALL), 0).and_then(|file| {
            let stat = sys::fd_fdstat_get(file)?;
            sys::fd_close(file)?;
            Ok(stat.rights | stat.inheriting)
        }),
        "0",
    );
    topic.is(
        "open to read in a directory that passes on nothing",
        again.try_open_read(FOLLOW, "file", 0),
        "notcapable",
    );
    sys::fd_close(again.0)
}

/// Opens like open(2) of a C library, which requests the inheriting rights of the directory,
/// without those of writing for O_RDONLY.
fn libc_open(dir: Dir, name: &str, writes: bool) -> Result<u32> {
    let passed = sys::fd_fdstat_get(dir.0)?.inheriting;
    let of_writing = right::FD_WRITE | (1 << 0) | (1 << 8) | (1 << 22);
    let rights = if writes { right::ALL } else { right::ALL & !of_writing };
    sys::path_open(dir.0, FOLLOW, name.as_bytes(), 0, (rights & passed, passed), 0)
}

/// Opens for writing, as a C library does, in a directory without that right. Then opens for
/// reading, and syncs.
fn by_libc(topic: &Topic, dir: Dir, name: &str) -> Result {
    topic.is("a C library opens to write", libc_open(dir, name, true).map(drop), "notcapable");
    let file = libc_open(dir, name, false)?;
    topic.is("a C library opens to read", sys::fd_read(file, &mut [0]), "1");
    topic.is("a file opened to read is not written", sys::fd_write(file, b"x"), "notcapable");
    topic.is("fsync", sys::fd_sync(file), "ok");
    topic.is("fdatasync", sys::fd_datasync(file), "ok");
    sys::fd_close(file)
}

fn read_only(world: &World) -> Result {
    let topic = Topic("read only");
    let dir = world.read_only;
    topic.is("read a file", dir.read("file"), "content");
    topic.is("describe it", dir.stat("file"), "file");
    topic.is("read a link", dir.read_link("link"), "file");
    topic.is("open a directory", dir.try_open_read(FOLLOW, "dir", oflags::DIRECTORY), "ok");
    topic.is("open to write", dir.try_open(FOLLOW, "file", 0), "notcapable");
    by_libc(&topic, dir, "file")?;
    topic.is("make", dir.try_open_read(FOLLOW, "new", oflags::CREAT), "notcapable");
    topic.is("empty", dir.try_open_read(FOLLOW, "file", oflags::TRUNC), "notcapable");
    topic.is("make a directory", dir.mkdir("new"), "notcapable");
    topic.is("remove a directory", dir.rmdir("dir"), "notcapable");
    topic.is("remove a file", dir.unlink("file"), "notcapable");
    topic.is("make a link", dir.symlink("file", "new"), "notcapable");
    topic.is("rename", dir.rename("file", "new"), "notcapable");
    topic.is("rename away", sys::path_rename(dir.0, b"file", world.scratch.0, b"stolen"), "notcapable");
    topic.is("rename into", sys::path_rename(world.scratch.0, b"outside", dir.0, b"new"), "notcapable");
    topic.is("link away", sys::path_link(dir.0, 0, b"file", world.scratch.0, b"stolen"), "notcapable");
    topic.is("link into", sys::path_link(world.scratch.0, 0, b"outside", dir.0, b"new"), "notcapable");
    topic.is("set times", sys::path_filestat_set_times(dir.0, 0, b"file", (0, 0), 1), "notcapable");
    topic.is("set its own times", sys::fd_filestat_set_times(dir.0, 0, 0, 1), "notcapable");
    let inner = dir.directory("dir")?;
    topic.is("make in a directory inside", inner.mkdir("new"), "notcapable");
    topic.is("read in a directory inside", inner.read("inner"), "inner");
    by_libc(&topic, inner, "inner")?;
    let stat = sys::fd_fdstat_get(inner.0)?;
    topic.is(
        "the rights that the inner directory has",
        sys::fd_fdstat_set_rights(inner.0, stat.rights, stat.inheriting),
        "ok",
    );
    topic.is("a C library opens to write after that", libc_open(inner, "inner", true).map(drop), "notcapable");
    sys::fd_close(inner.0)?;
    let fd = libc_open(world.scratch, "outside", false)?;
    topic.is("fsync of a file that is only read", sys::fd_sync(fd), "ok");
    topic.is("fdatasync of a file that is only read", sys::fd_datasync(fd), "ok");
    sys::fd_close(fd)?;
    topic.is("the directory above", dir.stat_follow("../scratch"), "perm");
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("rights")?;
    dir.write("file", b"content")?;
    dir.mkdir("dir")?;
    dir.write("dir/inner", b"inner")?;
    dir.symlink("file", "link")?;
    needed(dir)?;
    shrunk(dir)?;
    passed_on(dir)?;
    read_only(world)?;
    sys::fd_close(dir.0)
}
