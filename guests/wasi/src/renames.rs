// SPDX-License-Identifier: GPL-2.0

//! Cases for `path_rename`.

use crate::{
    World,
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

fn files(topic: &Topic, dir: Dir) -> Result {
    topic.is("a file", dir.rename("file", "moved"), "ok");
    topic.is("the old name does not exist", dir.stat("file"), "noent");
    topic.is("the new name has the contents", dir.read("moved"), "content");
    topic.is("into a directory", dir.rename("moved", "dir/moved"), "ok");
    topic.is("out of a directory", dir.rename("dir/moved", "file"), "ok");
    topic.is("to itself", dir.rename("file", "file"), "ok");
    topic.is("a file renamed to itself is unchanged", dir.read("file"), "content");
    topic.is("over a file", dir.rename("file", "other"), "ok");
    topic.is("the other file is replaced", dir.read("other"), "content");
    topic.is("a path through a link", dir.rename("dirlink/../other", "file"), "ok");
    dir.link("file", "name")?;
    topic.is("over another link to the same file", dir.rename("file", "name"), "ok");
    topic.is("both links stay", dir.stat("file").map(|stat| stat.nlink), "2");
    topic.is("a link", dir.rename("link", "link2"), "ok");
    topic.is("the link itself is renamed", dir.read_link("link2"), "file");
    dir.write("third", b"third")?;
    topic.is("over a link", dir.rename("third", "link2"), "ok");
    topic.is("the link is replaced, not followed", dir.stat("link2"), "file");
    topic.is("the target of the link stays", dir.read("file"), "content");
    topic.is("a link over a file", dir.rename("dangling", "link2"), "ok");
    topic.is("the link has replaced the file", dir.read_link("link2"), "target");
    dir.write("open", b"open")?;
    let fd = dir.open("open", 0)?;
    topic.is("over a file that is open", dir.rename("name", "open"), "ok");
    let mut bytes = vec![0; 4];
    let len = sys::fd_read(fd, &mut bytes)?;
    bytes.truncate(len);
    topic.is("the replaced file has its contents", bytes, "open");
    sys::fd_close(fd)
}

fn directories(topic: &Topic, dir: Dir) -> Result {
    dir.mkdir("empty")?;
    dir.mkdir("full")?;
    dir.write("full/file", b"")?;
    topic.is("a directory", dir.rename("full", "full2"), "ok");
    topic.is("the contents of the directory move with it", dir.stat("full2/file"), "file");
    topic.is("over an empty directory", dir.rename("full2", "empty"), "ok");
    topic.is("the directory has replaced the empty one", dir.stat("empty/file"), "file");
    topic.is("a directory to itself", dir.rename("empty", "empty"), "ok");
    topic.is("with slashes", dir.rename("empty/", "full//"), "ok");
    dir.mkdir("empty")?;
    dir.mkdir("full/inner")?;
    for (old, new, expected) in [
        ("empty", "full", "notempty"),
        ("full", "full/inner", "inval"),
        ("full", "full/new", "inval"),
        ("full/inner", "full", "notempty"),
        ("full", "file", "notdir"),
        ("full", "dirlink", "notdir"),
        ("full", "dirlink/", "notdir"),
        ("file", "full", "isdir"),
        ("file", "empty", "isdir"),
        ("file", "empty/", "notdir"),
        ("dirlink", "empty", "isdir"),
        ("full", ".", "busy"),
        (".", "new", "busy"),
        ("..", "new", "perm"),
        ("full", "..", "perm"),
        ("full", "full/../..", "perm"),
        ("full/.", "new", "busy"),
        ("full/..", "new", "busy"),
        ("full", "empty/.", "busy"),
        ("absent", "new", "noent"),
        ("absent", "file", "noent"),
        ("absent/", "new", "noent"),
        ("absent", ".", "busy"),
        ("file/", "new", "notdir"),
        ("file", "new/", "notdir"),
        ("file/", "file", "notdir"),
        ("dirlink/", "new", "notdir"),
        ("link2/", "new", "notdir"),
        ("file", "absent/new", "noent"),
        ("absent/file", "new", "noent"),
        ("file/file", "new", "notdir"),
        ("file", "open/new", "notdir"),
        ("self/file", "new", "loop"),
        ("file", "self/new", "loop"),
    ] {
        topic.is(&format!("{old} to {new}"), dir.rename(old, new), expected);
    }
    let (a, b) = (dir.directory("full")?, dir.directory("empty")?);
    topic.is("from one directory to another", sys::path_rename(a.0, b"file", b.0, b"moved"), "ok");
    topic.is("the file is in the other directory", b.stat("moved"), "file");
    topic.is("a directory from one directory to another", sys::path_rename(a.0, b"inner", b.0, b"inner"), "ok");
    topic.is("a directory that is open", dir.rename("full", "full3"), "ok");
    topic.is("a renamed directory that is open is usable", a.write("new", b""), "ok");
    topic.is("the new file is found by the new name", dir.stat("full3/new"), "file");
    sys::fd_close(a.0)?;
    sys::fd_close(b.0)
}

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("path_rename");
    let dir = world.scratch.make("renames")?;
    dir.write("file", b"content")?;
    dir.write("other", b"")?;
    dir.mkdir("dir")?;
    dir.symlink("file", "link")?;
    dir.symlink("dir", "dirlink")?;
    dir.symlink("target", "dangling")?;
    dir.symlink("self", "self")?;
    files(&topic, dir)?;
    directories(&topic, dir)?;
    sys::fd_close(dir.0)
}
