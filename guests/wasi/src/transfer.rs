// SPDX-License-Identifier: GPL-2.0

//! Cases for reading, writing and positions.

use crate::{
    World,
    abi::{
        FOLLOW,
        Fd,
        fdflags,
        oflags::CREAT,
        right,
        whence, //
    },
    case::Topic,
    scratch::Dir,
    sys::{
        self,
        Result,
        Vector, //
    },
};

/// Five gibibytes, in bytes.
const FAR: u64 = 5 << 30;

fn pread(fd: Fd, len: usize, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![b'.'; len];
    let done = sys::fd_pread(fd, &mut bytes, offset)?;
    bytes.truncate(done);
    Ok(bytes)
}

fn read(fd: Fd, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![b'.'; len];
    let done = sys::fd_read(fd, &mut bytes)?;
    bytes.truncate(done);
    Ok(bytes)
}

fn positions(dir: Dir) -> Result {
    let topic = Topic("fd_seek");
    let fd = dir.open("positions", CREAT)?;
    topic.is("write", sys::fd_write(fd, b"0123456789"), "10");
    topic.is("tell", sys::fd_tell(fd), "10");
    topic.is("read at the end", read(fd, 5), "");
    topic.is("to the start", sys::fd_seek(fd, 0, whence::SET), "0");
    topic.is("read", read(fd, 3), "012");
    topic.is("forward", sys::fd_seek(fd, 2, whence::CUR), "5");
    topic.is("read after a seek forward", read(fd, 3), "567");
    topic.is("back", sys::fd_seek(fd, -7, whence::CUR), "1");
    topic.is("read after a seek back", read(fd, 2), "12");
    topic.is("from the end", sys::fd_seek(fd, -1, whence::END), "9");
    topic.is("read the last", read(fd, 5), "9");
    topic.is("by 0 bytes", sys::fd_seek(fd, 0, whence::CUR), "10");
    topic.is("before the start", sys::fd_seek(fd, -1, whence::SET), "inval");
    topic.is("before the start from here", sys::fd_seek(fd, -11, whence::CUR), "inval");
    topic.is("before the start from the end", sys::fd_seek(fd, -11, whence::END), "inval");
    topic.is("the smallest offset", sys::fd_seek(fd, i64::MIN, whence::END), "inval");
    topic.is("refused seeks do not move the position", sys::fd_tell(fd), "10");
    topic.is("whence 3", sys::fd_seek(fd, 0, 3), "inval");
    topic.is("the largest whence", sys::fd_seek(fd, 0, u32::MAX), "inval");
    topic.is("a whence beyond 8 bits", sys::fd_seek(fd, 0, 256), "inval");
    topic.is("beyond the end", sys::fd_seek(fd, 15, whence::SET), "15");
    topic.is("read beyond the end", read(fd, 5), "");
    topic.is("write beyond the end", sys::fd_write(fd, b"x"), "1");
    topic.is("the gap is zero", pread(fd, 20, 9), r"9\x00\x00\x00\x00\x00x");
    topic.is("no such descriptor", sys::fd_seek(1000, 0, 0), "badf");
    sys::fd_close(fd)?;
    topic.is("a directory", sys::fd_seek(dir.0, 0, whence::SET), "badf");
    topic.is("a directory by 0 bytes", sys::fd_seek(dir.0, 0, whence::CUR), "badf");

    let topic = Topic("fd_tell");
    topic.is("no such descriptor", sys::fd_tell(1000), "badf");
    topic.is("a directory", sys::fd_tell(dir.0), "badf");
    let fd = dir.open("positions", 0)?;
    topic.is("a new descriptor", sys::fd_tell(fd), "0");
    let other = dir.open("positions", 0)?;
    sys::fd_seek(fd, 3, whence::SET)?;
    topic.is("another descriptor has its own position", sys::fd_tell(other), "0");
    sys::fd_close(other)?;
    sys::fd_close(fd)
}

