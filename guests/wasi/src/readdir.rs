// SPDX-License-Identifier: GPL-2.0

//! Cases for `fd_readdir`.

use crate::{
    World,
    abi::{
        FOLLOW,
        Fd, //
    },
    case::{
        Topic,
        kind, //
    },
    errno::Errno,
    scratch::Dir,
    sys::{
        self,
        Result, //
    },
};

/// Size of a `dirent`, in bytes.
const HEAD: usize = 24;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    next: u64,
    inode: u64,
    name: Vec<u8>,
    filetype: u8,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Returns the entry at the beginning of `bytes`, if it is complete, and the following bytes.
fn entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let len = usize::try_from(u32::from_le_bytes(field(bytes, 16)?)).ok()?;
    let [filetype] = field(bytes, 20)?;
    let (name, rest) = bytes.get(HEAD..)?.split_at_checked(len)?;
    let (next, inode) = (u64::from_le_bytes(field(bytes, 0)?), u64::from_le_bytes(field(bytes, 8)?));
    Some((Entry { next, inode, name: name.to_vec(), filetype }, rest))
}

/// Lists the entries from `cookie` on, with a buffer of `room` bytes, as a C library does: entries
/// that are cut off are read again, with a larger buffer if not even one was complete.
fn list(fd: Fd, mut cookie: u64, room: usize) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut buffer = vec![0; room];
    loop {
        let used = sys::fd_readdir(fd, &mut buffer, cookie)?;
        if used > buffer.len() {
            return Err(Errno(u16::MAX));
        }
        let (mut rest, mut whole) = (&buffer[..used], 0);
        while let Some((next, others)) = entry(rest) {
            (cookie, rest) = (next.next, others);
            whole += 1;
            entries.push(next);
        }
        if used < buffer.len() {
            return if rest.is_empty() { Ok(entries) } else { Err(Errno(u16::MAX)) };
        }
        if whole == 0 {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

fn names(entries: Result<Vec<Entry>>) -> Result<String> {
    let mut names: Vec<_> =
        entries?.iter().map(|entry| format!("{} {}", entry.name.escape_ascii(), kind(entry.filetype))).collect();
    names.sort();
    Ok(names.join(", "))
}

fn few(topic: &Topic, dir: Dir) -> Result {
    let empty = dir.make("empty")?;
    topic.is("an empty directory", names(list(empty.0, 0, 4096)), ". directory, .. directory");
    sys::fd_close(empty.0)?;

    let some = dir.make("some")?;
    some.write("file", b"")?;
    some.mkdir("dir")?;
    some.symlink("file", "link")?;
    some.write("\u{fc}", b"")?;
    let expected = r". directory, .. directory, \xc3\xbc file, dir directory, file file, link symlink";
    topic.is("all types", names(list(some.0, 0, 4096)), expected);
    topic.is("all types a second time", names(list(some.0, 0, 4096)), expected);
    let mut right = 0;
    for entry in list(some.0, 0, 4096)? {
        let same = if entry.name == b".." { dir.stat(".")? } else { some.stat(&entry.name)? };
        right += u32::from(same.ino == entry.inode && same.filetype == entry.filetype);
    }
    topic.is("inodes are those of the files", right, "6");
    some.unlink("file")?;
    some.write("new", b"")?;
    let expected = r". directory, .. directory, \xc3\xbc file, dir directory, link symlink, new file";
    topic.is("after a change", names(list(some.0, 0, 4096)), expected);
    let again = some.directory(".")?;
    topic.is("by another descriptor", names(list(again.0, 0, 4096)), expected);
    sys::fd_close(again.0)?;

    let mut buffer = vec![b'.'; 4096];
    let mut used = |len: usize| sys::fd_readdir(some.0, &mut buffer[..len], 0);
    for (len, expected) in [(0, "0"), (1, "1"), (23, "23"), (24, "24"), (25, "25"), (26, "26"), (30, "30"), (49, "49")]
    {
        topic.is(&format!("room for {len} bytes"), used(len), expected);
    }
    // Six entries, with names of 1, 2, 2, 3, 4 and 3 bytes.
    topic.is("room for all", used(4096), "159");
    topic.is("just enough room", used(159), "159");
    let mut cut = [b'.'; 30];
    let whole = list(some.0, 0, 4096)?;
    let _ = sys::fd_readdir(some.0, &mut cut[..24], 0);
    topic.is("a head alone", cut[8..16] == whole[0].inode.to_le_bytes() && cut[24..] == *b"......", "yes");
    sys::fd_close(some.0)
}

fn many(topic: &Topic, dir: Dir) -> Result {
    const COUNT: usize = 300;
    let many = dir.make("many")?;
    for n in 0..COUNT {
        many.write(&format!("{}{n}", "long-name-".repeat(n % 7)), b"")?;
    }
    let whole = list(many.0, 0, 1 << 16)?;
    topic.is("the number of many entries", whole.len(), "302");
    let mut distinct: Vec<_> = whole.iter().map(|entry| &entry.name).collect();
    distinct.sort();
    distinct.dedup();
    topic.is("each of many entries is listed once", distinct.len(), "302");
    let cookies: Vec<_> = whole.iter().map(|entry| entry.next).collect();
    for room in [24, 64, 100, 333, 1000, 4096] {
        topic.is(&format!("{room} bytes at a time"), list(many.0, 0, room).map(|entries| entries == whole), "yes");
    }
    let mut right = 0;
    for (n, cookie) in cookies.iter().enumerate() {
        right += usize::from(list(many.0, *cookie, 1 << 16)? == whole[n + 1..]);
    }
    topic.is("from each cookie on", right, "302");
    let mut right = 0;
    for (n, cookie) in cookies.iter().enumerate().rev().step_by(10) {
        right += usize::from(list(many.0, *cookie, 200)? == whole[n + 1..]);
    }
    topic.is("backwards, a little at a time", right, "31");
    let last = *cookies.last().unwrap_or(&0);
    topic.is("from the last cookie on", list(many.0, last, 4096).map(|entries| entries.len()), "0");
    // Removed entries are not listed any more, the others once.
    for entry in whole.iter().filter(|entry| !entry.name.starts_with(b".")).step_by(2) {
        many.unlink(&entry.name)?;
    }
    topic.is("the number of entries after half are removed", list(many.0, 0, 100).map(|entries| entries.len()), "152");
    // Empties the directory like common programs: reads some entries, removes them, and reads on.
    let mut cookie = 0;
    let mut removed = 0;
    loop {
        let mut buffer = [0; 200];
        let used = sys::fd_readdir(many.0, &mut buffer, cookie)?;
        let mut rest = &buffer[..used];
        while let Some((entry, others)) = entry(rest) {
            (cookie, rest) = (entry.next, others);
            if !entry.name.starts_with(b".") {
                many.unlink(&entry.name)?;
                removed += 1;
            }
        }
        if used < buffer.len() {
            break;
        }
    }
    topic.is("removed while reading", removed, "150");
    topic.is("the entries of the emptied directory", names(list(many.0, 0, 4096)), ". directory, .. directory");
    sys::fd_close(many.0)?;
    topic.is("the emptied directory is removed", dir.rmdir("many"), "ok");
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("fd_readdir");
    let dir = world.scratch.make("readdir")?;
    few(&topic, dir)?;
    many(&topic, dir)?;
    let mut buffer = [0; 100];
    topic.is("no such descriptor", sys::fd_readdir(1000, &mut buffer, 0), "badf");
    topic.is("standard input", sys::fd_readdir(0, &mut buffer, 0), "notcapable");
    topic.is("a negative cookie", sys::fd_readdir(dir.0, &mut buffer, 1 << 63), "inval");
    topic.is("the largest cookie", sys::fd_readdir(dir.0, &mut buffer, u64::MAX), "inval");
    dir.write("file", b"")?;
    let file = dir.open("file", 0)?;
    topic.is("a file without the right", sys::fd_readdir(file, &mut buffer, 0), "notcapable");
    sys::fd_close(file)?;
    let file = sys::path_open(dir.0, FOLLOW, b"file", 0, (crate::abi::right::FD_READDIR, 0), 0)?;
    topic.is("a file", sys::fd_readdir(file, &mut buffer, 0), "notdir");
    sys::fd_close(file)?;
    let gone = dir.make("gone")?;
    dir.rmdir("gone")?;
    topic.told("a removed directory", sys::fd_readdir(gone.0, &mut buffer, 0));
    sys::fd_close(gone.0)?;
    topic.is("a read-only directory", list(world.read_only.0, 0, 50).map(|entries| entries.len()), "5");
    sys::fd_close(dir.0)
}
