// SPDX-License-Identifier: GPL-2.0

//! Cases for `path_open`.

use crate::{
    World,
    abi::{
        FOLLOW,
        NO_FOLLOW,
        fdflags,
        oflags::{
            CREAT,
            DIRECTORY,
            EXCL,
            TRUNC, //
        },
        right, //
    },
    case::{
        Topic,
        kind, //
    },
    scratch::{
        DIRECTORY as DIRECTORY_RIGHTS,
        Dir, //
    },
    sys::{
        self,
        Result, //
    },
};

fn files(topic: &Topic, dir: Dir) {
    topic.is("a name that does not exist", dir.try_open(FOLLOW, "absent", 0), "noent");
    topic.is("in a directory that does not exist", dir.try_open(FOLLOW, "absent/file", CREAT), "noent");
    topic.is("in a file", dir.try_open(FOLLOW, "file/file", CREAT), "notdir");
    topic.is("make", dir.try_open(FOLLOW, "new", CREAT), "ok");
    topic.is("the file that was made", dir.stat("new"), "file");
    topic.is("its size is 0", dir.stat("new").map(|stat| stat.size), "0");
    topic.is("its links are 1", dir.stat("new").map(|stat| stat.nlink), "1");
    topic.is("make a file that exists", dir.try_open(FOLLOW, "file", CREAT), "ok");
    topic.is("the existing file is unchanged", dir.read("file"), "content");
    topic.is("make anew", dir.try_open(FOLLOW, "newer", CREAT | EXCL), "ok");
    topic.is("make anew a file that exists", dir.try_open(FOLLOW, "file", CREAT | EXCL), "exist");
    topic.is("make anew over a link", dir.try_open(FOLLOW, "link", CREAT | EXCL), "exist");
    topic.is("make anew over a link to nothing", dir.try_open(FOLLOW, "dangling", CREAT | EXCL), "exist");
    topic.is(
        "make anew over a link to nothing, not followed",
        dir.try_open(NO_FOLLOW, "dangling", CREAT | EXCL),
        "exist",
    );
    topic.is("make anew over a directory", dir.try_open(FOLLOW, "dir", CREAT | EXCL), "exist");
    topic.is("excl without creat", dir.try_open(FOLLOW, "file", EXCL), "ok");
    topic.is("empty", dir.try_open(FOLLOW, "new", TRUNC), "ok");
    topic.is("make or empty", dir.try_open(FOLLOW, "newer", CREAT | TRUNC), "ok");
    let _ = dir.write("full", b"full");
    topic.is("empty a file with contents", dir.try_open(FOLLOW, "full", TRUNC), "ok");
    topic.is("the file is empty", dir.stat("full").map(|stat| stat.size), "0");
    topic.is("empty a file that does not exist", dir.try_open(FOLLOW, "absent", TRUNC), "noent");
    topic.is("to read only", dir.try_open_read(FOLLOW, "file", 0), "ok");
    topic.is("make, to read only", dir.try_open_read(FOLLOW, "newest", CREAT | EXCL), "ok");
}

