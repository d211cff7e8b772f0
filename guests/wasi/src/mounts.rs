// SPDX-License-Identifier: GPL-2.0

//! Cases for other file systems below a preopen, if the caller could mount them: one that is
//! writable, and one that is read-only.

use crate::{
    World,
    abi::{
        FOLLOW,
        oflags::{
            CREAT,
            EXCL,
            TRUNC, //
        }, //
    },
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

fn writable(host: Dir) -> Result {
    let topic = Topic("a file system below");
    topic.is("make a file", host.try_open(FOLLOW, "mounted/file", CREAT), "ok");
    topic.is("describe it", host.stat("mounted/file"), "file");
    topic.is("by way of dots", host.stat("mounted/../mounted/./file"), "file");
    host.write("here", b"here")?;
    topic.is("link into it", host.link("here", "mounted/new"), "xdev");
    topic.is("link out of it", host.link("mounted/file", "new"), "xdev");
    topic.is("link over something in it", host.link("here", "mounted/file"), "exist");
    topic.is("rename into it", host.rename("here", "mounted/new"), "xdev");
    topic.is("rename out of it", host.rename("mounted/file", "new"), "xdev");
    topic.is("rename in it", host.rename("mounted/file", "mounted/file2"), "ok");
    topic.is("rename itself", host.rename("mounted", "new"), "busy");
    topic.is("rename over it", host.rename("absolute", "mounted"), "isdir");
    topic.is("remove itself", host.rmdir("mounted"), "busy");
    topic.is("unlink itself", host.unlink("mounted"), "isdir");
    topic.is("make it", host.mkdir("mounted"), "exist");
    topic.is("unlink in it", host.unlink("mounted/file2"), "ok");
    host.unlink("here")
}

fn read_only(host: Dir) {
    let topic = Topic("a read-only file system below");
    topic.is("read", host.read("sealed/file"), "content");
    topic.is("open to write", host.try_open(FOLLOW, "sealed/file", 0), "rofs");
    topic.is("open or make", host.try_open(FOLLOW, "sealed/file", CREAT), "rofs");
    topic.is("open or make, to read", host.try_open_read(FOLLOW, "sealed/file", CREAT), "ok");
    topic.is("make", host.try_open(FOLLOW, "sealed/new", CREAT), "rofs");
    topic.is("make, to read", host.try_open_read(FOLLOW, "sealed/new", CREAT), "rofs");
    topic.is("make anew", host.try_open(FOLLOW, "sealed/new", CREAT | EXCL), "rofs");
    topic.is("make anew what is there", host.try_open(FOLLOW, "sealed/file", CREAT | EXCL), "exist");
    topic.is("empty", host.try_open(FOLLOW, "sealed/file", TRUNC), "rofs");
    topic.is("make a directory", host.mkdir("sealed/new"), "rofs");
    topic.is("make a directory that is there", host.mkdir("sealed/dir"), "exist");
    topic.is("remove a directory", host.rmdir("sealed/dir"), "rofs");
    topic.is("remove what is not there", host.rmdir("sealed/absent"), "rofs");
    topic.is("unlink", host.unlink("sealed/file"), "rofs");
    topic.is("unlink what is not there", host.unlink("sealed/absent"), "rofs");
    topic.is("make a link", host.symlink("file", "sealed/new"), "rofs");
    topic.is("make a link that is there", host.symlink("file", "sealed/file"), "exist");
    topic.is("link", host.link("sealed/file", "sealed/new"), "rofs");
    topic.is("link to what is there", host.link("sealed/file", "sealed/dir"), "exist");
    topic.is("rename", host.rename("sealed/file", "sealed/new"), "rofs");
    topic.is("rename what is not there", host.rename("sealed/absent", "sealed/new"), "rofs");
    topic.is("set times", sys::path_filestat_set_times(host.0, 0, b"sealed/file", (0, 0), 1), "rofs");
}

pub(crate) fn cases(world: &World) -> Result {
    let host = world.scratch.directory("host")?;
    let device = |name: &str| host.stat(name).map(|stat| stat.dev).ok();
    let here = device(".");
    if device("mounted").is_some() && device("mounted") != here {
        writable(host)?;
    }
    if device("sealed").is_some() && device("sealed") != here {
        read_only(host);
    }
    sys::fd_close(host.0)
}
