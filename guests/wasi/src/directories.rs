// SPDX-License-Identifier: GPL-2.0

//! Cases for `path_create_directory` and `path_remove_directory`.

use crate::{
    World,
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

fn create(dir: Dir) {
    let topic = Topic("path_create_directory");
    topic.is("a new directory", dir.mkdir("new"), "ok");
    topic.is("the new directory exists", dir.stat("new"), "directory");
    topic.is("a directory inside of it", dir.mkdir("new/inner"), "ok");
    topic.is("with a slash", dir.mkdir("slash/"), "ok");
    topic.is("with slashes", dir.mkdir("slashes//"), "ok");
    topic.is("a path with dots", dir.mkdir("new/../dots"), "ok");
    topic.is("a path through a link", dir.mkdir("dirlink/linked"), "ok");
    topic.is("the directory is in the link's target", dir.stat("dir/linked"), "directory");
    for (path, expected) in [
        ("new", "exist"),
        ("new/", "exist"),
        ("file", "exist"),
        ("file/", "exist"),
        ("link", "exist"),
        ("dirlink", "exist"),
        ("dirlink/", "exist"),
        ("dangling", "exist"),
        ("dangling/", "exist"),
        (".", "exist"),
        ("./", "exist"),
        ("new/.", "exist"),
        ("new/..", "exist"),
        ("..", "perm"),
        ("../", "perm"),
        ("dir/../..", "perm"),
        ("absent/new", "noent"),
        ("absent/.", "noent"),
        ("absent/..", "noent"),
        ("file/new", "notdir"),
        ("file/.", "notdir"),
        ("link/new", "notdir"),
        ("dangling/new", "noent"),
        ("self/new", "loop"),
    ] {
        topic.is(path, dir.mkdir(path), expected);
    }
}

fn remove(dir: Dir) -> Result {
    let topic = Topic("path_remove_directory");
    dir.mkdir("empty")?;
    topic.is("an empty directory", dir.rmdir("empty"), "ok");
    topic.is("the directory does not exist any more", dir.stat("empty"), "noent");
    topic.is("with a slash", dir.rmdir("slash/"), "ok");
    topic.is("with slashes", dir.rmdir("slashes//"), "ok");
    topic.is("a path with dots", dir.rmdir("./new/../dots"), "ok");
    topic.is("a path through a link", dir.rmdir("dirlink/linked"), "ok");
    for (path, expected) in [
        ("new", "notempty"),
        ("absent", "noent"),
        ("absent/", "noent"),
        ("file", "notdir"),
        ("file/", "notdir"),
        ("link", "notdir"),
        ("dirlink", "notdir"),
        ("dirlink/", "notdir"),
        ("dangling", "notdir"),
        (".", "inval"),
        ("new/.", "inval"),
        ("..", "perm"),
        ("new/../..", "perm"),
        ("new/..", "notempty"),
        ("new/inner/..", "notempty"),
        ("absent/new", "noent"),
        ("file/new", "notdir"),
        ("self/new", "loop"),
    ] {
        topic.is(path, dir.rmdir(path), expected);
    }
    topic.is("the inner directory", dir.rmdir("new/inner"), "ok");
    topic.is("then the outer directory", dir.rmdir("new"), "ok");
    let open = dir.make("open")?;
    topic.is("a directory that is open", dir.rmdir("open"), "ok");
    topic.is("a removed directory has no links", sys::fd_filestat_get(open.0).map(|stat| stat.nlink), "0");
    topic.is("no directory is made in a removed one", open.mkdir("new"), "noent");
    sys::fd_close(open.0)?;
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("directories")?;
    dir.write("file", b"")?;
    dir.mkdir("dir")?;
    dir.symlink("file", "link")?;
    dir.symlink("dir", "dirlink")?;
    dir.symlink("target", "dangling")?;
    dir.symlink("self", "self")?;
    create(dir);
    remove(dir)?;
    sys::fd_close(dir.0)
}