fn directories(topic: &Topic, dir: Dir) {
    topic.is("a directory", dir.try_open_read(FOLLOW, "dir", 0), "ok");
    topic.is("a directory as one", dir.try_open_read(FOLLOW, "dir", DIRECTORY), "ok");
    topic.is("a directory to write", dir.try_open(FOLLOW, "dir", 0), "isdir");
    topic.is("a directory as one to write", dir.try_open(FOLLOW, "dir", DIRECTORY), "isdir");
    topic.is("a directory to empty", dir.try_open(FOLLOW, "dir", TRUNC), "isdir");
    topic.is("a directory to make", dir.try_open_read(FOLLOW, "dir", CREAT), "isdir");
    topic.is("a file as a directory", dir.try_open_read(FOLLOW, "file", DIRECTORY), "notdir");
    topic.is("make a directory", dir.try_open_read(FOLLOW, "dir2", CREAT | DIRECTORY), "inval");
    topic.is("nothing was made", dir.stat("dir2"), "noent");
    for (path, expected) in [
        (".", "ok"),
        ("./", "ok"),
        ("dir/", "ok"),
        ("dir//", "ok"),
        ("dir/.", "ok"),
        ("dir/..", "ok"),
        ("./dir/../.", "ok"),
        ("file/", "notdir"),
        ("file/.", "notdir"),
        ("file/..", "notdir"),
        ("absent/", "noent"),
        ("absent/..", "noent"),
        ("dir//inner", "ok"),
        ("dir/./inner", "ok"),
        ("dir/../file", "ok"),
        ("link/", "notdir"),
        ("dirlink/", "ok"),
        ("dirlink/inner", "ok"),
        ("dirlink/../file", "ok"),
        ("dangling/", "noent"),
    ] {
        topic.is(&format!("path {path}"), dir.try_open_read(FOLLOW, path, 0), expected);
    }
    for (path, expected) in [
        (".", "isdir"),
        ("..", "perm"),
        ("dir/", "isdir"),
        ("dir/.", "isdir"),
        ("dir/..", "isdir"),
        ("file/", "isdir"),
        ("file/.", "notdir"),
        ("absent/", "isdir"),
        ("absent/.", "noent"),
        ("dirlink/", "isdir"),
        ("link/", "isdir"),
        ("dangling/", "isdir"),
    ] {
        topic.is(&format!("make {path}"), dir.try_open_read(FOLLOW, path, CREAT), expected);
    }
    for (path, expected) in
        [(".", "exist"), ("dir/.", "exist"), ("dir/", "isdir"), ("absent/", "isdir"), ("file/", "isdir")]
    {
        topic.is(&format!("make anew {path}"), dir.try_open_read(FOLLOW, path, CREAT | EXCL), expected);
    }
}

fn symlinks(topic: &Topic, dir: Dir) {
    topic.is("a link, followed", dir.try_open(FOLLOW, "link", 0), "ok");
    topic.is("a link, not followed", dir.try_open(NO_FOLLOW, "link", 0), "loop");
    topic.is("a link to make, not followed", dir.try_open(NO_FOLLOW, "link", CREAT), "loop");
    topic.is("a link to a directory, not followed", dir.try_open_read(NO_FOLLOW, "dirlink", 0), "loop");
    topic.is("a link as a directory, not followed", dir.try_open_read(NO_FOLLOW, "dirlink", DIRECTORY), "notdir");
    topic.is("a link with a slash, not followed", dir.try_open_read(NO_FOLLOW, "dirlink/", DIRECTORY), "ok");
    topic.is("a link in the middle of a path, not followed", dir.try_open_read(NO_FOLLOW, "dirlink/inner", 0), "ok");
    topic.is("a file, not followed", dir.try_open(NO_FOLLOW, "file", 0), "ok");
    topic.is("a link to nothing", dir.try_open(FOLLOW, "dangling", 0), "noent");
    topic.is("a link to nothing, not followed", dir.try_open(NO_FOLLOW, "dangling", 0), "loop");
    topic.is("make the target of a link, not followed", dir.try_open(NO_FOLLOW, "dangling", CREAT), "loop");
    topic.is("nothing was made", dir.stat("target"), "noent");
    topic.is("make the target of a link", dir.try_open(FOLLOW, "dangling", CREAT), "ok");
    topic.is("the target was made", dir.stat("target"), "file");
    topic.is("the link is unchanged", dir.stat("dangling"), "symlink");
    let _ = dir.symlink("target2", "dir/dangling");
    topic.is("make the target of a link in another directory", dir.try_open(FOLLOW, "dir/dangling", CREAT), "ok");
    topic.is("the target was made in that directory", dir.stat("dir/target2"), "file");
    let _ = dir.symlink("dangling4", "dangling3");
    let _ = dir.symlink("dir/../target4", "dangling4");
    topic.is("make the target of two links", dir.try_open(FOLLOW, "dangling3", CREAT), "ok");
    topic.is("the target of two links was made", dir.stat("target4"), "file");
    let _ = dir.symlink("absent/target", "astray");
    topic.is("make the target of a link in a missing directory", dir.try_open(FOLLOW, "astray", CREAT), "noent");
    let _ = dir.symlink("target5/", "slashed");
    topic.is("make by a link with a slash", dir.try_open(FOLLOW, "slashed", CREAT), "isdir");
    let _ = dir.symlink("file/", "filed");
    topic.is("by a link with a slash after a file", dir.try_open(FOLLOW, "filed", 0), "notdir");
    topic.is("make by a link with a slash after a file", dir.try_open(FOLLOW, "filed", CREAT), "isdir");
    topic.is("make anew by a link with a slash after a file", dir.try_open(FOLLOW, "filed", CREAT | EXCL), "exist");
    topic.is("make below a link with a slash after a file", dir.try_open(FOLLOW, "filed/new", CREAT), "notdir");
    let _ = dir.symlink("self", "self");
    let _ = dir.symlink("pong", "ping");
    let _ = dir.symlink("ping", "pong");
    for (path, how, expected) in
        [("self", 0, "loop"), ("self", CREAT, "loop"), ("ping", 0, "loop"), ("pong/file", 0, "loop")]
    {
        topic.is(&format!("a loop: {path} {how}"), dir.try_open(FOLLOW, path, how), expected);
    }
    // Linux follows at most forty links.
    let _ = dir.symlink("file", "chain0");
    for n in 1..=41 {
        let _ = dir.symlink(format!("chain{}", n - 1), format!("chain{n}"));
    }
    topic.is("forty links", dir.try_open(FOLLOW, "chain39", 0), "ok");
    topic.is("41 links", dir.try_open(FOLLOW, "chain40", 0), "loop");
}

