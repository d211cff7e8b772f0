// SPDX-License-Identifier: GPL-2.0

//! Cases for sizes, times, allocation, advice and synchronization.

use crate::{
    World,
    abi::{
        FOLLOW,
        Filestat,
        NO_FOLLOW,
        fstflags::{
            ATIM,
            ATIM_NOW,
            MTIM,
            MTIM_NOW, //
        },
        oflags::CREAT, //
    },
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

/// 2001-09-09 and 2033-05-18, with nanoseconds.
const EARLY: u64 = 1_000_000_000_123_456_789;
const LATE: u64 = 2_000_000_000_987_654_321;

fn times(stat: Result<Filestat>) -> Result<String> {
    stat.map(|stat| {
        let name = |time| match time {
            EARLY => "early".to_owned(),
            LATE => "late".to_owned(),
            0 => "1970".to_owned(),
            _ => "else".to_owned(),
        };
        format!("{} {}", name(stat.atim), name(stat.mtim))
    })
}

/// Returns true if a time differs from the real time by less than a minute.
fn is_now(time: u64) -> bool {
    sys::clock_time_get(0, 0).is_ok_and(|now| now.abs_diff(time) < 60_000_000_000)
}

fn stat(dir: Dir) -> Result {
    let topic = Topic("fd_filestat_get");
    let fd = dir.open("file", 0)?;
    let (a, b) = (sys::fd_filestat_get(fd)?, dir.stat("file")?);
    topic.is("a file", Ok::<_, crate::errno::Errno>(a), "file");
    topic.is("the size of a file", a.size, "7");
    topic.is("the links of a file", a.nlink, "1");
    topic.is("the same result as by path", a == b, "yes");
    topic.is("the times of a new file are now", is_now(a.mtim) && is_now(a.ctim), "yes");
    topic.is("no such descriptor", sys::fd_filestat_get(1000), "badf");
    topic.is("a directory", sys::fd_filestat_get(dir.0), "directory");
    topic.is("standard input", sys::fd_filestat_get(0), "unknown");
    topic.is("standard input has no size", sys::fd_filestat_get(0).map(|stat| stat.size), "0");
    sys::fd_close(fd)?;

    let topic = Topic("path_filestat_get");
    topic.is("a file", dir.stat("file"), "file");
    topic.is("a directory", dir.stat("dir"), "directory");
    topic.is("a directory with a slash", dir.stat("dir/"), "directory");
    topic.is("the directory itself", dir.stat("."), "directory");
    topic.is("a link", dir.stat("link"), "symlink");
    topic.is("a link, followed", dir.stat_follow("link"), "file");
    topic.is("a followed link has the file's inode", dir.stat_follow("link")?.ino == b.ino, "yes");
    topic.is("a link with a slash", dir.stat("dirlink/"), "directory");
    for (path, expected) in [
        ("absent", "noent"),
        ("file/", "notdir"),
        ("file/.", "notdir"),
        ("link/", "notdir"),
        ("dangling", "noent"),
        ("self", "loop"),
        ("absent/file", "noent"),
        ("file/file", "notdir"),
        ("..", "perm"),
    ] {
        topic.is(path, dir.stat_follow(path), expected);
    }
    Ok(())
}

fn sizes(dir: Dir) -> Result {
    let topic = Topic("fd_filestat_set_size");
    let fd = dir.open("sized", CREAT)?;
    sys::fd_write(fd, b"0123456789")?;
    let size = || sys::fd_filestat_get(fd).map(|stat| stat.size);
    topic.is("a smaller size", sys::fd_filestat_set_size(fd, 4), "ok");
    topic.is("the size after shrinking", size(), "4");
    topic.is("the position stays", sys::fd_tell(fd), "10");
    topic.is("a larger size", sys::fd_filestat_set_size(fd, 6), "ok");
    topic.is("the new bytes are zero", dir.read("sized"), r"0123\x00\x00");
    topic.is("a size of five gibibytes", sys::fd_filestat_set_size(fd, 5 << 30), "ok");
    topic.is("the size of five gibibytes", size(), "5368709120");
    topic.is("a size of 0", sys::fd_filestat_set_size(fd, 0), "ok");
    topic.is("the size of an empty file", size(), "0");
    topic.is("a negative size", sys::fd_filestat_set_size(fd, 1 << 63), "inval");
    topic.is("the largest size", sys::fd_filestat_set_size(fd, u64::MAX), "inval");
    topic.is("no such descriptor", sys::fd_filestat_set_size(1000, 0), "badf");
    topic.is("standard output", sys::fd_filestat_set_size(1, 0), "notcapable");
    topic.is("a directory", sys::fd_filestat_set_size(dir.0, 0), "badf");

    let topic = Topic("fd_allocate");
    topic.is("beyond the end of a file", sys::fd_allocate(fd, 0, 100), "ok");
    topic.is("the file grows", size(), "100");
    topic.is("within a file", sys::fd_allocate(fd, 10, 10), "ok");
    topic.is("the file does not shrink", size(), "100");
    topic.is("after a gap", sys::fd_allocate(fd, 200, 50), "ok");
    topic.is("the file grows over the gap", size(), "250");
    topic.is("a length of 0", sys::fd_allocate(fd, 0, 0), "inval");
    topic.is("a negative offset", sys::fd_allocate(fd, 1 << 63, 1), "inval");
    topic.is("a negative length", sys::fd_allocate(fd, 0, 1 << 63), "inval");
    topic.is("beyond the last offset", sys::fd_allocate(fd, (1 << 63) - 1, 1), "fbig");
    topic.is("no such descriptor", sys::fd_allocate(1000, 0, 1), "badf");
    topic.is("a directory", sys::fd_allocate(dir.0, 0, 1), "badf");
    sys::fd_close(fd)
}

fn hints(dir: Dir) -> Result {
    let topic = Topic("fd_advise");
    let fd = dir.open("file", 0)?;
    for (advice, name) in (0..).zip(["normal", "sequential", "random", "willneed", "dontneed", "noreuse"]) {
        topic.is(name, sys::fd_advise(fd, 0, 0, advice), "ok");
        topic.is(&format!("{name} about a part"), sys::fd_advise(fd, 1, 5, advice), "ok");
    }
    topic.is("advice 6", sys::fd_advise(fd, 0, 0, 6), "inval");
    topic.is("an advice beyond 8 bits", sys::fd_advise(fd, 0, 0, 256), "inval");
    topic.is("a negative offset", sys::fd_advise(fd, 1 << 63, 0, 0), "inval");
    topic.is("a negative length", sys::fd_advise(fd, 0, 1 << 63, 0), "inval");
    topic.is("beyond the end", sys::fd_advise(fd, 1 << 40, 1, 0), "ok");
    topic.is("no such descriptor", sys::fd_advise(1000, 0, 0, 0), "badf");
    topic.is("a directory", sys::fd_advise(dir.0, 0, 0, 0), "badf");

    for (name, call) in [("fd_sync", sys::fd_sync as fn(u32) -> Result), ("fd_datasync", sys::fd_datasync)] {
        let topic = Topic(name);
        topic.is("a file", call(fd), "ok");
        topic.is("a directory", call(dir.0), "ok");
        topic.is("no such descriptor", call(1000), "badf");
        topic.is("standard input", call(0), "notcapable");
    }
    sys::fd_close(fd)
}

fn set_times(dir: Dir) -> Result {
    let topic = Topic("fd_filestat_set_times");
    let fd = dir.open("file", 0)?;
    let set = |atim, mtim, flags| sys::fd_filestat_set_times(fd, atim, mtim, flags);
    let told = || times(sys::fd_filestat_get(fd));
    topic.is("both times", set(EARLY, LATE, ATIM | MTIM), "ok");
    topic.is("both times are set", told(), "early late");
    topic.is("no time", set(1, 1, 0), "ok");
    topic.is("no time is changed", told(), "early late");
    topic.is("the access time", set(LATE, 1, ATIM), "ok");
    topic.is("the access time is set", told(), "late late");
    topic.is("the modification time", set(1, EARLY, MTIM), "ok");
    topic.is("the modification time is set", told(), "late early");
    topic.is("both times to 0", set(0, 0, ATIM | MTIM), "ok");
    topic.is("both times are 0", told(), "1970 1970");
    topic.is("the largest time", set(0, u64::MAX, MTIM), "ok");
    topic.told("the largest time of the file system", sys::fd_filestat_get(fd).map(|stat| stat.mtim));
    topic.is("both times to 0 again", set(0, 0, ATIM | MTIM), "ok");
    topic.is("the access time to now", set(EARLY, EARLY, ATIM_NOW), "ok");
    topic.is(
        "only the access time is now",
        sys::fd_filestat_get(fd).map(|stat| is_now(stat.atim) && stat.mtim == 0),
        "yes",
    );
    topic.is("a given access time, the modification time to now", set(EARLY, EARLY, ATIM | MTIM_NOW), "ok");
    topic.is(
        "one time is given, one is now",
        sys::fd_filestat_get(fd).map(|stat| stat.atim == EARLY && is_now(stat.mtim)),
        "yes",
    );
    topic.is("a given access time and now", set(EARLY, EARLY, ATIM | ATIM_NOW), "inval");
    topic.is("a given modification time and now", set(EARLY, EARLY, MTIM | MTIM_NOW), "inval");
    topic.is("unknown flags", set(EARLY, EARLY, 1 << 4), "inval");
    topic.is("more flags than bits", set(EARLY, EARLY, 1 << 16), "inval");
    topic.is("no such descriptor", sys::fd_filestat_set_times(1000, 0, 0, 0), "badf");
    topic.is("a directory", sys::fd_filestat_set_times(dir.0, EARLY, LATE, ATIM | MTIM), "ok");
    topic.is("the times of a directory are set", times(sys::fd_filestat_get(dir.0)), "early late");
    sys::fd_close(fd)?;

    let topic = Topic("path_filestat_set_times");
    let set = |flags, path: &str, atim, mtim, set| {
        sys::path_filestat_set_times(dir.0, flags, path.as_bytes(), (atim, mtim), set)
    };
    topic.is("a file", set(NO_FOLLOW, "file", LATE, EARLY, ATIM | MTIM), "ok");
    topic.is("the times of a file are set", times(dir.stat("file")), "late early");
    topic.is("a directory", set(NO_FOLLOW, "dir/", LATE, EARLY, ATIM | MTIM), "ok");
    topic.is("the times of a directory are set", times(dir.stat("dir")), "late early");
    topic.is("a link", set(NO_FOLLOW, "link", EARLY, EARLY, ATIM | MTIM), "ok");
    topic.is("the times of the link are set", times(dir.stat("link")), "early early");
    topic.is("the times of its target are unchanged", times(dir.stat("file")), "late early");
    topic.is("a link, followed", set(FOLLOW, "link", LATE, LATE, ATIM | MTIM), "ok");
    topic.is("the times of its target are set", times(dir.stat("file")), "late late");
    topic.is("the times of the link are unchanged", dir.stat("link").map(|stat| stat.mtim == EARLY), "yes");
    topic.is("a link to nothing", set(NO_FOLLOW, "dangling", EARLY, LATE, ATIM | MTIM), "ok");
    topic.is("both times to now", set(FOLLOW, "file", 0, 0, ATIM_NOW | MTIM_NOW), "ok");
    topic.is("both times are now", dir.stat("file").map(|stat| is_now(stat.atim) && is_now(stat.mtim)), "yes");
    topic.is("a given access time and now", set(FOLLOW, "file", 0, 0, ATIM | ATIM_NOW), "inval");
    topic.is("a given modification time and now", set(FOLLOW, "file", 0, 0, MTIM | MTIM_NOW), "inval");
    topic.is("unknown flags", set(FOLLOW, "file", 0, 0, 1 << 4), "inval");
    for (path, expected) in [
        ("absent", "noent"),
        ("file/", "notdir"),
        ("dangling", "noent"),
        ("self", "loop"),
        ("..", "perm"),
        ("file/file", "notdir"),
    ] {
        topic.is(path, set(FOLLOW, path, EARLY, LATE, ATIM | MTIM), expected);
    }
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("metadata")?;
    dir.write("file", b"content")?;
    dir.mkdir("dir")?;
    dir.symlink("file", "link")?;
    dir.symlink("dir", "dirlink")?;
    dir.symlink("target", "dangling")?;
    dir.symlink("self", "self")?;
    stat(dir)?;
    sizes(dir)?;
    hints(dir)?;
    set_times(dir)?;
    sys::fd_close(dir.0)
}
