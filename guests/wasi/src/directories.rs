// SPDX-License-Identifier: GPL-2.0

//! `path_create_directory` and `path_remove_directory`.

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
    topic.is("a new one", dir.mkdir("new"), "ok");
    topic.is("it is there", dir.stat("new"), "directory");
    topic.is("one inside", dir.mkdir("new/inner"), "ok");
    topic.is("with a slash", dir.mkdir("slash/"), "ok");
    topic.is("with slashes", dir.mkdir("slashes//"), "ok");
    topic.is("by way of dots", dir.mkdir("new/../dots"), "ok");
    topic.is("by way of a link", dir.mkdir("dirlink/linked"), "ok");
    topic.is("it is where that leads", dir.stat("dir/linked"), "directory");
    for (path, wanted) in [
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
        topic.is(path, dir.mkdir(path), wanted);
    }
}

fn remove(dir: Dir) -> Result {
    let topic = Topic("path_remove_directory");
    dir.mkdir("empty")?;
    topic.is("an empty one", dir.rmdir("empty"), "ok");
    topic.is("it is gone", dir.stat("empty"), "noent");
    topic.is("with a slash", dir.rmdir("slash/"), "ok");
    topic.is("with slashes", dir.rmdir("slashes//"), "ok");
    topic.is("by way of dots", dir.rmdir("./new/../dots"), "ok");
    topic.is("by way of a link", dir.rmdir("dirlink/linked"), "ok");
    for (path, wanted) in [
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
        topic.is(path, dir.rmdir(path), wanted);
    }
    topic.is("the inner one", dir.rmdir("new/inner"), "ok");
    topic.is("then the outer one", dir.rmdir("new"), "ok");
    let open = dir.make("open")?;
    topic.is("one that is open", dir.rmdir("open"), "ok");
    topic.is("it has no links", sys::fd_filestat_get(open.0).map(|stat| stat.nlink), "0");
    topic.is("nothing is made in it", open.mkdir("new"), "noent");
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
