// SPDX-License-Identifier: GPL-2.0

//! Cases that all functions with a path have in common: invalid paths.

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
type Call = (&'static str, fn(Dir, &[u8]) -> Result);

const CALLS: [Call; 14] = [
    ("path_open", |dir, path| dir.try_open(FOLLOW, path, 0)),
    ("path_open to make", |dir, path| dir.try_open(FOLLOW, path, oflags::CREAT)),
    ("path_create_directory", |dir, path| dir.mkdir(path)),
    ("path_remove_directory", |dir, path| dir.rmdir(path)),
    ("path_unlink_file", |dir, path| dir.unlink(path)),
    ("path_filestat_get", |dir, path| dir.stat(path).map(drop)),
    ("path_filestat_set_times", |dir, path| sys::path_filestat_set_times(dir.0, FOLLOW, path, (0, 0), 0)),
    ("path_readlink", |dir, path| dir.read_link(path).map(drop)),
    ("path_symlink", |dir, path| dir.symlink("target", path)),
    ("path_symlink to", |dir, path| dir.symlink(path, "names-link")),
    ("path_link", |dir, path| dir.link(path, "names-new")),
    ("path_link to", |dir, path| dir.link("file", path)),
    ("path_rename", |dir, path| dir.rename(path, "names-new")),
    ("path_rename to", |dir, path| dir.rename("file", path)),
];

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("names")?;
    dir.write("file", b"")?;
    let long = [b'a'; 256];
    let mut deep = b"./".repeat(2048);
    deep.truncate(4096);
    let paths: [(&str, &[u8], &str); 8] = [
        ("an empty path", b"", "noent"),
        ("an absolute path", b"/file", "perm"),
        ("the root", b"/", "perm"),
        ("a path with a NUL", b"fi\0le", "inval"),
        ("a path that is not UTF-8", b"fi\xffle", "ilseq"),
        ("a path that is cut in a character", b"\xc3", "ilseq"),
        ("a name of 256 bytes", &long, "nametoolong"),
        ("a path of 4096 bytes", &deep, "nametoolong"),
    ];
    for (name, call) in CALLS {
        let topic = Topic(name);
        for (what, path, expected) in paths {
            // The text of a symbolic link need not be a valid name.
            if name == "path_symlink to" && what == "a name of 256 bytes" {
                topic.is(what, call(dir, path), "ok");
                topic.is("and is unlinked", dir.unlink("names-link"), "ok");
                continue;
            }
            topic.is(what, call(dir, path), expected);
        }
        topic.is("no such descriptor", call(Dir(1000), b"file"), "badf");
    }

    let topic = Topic("a name of 255 bytes");
    let name = [b'b'; 255];
    topic.is("is created", dir.try_open(FOLLOW, name, oflags::CREAT), "ok");
    topic.is("exists", dir.stat(name), "file");
    topic.is("is unlinked", dir.unlink(name), "ok");
    let mut path = b"./".repeat(2045);
    path.extend_from_slice(b"/file");
    let topic = Topic("a path of 4095 bytes");
    topic.is("its length", path.len(), "4095");
    topic.is("is found", dir.stat(path), "file");
    let topic = Topic("any other name");
    for name in ["ünïcode", "a b", "new\nline", "\u{10ffff}", "back\\slash", "...", "*"] {
        topic.is(&format!("{} is created", name.escape_default()), dir.try_open(NO_FOLLOW, name, oflags::CREAT), "ok");
        topic.is(&format!("{} is unlinked", name.escape_default()), dir.unlink(name), "ok");
    }
    let topic = Topic("unknown lookupflags");
    topic.is("path_filestat_get", sys::path_filestat_get(dir.0, 2, b"file"), "inval");
    topic.is("path_filestat_set_times", sys::path_filestat_set_times(dir.0, 2, b"file", (0, 0), 0), "inval");
    topic.is("path_link", sys::path_link(dir.0, 2, b"file", dir.0, b"new"), "inval");
    sys::fd_close(dir.0)
}
