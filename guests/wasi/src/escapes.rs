// SPDX-License-Identifier: GPL-2.0

//! Cases for paths that lead out of a preopen: each is refused.

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

/// Name of a function with a path, and a call of it.
type Call = (&'static str, fn(Dir, &str) -> Result);

/// Functions with a path to an existing or new object.
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
    // The parent directory belongs to the guest too, by another descriptor; the one above does not.
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
            // A path with a trailing slash can only be a directory.
            let expected = if *name == "path_open to make" && path == "up/" { "isdir" } else { "perm" };
            topic.is(path, call(dir, path), expected);
        }
    }
    let topic = Topic("escapes");
    topic.is("make by a link", dir.try_open(FOLLOW, "maker", oflags::CREAT), "perm");
    topic.is("nothing was made", world.scratch.stat("made"), "noent");
    topic.is("make anew by a link", dir.try_open(FOLLOW, "maker", oflags::CREAT | oflags::EXCL), "exist");
    topic.is("a link that leads out, not followed", dir.stat("outside"), "symlink");
    topic.is("the text of a link that leads out", dir.read_link("outside"), "../outside");
    topic.is("a link that leads out is unlinked", dir.unlink("outside"), "ok");
    topic.is("the target of the link stays", world.scratch.read("outside"), "outside");
    let again = dir.directory("dir/..")?;
    topic.is("dir/.. opens the directory itself", again.stat("file"), "file");
    topic.is("a directory opened by dir/.. cannot be left", again.stat_follow(".."), "perm");
    sys::fd_close(again.0)?;
    let inner = dir.directory("dir")?;
    topic.is(".. from an inner directory", inner.stat_follow(".."), "perm");
    topic.is("../file from an inner directory", inner.stat_follow("../file"), "perm");
    dir.rename("dir", "dir2")?;
    topic.is(".. from an inner directory that was moved", inner.stat_follow(".."), "perm");
    sys::fd_close(inner.0)?;

    // Links made outside of the guest, see world.sh.
    let host = world.scratch.directory("host")?;
    topic.is("an absolute link", host.stat("absolute"), "symlink");
    topic.is("the text of an absolute link", host.read_link("absolute"), "/etc/passwd");
    for (name, call) in [CALLS[0], CALLS[1], CALLS[3], CALLS[7], CALLS[8], CALLS[9]] {
        topic.is(&format!("{name}: an absolute link"), call(host, "absolute"), "perm");
        topic.is(&format!("{name}: a link up"), call(host, "up"), "perm");
    }
    topic.is("a path through an absolute link", host.stat("absolute-directory/passwd"), "perm");
    topic.is("an absolute link, not followed", host.try_open(NO_FOLLOW, "absolute", 0), "loop");
    sys::fd_close(host.0)?;
    sys::fd_close(dir.0)
}
