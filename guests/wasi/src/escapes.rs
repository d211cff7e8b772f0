// SPDX-License-Identifier: GPL-2.0

//! No path leads out of a directory.

use crate::{
    World,
    abi::{
        FOLLOW,
        NO_FOLLOW,
        oflags, //
    },
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

/// A function with a path.
type Call = (&'static str, fn(Dir, &str) -> Result);

/// Every function with a path to something.
const CALLS: [Call; 12] = [
    ("path_open", |dir, path| dir.try_open_read(FOLLOW, path, 0)),
    ("path_open to make", |dir, path| dir.try_open(FOLLOW, path, oflags::CREAT)),
    ("path_open to make anew", |dir, path| dir.try_open(FOLLOW, path, oflags::CREAT | oflags::EXCL)),
    ("path_open as a directory", |dir, path| dir.try_open_read(FOLLOW, path, oflags::DIRECTORY)),
    ("path_create_directory", |dir, path| dir.mkdir(path)),
    ("path_remove_directory", |dir, path| dir.rmdir(path)),
    ("path_unlink_file", |dir, path| dir.unlink(path)),
    ("path_filestat_get", |dir, path| dir.stat_follow(path).map(drop)),
    ("path_filestat_set_times", |dir, path| sys::path_filestat_set_times(dir.0, FOLLOW, path.as_bytes(), (0, 0), 2)),
    ("path_link", |dir, path| dir.link_follow(path, "escaped")),
    ("path_rename", |dir, path| dir.rename(path, "escaped")),
    ("path_rename to", |dir, path| dir.rename("file", path)),
];

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("escapes")?;
    dir.write("file", b"")?;
    dir.mkdir("dir")?;
    // One directory up is still the guest's, by way of another descriptor; two are not.
    dir.symlink("..", "up")?;
    dir.symlink("../file", "beside")?;
    dir.symlink("dir/../../file", "through")?;
    world.scratch.write("outside", b"outside")?;
    dir.symlink("../outside", "outside")?;
    dir.symlink("../made", "maker")?;
    for (name, call) in CALLS {
        let topic = Topic(name);
        for path in
            ["../outside", "dir/../../outside", "up/outside", "dir/../up/outside", "../escapes/file", "up/escapes/file"]
        {
            topic.is(path, call(dir, path), "perm");
        }
    }
    for (name, call) in CALLS.iter().filter(|(name, _)| {
        name.contains("open") && !name.contains("anew") || name.contains("filestat") || *name == "path_link"
    }) {
        let topic = Topic(name);
        for path in ["..", "dir/../..", "up", "up/", "up/..", "outside", "through"] {
            // What would be made is a directory, wherever.
            let wanted = if *name == "path_open to make" && path == "up/" { "isdir" } else { "perm" };
            topic.is(path, call(dir, path), wanted);
        }
    }
    let topic = Topic("escapes");
    topic.is("make by a link", dir.try_open(FOLLOW, "maker", oflags::CREAT), "perm");
    topic.is("nothing was made", world.scratch.stat("made"), "noent");
    topic.is("make anew by a link", dir.try_open(FOLLOW, "maker", oflags::CREAT | oflags::EXCL), "exist");
    topic.is("a link out, not followed", dir.stat("outside"), "symlink");
    topic.is("its text", dir.read_link("outside"), "../outside");
    topic.is("it goes away", dir.unlink("outside"), "ok");
    topic.is("what it led to stays", world.scratch.read("outside"), "outside");
    let again = dir.directory("dir/..")?;
    topic.is("what .. has opened is the directory", again.stat("file"), "file");
    topic.is("and has the same end", again.stat_follow(".."), "perm");
    sys::fd_close(again.0)?;
    let inner = dir.directory("dir")?;
    topic.is("from a directory inside", inner.stat_follow(".."), "perm");
    topic.is("to what the guest has elsewhere", inner.stat_follow("../file"), "perm");
    dir.rename("dir", "dir2")?;
    topic.is("also when it has moved", inner.stat_follow(".."), "perm");
    sys::fd_close(inner.0)?;

    // Made by whoever handed the directory over.
    let host = world.scratch.directory("host")?;
    topic.is("an absolute link", host.stat("absolute"), "symlink");
    topic.is("its text", host.read_link("absolute"), "/etc/passwd");
    for (name, call) in [CALLS[0], CALLS[1], CALLS[3], CALLS[7], CALLS[8], CALLS[9]] {
        topic.is(&format!("{name}: an absolute link"), call(host, "absolute"), "perm");
        topic.is(&format!("{name}: a link up"), call(host, "up"), "perm");
    }
    topic.is("by way of an absolute link", host.stat("absolute-directory/passwd"), "perm");
    topic.is("not followed", host.try_open(NO_FOLLOW, "absolute", 0), "loop");
    sys::fd_close(host.0)?;
    sys::fd_close(dir.0)
}