fn numbers(topic: &Topic, dir: Dir) -> Result {
    let open = |dirflags, oflags, fdflags| {
        sys::fd_close(sys::path_open(dir.0, dirflags, b"file", oflags, (right::READ, 0), fdflags)?)
    };
    topic.is("unknown lookupflags", open(2, 0, 0), "inval");
    topic.is("unknown oflags", open(0, 1 << 4, 0), "inval");
    topic.is("unknown fdflags", open(0, 0, 1 << 5), "inval");
    topic.is("more oflags than bits", open(0, 1 << 16, 0), "inval");
    topic.is("more fdflags than bits", open(0, 0, 1 << 16), "inval");
    topic.is("every fdflag", open(0, 0, 31), "ok");
    topic.is("no rights", sys::path_open(dir.0, 0, b"file", 0, (0, 0), 0).and_then(sys::fd_close), "ok");
    topic.is(
        "all bits of rights",
        sys::path_open(dir.0, 0, b"file", 0, (u64::MAX, u64::MAX), 0).and_then(sys::fd_close),
        "ok",
    );
    let file = dir.open("file", 0)?;
    topic.is("below a file", Dir(file).try_open(0, "file", 0), "notdir");
    topic.is("a dot below a file", Dir(file).try_open(0, ".", 0), "notdir");
    sys::fd_close(file)?;
    topic.is("below a descriptor that is not open", Dir(1000).try_open(0, "file", 0), "badf");
    topic.is("below standard output", Dir(1).try_open(0, "file", 0), "notcapable");

    // A removed directory that is still open.
    let gone = dir.make("gone")?;
    dir.rmdir("gone")?;
    topic.is("in a removed directory", gone.try_open(FOLLOW, "file", CREAT), "noent");
    topic.is("the dot of a removed directory", gone.try_open_read(FOLLOW, ".", 0), "ok");
    sys::fd_close(gone.0)?;

    // An unlinked file that is still open.
    let fd = dir.open("going", CREAT)?;
    dir.unlink("going")?;
    topic.is("an unlinked file is written", sys::fd_write(fd, b"gone"), "4");
    topic.is("an unlinked file has no links", sys::fd_filestat_get(fd).map(|stat| stat.nlink), "0");
    topic.is("an unlinked file has a size", sys::fd_filestat_get(fd).map(|stat| stat.size), "4");
    sys::fd_close(fd)
}