fn at_offsets(dir: Dir) -> Result {
    let topic = Topic("fd_pread");
    let fd = dir.open("offsets", CREAT)?;
    sys::fd_write(fd, b"0123456789")?;
    topic.is("in the middle", pread(fd, 3, 4), "456");
    topic.is("over the end", pread(fd, 5, 8), "89");
    topic.is("at the end", pread(fd, 5, 10), "");
    topic.is("beyond the end", pread(fd, 5, FAR), "");
    topic.is("0 bytes", pread(fd, 0, 4), "");
    topic.is("fd_pread does not move the position", sys::fd_tell(fd), "10");
    topic.is("a negative offset", pread(fd, 1, 1 << 63), "inval");
    topic.is("the largest offset", pread(fd, 1, u64::MAX), "inval");
    topic.is("no such descriptor", pread(1000, 1, 0), "badf");
    topic.is("a stream without the right to seek", pread(0, 1, 0), "notcapable");

    let topic = Topic("fd_pwrite");
    topic.is("in the middle", sys::fd_pwrite(fd, b"abc", 4), "3");
    topic.is("the contents after a write in the middle", pread(fd, 20, 0), "0123abc789");
    topic.is("over the end", sys::fd_pwrite(fd, b"def", 9), "3");
    topic.is("the contents after a write over the end", pread(fd, 20, 0), "0123abc78def");
    topic.is("0 bytes", sys::fd_pwrite(fd, b"", 4), "0");
    topic.is("fd_pwrite does not move the position", sys::fd_tell(fd), "10");
    topic.is("beyond four gibibytes", sys::fd_pwrite(fd, b"far", FAR), "3");
    topic.is("the size", sys::fd_filestat_get(fd).map(|stat| stat.size), "5368709123");
    topic.is("the contents beyond four gibibytes", pread(fd, 20, FAR + 1), "ar");
    topic.is("four gibibytes before", pread(fd, 4, FAR - (4 << 30)), r"\x00\x00\x00\x00");
    topic.is("a position there", sys::fd_seek(fd, -3, whence::END), "5368709120");
    topic.is("read there", read(fd, 2), "fa");
    topic.is("write there", sys::fd_write(fd, b"thest"), "5");
    topic.is("a negative offset", sys::fd_pwrite(fd, b"x", 1 << 63), "inval");
    topic.is("the largest offset", sys::fd_pwrite(fd, b"x", u64::MAX), "inval");
    topic.is("no such descriptor", sys::fd_pwrite(1000, b"x", 0), "badf");
    sys::fd_filestat_set_size(fd, 0)?;
    sys::fd_close(fd)
}

fn append(dir: Dir) -> Result {
    let topic = Topic("append");
    dir.write("append", b"begin")?;
    let fd = dir.open_flags("append", 0, fdflags::APPEND)?;
    topic.is("write", sys::fd_write(fd, b"-one"), "4");
    topic.is("the position", sys::fd_tell(fd), "9");
    sys::fd_seek(fd, 0, whence::SET)?;
    topic.is("read at the start", read(fd, 5), "begin");
    topic.is("write again", sys::fd_write(fd, b"-two"), "4");
    topic.is("both writes are at the end", dir.read("append"), "begin-one-two");
    topic.told("pwrite", sys::fd_pwrite(fd, b"B", 0));
    topic.told("the contents after pwrite", dir.read("append"));
    topic.is("append is switched off", sys::fd_fdstat_set_flags(fd, 0), "ok");
    sys::fd_seek(fd, 1, whence::SET)?;
    topic.is("write at the position", sys::fd_write(fd, b"EGIN"), "4");
    topic.told("the contents after a write at the position", dir.read("append"));
    topic.is("pwrite, not appending", sys::fd_pwrite(fd, b"b", 0), "1");
    topic.told("the contents after pwrite, not appending", dir.read("append"));
    sys::fd_close(fd)?;
    dir.write("append", b"begin")?;
    let fd = dir.open("append", 0)?;
    topic.is("append is switched on", sys::fd_fdstat_set_flags(fd, fdflags::APPEND), "ok");
    topic.is("write at the end", sys::fd_write(fd, b"-end"), "4");
    topic.is("the position after appending", sys::fd_tell(fd), "9");
    topic.is("the contents after appending", dir.read("append"), "begin-end");
    let other = dir.open("append", 0)?;
    topic.is("another descriptor does not append", sys::fd_write(other, b"B"), "1");
    topic.is("another descriptor writes at its position", dir.read("append"), "Begin-end");
    sys::fd_close(other)?;
    sys::fd_close(fd)
}

