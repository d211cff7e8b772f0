// SPDX-License-Identifier: GPL-2.0

//! Cases for `path_unlink_file`, `path_link`, `path_symlink` and `path_readlink`.

use crate::{
    World,
    abi::{
        FOLLOW,
        NO_FOLLOW, //
    },
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

fn links(dir: Dir, name: &str) -> Result<u64> {
    dir.stat(name).map(|stat| stat.nlink)
}

fn link(dir: Dir) -> Result {
    let topic = Topic("path_link");
    topic.is("a file", dir.link("file", "name"), "ok");
    topic.is("the file has two links", links(dir, "file"), "2");
    topic.is("both names have one inode", dir.stat("file")?.ino == dir.stat("name")?.ino, "yes");
    topic.is("both names have the same contents", dir.read("name"), "content");
    topic.is("into a directory", dir.link("file", "dir/name"), "ok");
    topic.is("the file has three links", links(dir, "file"), "3");
    topic.is("a link, not followed", dir.link("link", "link2"), "ok");
    topic.is("the new name is a link", dir.stat("link2"), "symlink");
    topic.is("a link, followed", dir.link_follow("link", "name2"), "ok");
    topic.is("the new name is a file", dir.stat("name2"), "file");
    topic.is("a link to nothing, not followed", dir.link("dangling", "dangling2"), "ok");
    topic.is("a link to nothing, followed", dir.link_follow("dangling", "dangling3"), "noent");
    topic.is("a loop, followed", dir.link_follow("self", "self2"), "loop");
    for (old, new, expected) in [
        ("file", "name", "exist"),
        ("file", "file", "exist"),
        ("file", "dir", "exist"),
        ("file", "link", "exist"),
        ("file", "dangling", "exist"),
        ("absent", "new", "noent"),
        ("file/", "new", "notdir"),
        ("file", "new/", "noent"),
        ("file", "name/", "exist"),
        ("file", "dir/", "exist"),
        ("dir", "new", "perm"),
        ("dir/", "new", "perm"),
        ("dir", "dir/new", "perm"),
        (".", "new", "perm"),
        ("file", ".", "exist"),
        ("file", "..", "perm"),
        ("file", "dir/..", "exist"),
        ("file", "absent/new", "noent"),
        ("file", "file/new", "notdir"),
        ("absent", "name", "noent"),
        ("absent", "absent/new", "noent"),
        ("dirlink/", "new", "perm"),
        ("link/", "new", "notdir"),
    ] {
        topic.is(&format!("{old} to {new}"), dir.link(old, new), expected);
    }
    let inner = dir.directory("dir")?;
    topic.is("from one directory to another", sys::path_link(dir.0, NO_FOLLOW, b"file", inner.0, b"across"), "ok");
    topic.is("the file is in the other directory", inner.read("across"), "content");
    topic.is("back to the first directory", sys::path_link(inner.0, FOLLOW, b"across", dir.0, b"back"), "ok");
    sys::fd_close(inner.0)
}

fn unlink(dir: Dir) -> Result {
    let topic = Topic("path_unlink_file");
    topic.is("one of several names", dir.unlink("back"), "ok");
    topic.is("the other names stay", dir.read("file"), "content");
    topic.is("a link", dir.unlink("link2"), "ok");
    topic.is("the target of the link stays", dir.stat("file"), "file");
    topic.is("a link to nothing", dir.unlink("dangling2"), "ok");
    topic.is("a path through a link", dir.unlink("dirlink/across"), "ok");
    for (path, expected) in [
        ("absent", "noent"),
        ("absent/", "noent"),
        ("file/", "notdir"),
        ("link/", "notdir"),
        ("dirlink/", "notdir"),
        ("dangling/", "notdir"),
        ("dir", "isdir"),
        ("dir/", "isdir"),
        (".", "isdir"),
        ("..", "perm"),
        ("dir/.", "isdir"),
        ("dir/..", "isdir"),
        ("absent/file", "noent"),
        ("file/file", "notdir"),
        ("self/file", "loop"),
    ] {
        topic.is(path, dir.unlink(path), expected);
    }
    dir.symlink("dir", "dirlink2")?;
    topic.is("a link to a directory", dir.unlink("dirlink2"), "ok");
    topic.is("the directory stays", dir.stat("dir"), "directory");
    let fd = dir.open("name2", 0)?;
    topic.is("a file that is open", dir.unlink("name2"), "ok");
    let mut bytes = [0; 10];
    topic.is("an unlinked file that is open can be read", sys::fd_read(fd, &mut bytes), "7");
    sys::fd_close(fd)
}

fn symlink(dir: Dir) -> Result {
    let topic = Topic("path_symlink");
    topic.is("to a file", dir.symlink("file", "s1"), "ok");
    topic.is("the new name is a link", dir.stat("s1"), "symlink");
    topic.is("the size of a link is its text's length", dir.stat("s1").map(|stat| stat.size), "4");
    topic.is("the link leads to the file", dir.stat_follow("s1"), "file");
    topic.is("the file is read by the link", dir.read("s1"), "content");
    topic.is("to nothing", dir.symlink("nothing", "s2"), "ok");
    topic.is("a link to nothing has no target", dir.stat_follow("s2"), "noent");
    topic.is("to a path out of the directory", dir.symlink("../../..", "s3"), "ok");
    topic.is("a link out of the directory is not followed", dir.stat_follow("s3"), "perm");
    topic.is("to an absolute path", dir.symlink("/file", "s4"), "perm");
    topic.is("to any text", dir.symlink("any text/ at//all/.", "s5"), "ok");
    for (path, expected) in [
        ("file", "exist"),
        ("dir", "exist"),
        ("s2", "exist"),
        (".", "exist"),
        ("..", "perm"),
        ("dir/..", "exist"),
        ("new/", "noent"),
        ("file/", "exist"),
        ("dir/", "exist"),
        ("absent/new", "noent"),
        ("file/new", "notdir"),
    ] {
        topic.is(path, dir.symlink("target", path), expected);
    }
    let long = [b'x'; 4000];
    topic.is("to a text of 4000 bytes", dir.symlink(long, "s6"), "ok");

    let topic = Topic("path_readlink");
    topic.is("a link", dir.read_link("s1"), "file");
    topic.is("a link to nothing", dir.read_link("s2"), "nothing");
    topic.is("a link out of the directory", dir.read_link("s3"), "../../..");
    topic.is("any text", dir.read_link("s5"), "any text/ at//all/.");
    topic.is("4000 bytes", dir.read_link("s6").map(|text| text == long), "yes");
    topic.is("a path through a link", dir.read_link("dirlink/../s1"), "file");
    for (path, expected) in [
        ("file", "inval"),
        ("dir", "inval"),
        (".", "inval"),
        ("absent", "noent"),
        ("s1/", "notdir"),
        ("dirlink/", "inval"),
        ("s2/", "noent"),
        ("file/", "notdir"),
        ("file/s1", "notdir"),
        ("..", "perm"),
    ] {
        topic.is(path, dir.read_link(path), expected);
    }
    for (len, expected) in [(0, "0 ......"), (1, "1 f....."), (3, "3 fil..."), (4, "4 file.."), (5, "4 file..")] {
        let mut text = *b"......";
        let used = sys::path_readlink(dir.0, b"s1", &mut text[..len]);
        topic.is(&format!("room for {len}"), used.map(|used| format!("{used} {}", text.escape_ascii())), expected);
    }
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("links")?;
    dir.write("file", b"content")?;
    dir.mkdir("dir")?;
    dir.symlink("file", "link")?;
    dir.symlink("dir", "dirlink")?;
    dir.symlink("target", "dangling")?;
    dir.symlink("self", "self")?;
    link(dir)?;
    unlink(dir)?;
    symlink(dir)?;
    sys::fd_close(dir.0)
}