/// Cases for devices and pipes, which a guest cannot make itself.
fn special(topic: &Topic, dir: Dir) -> Result {
    if dir.stat("null").is_ok() {
        topic.is("type of a device", dir.stat("null"), "character-device");
        topic.is("a device", dir.try_open(FOLLOW, "null", 0), "perm");
        topic.is("a device to read", dir.try_open_read(FOLLOW, "null", 0), "perm");
        topic.is("a device to make", dir.try_open(FOLLOW, "null", CREAT), "perm");
        topic.is("a device to make anew", dir.try_open(FOLLOW, "null", CREAT | EXCL), "exist");
        topic.is("a device as a directory", dir.try_open_read(FOLLOW, "null", DIRECTORY), "notdir");
        topic.is("a device with a slash", dir.try_open_read(FOLLOW, "null/", 0), "notdir");
    }
    topic.is("type of a pipe", dir.stat("pipe").map(|stat| kind(stat.filetype)), "unknown");
    let nonblock = fdflags::NONBLOCK;
    let write = sys::path_open(dir.0, FOLLOW, b"pipe", 0, (right::FD_WRITE | right::POLL_FD_READWRITE, 0), nonblock);
    topic.is("a pipe without a reader", write.map(drop), "nxio");
    let read = sys::path_open(dir.0, FOLLOW, b"pipe", 0, (right::READ, 0), nonblock)?;
    let write = sys::path_open(dir.0, FOLLOW, b"pipe", 0, (right::FD_WRITE | right::POLL_FD_READWRITE, 0), 0)?;
    let mut bytes = [0; 10];
    topic.is("an empty pipe is read", sys::fd_read(read, &mut bytes), "again");
    topic.is("a pipe is written", sys::fd_write(write, b"through"), "7");
    topic.is("a pipe is read", sys::fd_read(read, &mut bytes[..4]), "4");
    topic.is("the rest of a pipe is read", sys::fd_read(read, &mut bytes), "3");
    topic.is("a pipe has no position", sys::fd_seek(read, 0, 0), "spipe");
    topic.is("fd_tell of a pipe", sys::fd_tell(read), "spipe");
    topic.is("fd_pread of a pipe", sys::fd_pread(read, &mut bytes, 0), "spipe");
    topic.is("blocking again", sys::fd_fdstat_set_flags(read, 0), "ok");
    sys::fd_write(write, b"late")?;
    topic.is("a pipe with something in it", sys::fd_read(read, &mut bytes), "4");
    topic.is("nonblocking again", sys::fd_fdstat_set_flags(read, nonblock), "ok");
    topic.is("an empty pipe is read again", sys::fd_read(read, &mut bytes), "again");
    sys::fd_close(write)?;
    topic.is("a pipe without a writer", sys::fd_read(read, &mut bytes), "0");
    sys::fd_close(read)?;

    topic.is("standard input does not block", sys::fd_fdstat_set_flags(0, nonblock), "ok");
    topic.is("empty standard input", sys::fd_read(0, &mut bytes), "again");
    topic.is("standard input blocks", sys::fd_fdstat_set_flags(0, 0), "ok");
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("path_open");
    let dir = world.scratch.make("open")?;
    dir.write("file", b"content")?;
    dir.mkdir("dir")?;
    dir.write("dir/inner", b"inner")?;
    dir.symlink("file", "link")?;
    dir.symlink("dir", "dirlink")?;
    dir.symlink("target", "dangling")?;
    files(&topic, dir);
    directories(&topic, dir);
    symlinks(&topic, dir);
    numbers(&topic, dir)?;
    special(&topic, world.scratch.directory("host")?)?;
    let rights = (DIRECTORY_RIGHTS, right::ALL);
    let again = sys::path_open(dir.0, FOLLOW, b".", DIRECTORY, rights, 0)?;
    topic.is(
        "the directory itself",
        dir.stat(".").map(|a| Dir(again).stat(".").map(|b| a.ino == b.ino).unwrap_or(false)),
        "yes",
    );
    sys::fd_close(again)?;
    sys::fd_close(dir.0)
}