fn vectors(world: &World, dir: Dir) -> Result {
    let topic = Topic("fd_write");
    let fd = dir.open("vectors", CREAT)?;
    let parts = [Vector::from(b"one"), Vector::from(b""), Vector::from(b"-two"), Vector::from(b"-three")];
    topic.is("several parts", sys::fd_writev(fd, &parts), "13");
    topic.is("the contents of several parts", dir.read("vectors"), "one-two-three");
    topic.is("no parts", sys::fd_writev(fd, &[]), "0");
    topic.is("an empty part", sys::fd_writev(fd, &[Vector::from(b"")]), "0");
    topic.is("the same part twice", sys::fd_writev(fd, &[parts[0], parts[0]]), "6");
    topic.is("1024 parts", sys::fd_writev(fd, &vec![Vector::from(b"x"); 1024]), "1024");
    topic.is("1025 parts", sys::fd_writev(fd, &vec![Vector::from(b"x"); 1025]), "1024");
    topic.is("the size", sys::fd_filestat_get(fd).map(|stat| stat.size), "2067");
    topic.is("1025 empty parts", sys::fd_writev(fd, &vec![Vector::from(b""); 1025]), "inval");
    topic.is("no such descriptor", sys::fd_write(1000, b"x"), "badf");
    let big: Vec<u8> = (0..300_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
    sys::fd_filestat_set_size(fd, 0)?;
    sys::fd_seek(fd, 0, whence::SET)?;
    topic.is("300000 bytes", sys::fd_write(fd, &big), "300000");

    let topic = Topic("fd_read");
    sys::fd_seek(fd, 0, whence::SET)?;
    let mut back = vec![0; 400_000];
    topic.is("300000 bytes", sys::fd_read(fd, &mut back), "300000");
    topic.is("the same 300000 bytes", back[..300_000] == big, "yes");
    sys::fd_seek(fd, 0, whence::SET)?;
    let (mut a, mut b) = (vec![0; 3], vec![0; 4]);
    let parts = [Vector::into(&mut a), Vector { addr: 0, len: 0 }, Vector::into(&mut b)];
    topic.is("several parts", sys::fd_readv(fd, &parts), "7");
    topic.is(
        "the bytes of several parts",
        [std::hint::black_box(a), std::hint::black_box(b)].concat() == big[..7],
        "yes",
    );
    topic.is("no parts", sys::fd_readv(fd, &[]), "0");
    topic.is("an empty part", sys::fd_read(fd, &mut []), "0");
    let parts = vec![Vector::into(&mut back[..1]); 1025];
    topic.is("1024 parts", sys::fd_readv(fd, &parts[..1024]), "1024");
    topic.is("1025 parts", sys::fd_readv(fd, &parts), "1024");
    let len = parts.len();
    let (list, mut count) = (parts.as_ptr().expose_provenance(), 0_usize);
    let place = (&raw mut count).expose_provenance();
    topic.is("1025 parts at an offset", sys::done(sys::raw::fd_pread(fd, list, len, 0, place)), "ok");
    topic.is("the bytes of 1025 parts at an offset", std::hint::black_box(count), "1024");
    topic.is("no such descriptor", sys::fd_read(1000, &mut back), "badf");
    topic.is("standard output", sys::fd_read(1, &mut back), "notcapable");
    sys::fd_close(fd)?;
    let fd = dir.open_read(FOLLOW, b".", 0)?;
    topic.is("a directory", sys::fd_read(fd, &mut back), "isdir");
    topic.is("a directory at an offset", sys::fd_pread(fd, &mut back, 0), "isdir");
    topic.is("a preopen", sys::fd_read(world.scratch.0, &mut back), "isdir");
    sys::fd_close(fd)?;
    Topic("fd_write").is("a directory", sys::fd_write(dir.0, b"x"), "badf");
    Topic("fd_pwrite").is("a directory", sys::fd_pwrite(dir.0, b"x", 0), "badf");
    let fd = sys::path_open(dir.0, 0, b"vectors", 0, (right::FD_WRITE, 0), 0)?;
    topic.is("without the right", sys::fd_read(fd, &mut back), "notcapable");
    sys::fd_close(fd)?;
    let fd = dir.open_read(FOLLOW, b"vectors", 0)?;
    Topic("fd_write").is("without the right", sys::fd_write(fd, b"x"), "notcapable");
    sys::fd_close(fd)?;
    Topic("fd_write").is("standard input", sys::fd_write(0, b"x"), "notcapable");
    Ok(())
}

pub(crate) fn cases(world: &World) -> Result {
    let dir = world.scratch.make("transfer")?;
    positions(dir)?;
    at_offsets(dir)?;
    append(dir)?;
    vectors(world, dir)?;
    sys::fd_close(dir.0)
}
