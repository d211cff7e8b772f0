// SPDX-License-Identifier: GPL-2.0

//! Cases for `submit` and `wait` of `kwasmi_batch_1`.

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
    errno::Errno,
    sys::{
        self,
        Result, //
    },
};
use core::cell::Cell;
use kwasmi_batch::{
    Errno as Failure,
    Op,
    submit,
    wait, //
};

const MILLISECOND: u64 = 1_000_000;
/// Time-out longer than any of these cases takes, in nanoseconds.
const LONG: Option<u64> = Some(60_000 * MILLISECOND);
/// Descriptor number that is never open.
const NOBODY: Fd = 1000;

fn word<T: ToString>(result: core::result::Result<T, Failure>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(Failure::PENDING) => "pending".to_owned(),
        Err(Failure(errno)) => Errno(errno).to_string(),
    }
}

/// Lists the result of each operation.
fn results(ops: &[Op<'_>]) -> String {
    ops.iter().map(|op| word(op.result())).collect::<Vec<_>>().join(", ")
}

/// Submits `ops`. Lists the number of operations done and the result of each.
fn submitted(ops: &mut [Op<'_>]) -> String {
    let done = word(submit(ops));
    format!("{done}: {}", results(ops))
}

/// Waits for `ops`. Lists the indices of the completed operations and the result of each.
fn waited(ops: &mut [Op<'_>], timeout: Option<u64>) -> String {
    let mut completed = [u32::MAX; 4];
    match wait(ops, timeout, &mut completed) {
        Ok(count) => format!("{:?}: {}", &completed[..count], results(ops)),
        failed @ Err(_) => word(failed),
    }
}

fn files(topic: &Topic, world: &World) -> Result {
    let dir = world.scratch.make("batch")?;
    let (file, copy) = (dir.open("file", CREAT)?, dir.open("copy", CREAT)?);
    topic.is("no operations", submitted(&mut []), "0: ");
    topic.is("nothing to do", submitted(&mut [Op::nop()]), "1: 0");
    let mut head = [0; 4];
    let mut tail = [0; 100];
    let mut ops = [
        Op::write(file, b"0123456789"),
        Op::write_at(file, 8, b"abc"),
        Op::read_at(file, 0, &mut head),
        Op::read_at(file, 4, &mut tail).all(),
    ];
    topic.is("written and read", submitted(&mut ops), "4: 10, 3, 4, 7");
    topic.is("the bytes of the first read", head.to_vec(), "0123");
    topic.is("the bytes of the second read", tail[..7].to_vec(), "4567abc");

    let buffer = Cell::new([0_u8; 16]);
    let cells: &Cell<[u8]> = &buffer;
    let cells = cells.as_slice_of_cells();
    sys::fd_seek(file, 0, 0)?;
    let mut ops = [Op::read_cells(file, cells), Op::write_cells(copy, cells).previous()];
    topic.is("writes as many bytes as were read", submitted(&mut ops), "2: 11, 11");
    topic.is("stops at the end of the file", submitted(&mut ops), "1: 0, 11");
    topic.is("the contents of the copy", dir.read("copy"), "01234567abc");

    let mut ops = [Op::read_cells(file, cells).go_on(), Op::write(copy, b"end")];
    topic.is("go_on continues after the end of the file", submitted(&mut ops), "2: 0, 3");
    let mut ops = [Op::write(NOBODY, b"x"), Op::write(copy, b"x")];
    topic.is("stops after an error", submitted(&mut ops), "1: badf, pending");
    let mut ops = [Op::write(NOBODY, b"x").go_on(), Op::write(copy, b"x")];
    topic.is("go_on continues after an error", submitted(&mut ops), "2: badf, 1");
    topic.is("no rights", submitted(&mut [Op::write(0, b"x")]), "1: notcapable");
    topic.is("accept", submitted(&mut [Op::accept(file, 0)]), "1: notsup");
    topic.is("an exchange without room", submitted(&mut [Op::exchange(file, b"x", &mut [])]), "1: inval");
    topic.is("an offset beyond the largest", submitted(&mut [Op::write_at(file, u64::MAX, b"x")]), "1: inval");
    topic.is("close", submitted(&mut [Op::close(copy), Op::close(copy)]), "2: 0, badf");
    sys::fd_close(file)?;
    topic.is("the final contents of the copy", dir.read("copy"), "01234567abcendx");

    dir.write("long", &vec![b'x'; 300_000])?;
    let (from, to) = (dir.open("long", 0)?, dir.open("short", CREAT)?);
    topic.is("a part of a file", submitted(&mut [Op::copy(from, to, 200_000)]), "1: 200000");
    topic.is("the rest of it", submitted(&mut [Op::copy(from, to, u64::MAX)]), "1: 100000");
    topic.is("nothing at the end of the file", submitted(&mut [Op::copy(from, to, u64::MAX)]), "1: 0");
    topic.is("the size of the copy", dir.stat("short").map(|stat| stat.size), "300000");
    topic.is("a copy to a descriptor that is not open", submitted(&mut [Op::copy(from, NOBODY, 1)]), "1: badf");
    sys::fd_close(from)?;
    sys::fd_close(to)?;
    sys::fd_close(dir.0)
}

/// Copies from a file, which the kernel moves without a buffer where possible.
fn copies(topic: &Topic, world: &World) -> Result {
    let dir = world.scratch.make("copies")?;
    dir.write("file", b"0123456789")?;
    let (from, to) = (dir.open("file", 0)?, dir.open("copy", CREAT)?);
    sys::fd_seek(from, 3, whence::SET)?;
    sys::fd_pwrite(to, b"abcdef", 0)?;
    sys::fd_seek(to, 2, whence::SET)?;
    topic.is("from the middle to the middle", submitted(&mut [Op::copy(from, to, 2)]), "1: 2");
    topic.is("the position of the source", sys::fd_tell(from), "5");
    topic.is("the position of the target", sys::fd_tell(to), "4");
    topic.is("the contents of the target", dir.read("copy"), "ab34ef");
    topic.is("a copy of 0 bytes", submitted(&mut [Op::copy(from, to, 0)]), "1: 0");
    topic.is("all the rest", submitted(&mut [Op::copy(from, to, u64::MAX)]), "1: 5");
    topic.is("at the end", submitted(&mut [Op::copy(from, to, 1), Op::copy(from, to, u64::MAX)]), "2: 0, 0");
    topic.is("the contents after the whole copy", dir.read("copy"), "ab3456789");
    sys::fd_seek(from, 20, whence::SET)?;
    topic.is("beyond the end", submitted(&mut [Op::copy(from, to, u64::MAX)]), "1: 0");
    topic.is("the position stays", sys::fd_tell(from), "20");

    let end = dir.open_flags("copy", 0, fdflags::APPEND)?;
    sys::fd_seek(from, 8, whence::SET)?;
    topic.is("to the end of another", submitted(&mut [Op::copy(from, end, u64::MAX)]), "1: 2");
    topic.is("the contents after an append", dir.read("copy"), "ab345678989");
    topic.is("append is switched off", sys::fd_fdstat_set_flags(end, 0), "ok");
    sys::fd_seek(from, 0, whence::SET)?;
    sys::fd_seek(end, 0, whence::SET)?;
    topic.is("a copy to the start of the target", submitted(&mut [Op::copy(from, end, 2)]), "1: 2");
    topic.is("the contents after a copy to the start", dir.read("copy"), "01345678989");
    topic.is("dsync is switched on", sys::fd_fdstat_set_flags(end, fdflags::DSYNC), "ok");
    topic.is("a copy to a dsync target", submitted(&mut [Op::copy(from, end, 1)]), "1: 1");

    sys::fd_seek(from, 0, whence::SET)?;
    topic.is("a copy to the same descriptor", submitted(&mut [Op::copy(from, from, 4)]), "1: 4");
    topic.is("the position after a copy to itself", sys::fd_tell(from), "8");
    topic.is("the contents after a copy to itself", dir.read("file"), "0123012389");
    let other = dir.open("file", 0)?;
    topic.is(
        "a copy to the same file by another descriptor",
        submitted(&mut [Op::copy(from, other, u64::MAX)]),
        "1: 2",
    );
    topic.is("the contents after both", dir.read("file"), "8923012389");
    topic.is("from an empty file", submitted(&mut [Op::copy(dir.open("empty", CREAT)?, to, 5)]), "1: 0");

    let blind = sys::path_open(dir.0, FOLLOW, b"file", 0, (right::FD_WRITE, 0), 0)?;
    let mute = sys::path_open(dir.0, FOLLOW, b"file", 0, (right::FD_READ, 0), 0)?;
    topic.is("a source without the right to read", submitted(&mut [Op::copy(blind, to, 5)]), "1: notcapable");
    topic.is("a target without the right to write", submitted(&mut [Op::copy(from, mute, 5)]), "1: notcapable");
    topic.is("a directory as the source", submitted(&mut [Op::copy(dir.0, to, 5)]), "1: isdir");

    // Holes, more bytes than are moved at a time, and a start within a page.
    sys::fd_pwrite(from, b"far", 700_000)?;
    sys::fd_seek(from, 5, whence::SET)?;
    sys::fd_seek(to, 3, whence::SET)?;
    topic.is("with a hole", submitted(&mut [Op::copy(from, to, u64::MAX)]), "1: 699998");
    topic.is("the size of the copy with a hole", dir.stat("copy").map(|stat| stat.size), "700001");
    let mut bytes = vec![0; 700_010];
    let mut ops = [Op::read_at(to, 0, &mut bytes).all()];
    topic.is("reading the copy with a hole", submitted(&mut ops), "1: 700001");
    topic.is("the start of the copy with a hole", bytes[..9].to_vec(), "01212389\\x00");
    topic.is("the hole in the copy is zero", bytes[9..699_998].iter().all(|byte| *byte == 0), "yes");
    topic.is("the end of the copy with a hole", bytes[699_997..700_001].to_vec(), "\\x00far");
    for fd in [from, to, end, other, blind, mute, dir.0] {
        sys::fd_close(fd)?;
    }
    Ok(())
}

/// Copies from a file to a pipe.
fn file_to_pipe(topic: &Topic, world: &World, (from, to): (Fd, Fd)) -> Result {
    let dir = world.scratch.make("to-pipe")?;
    dir.write("file", &b"0123456789".repeat(20_000))?;
    let file = dir.open("file", 0)?;
    topic.is("a part of a file to a pipe", submitted(&mut [Op::copy(file, to, 10)]), "1: 10");
    topic.is("0 bytes of a file to a pipe", submitted(&mut [Op::copy(file, to, 0)]), "1: 0");
    let mut bytes = vec![0; 65_536];
    topic.is("the contents of the pipe", sys::fd_read(from, &mut bytes).map(|len| bytes[..len].to_vec()), "0123456789");
    // Bytes for which the pipe has no room stay in the file.
    let mut ops = [Op::copy(file, to, u64::MAX)];
    wait(&mut ops, LONG, &mut [0]).ok();
    let first = ops[0].result().unwrap_or(0);
    topic.is("a copy fills the pipe", first > 0, "yes");
    topic.is("the rest stays in the file", sys::fd_tell(file).map(|at| at == 10 + first), "yes");
    let mut came = Vec::new();
    while (came.len() as u64) < first {
        let len = sys::fd_read(from, &mut bytes)?;
        came.extend_from_slice(&bytes[..len]);
    }
    topic.is("the pipe has the bytes of the file", came == b"0123456789".repeat(20_000)[..came.len()], "yes");
    sys::fd_close(file)?;
    sys::fd_close(dir.0)
}

fn pipes(topic: &Topic, world: &World) -> Result {
    let host = world.scratch.directory("host")?;
    let rights = right::READ | right::FD_WRITE;
    let from = sys::path_open(host.0, FOLLOW, b"pipe", 0, (rights, 0), fdflags::NONBLOCK)?;
    let to =
        sys::path_open(host.0, FOLLOW, b"pipe", 0, (right::FD_WRITE | right::POLL_FD_READWRITE, 0), fdflags::NONBLOCK)?;

    topic.is("no operation is pending", waited(&mut [Op::nop()], None), "inval");
    topic.is("no operation is pending, with a time-out", waited(&mut [Op::nop()], Some(MILLISECOND)), "[]: 0");
    let mut bytes = [0; 8];
    let mut ops = [Op::read(from, &mut bytes), Op::nop()];
    topic.is("an empty pipe until the time-out", waited(&mut ops, Some(20 * MILLISECOND)), "[]: pending, 0");
    topic.is("an empty pipe without waiting", waited(&mut ops, Some(0)), "[]: pending, 0");
    ops[1] = Op::write(to, b"some");
    topic.is("the pipe has room to write", waited(&mut ops, LONG), "[1]: pending, 4");
    topic.is("the pipe has something to read", waited(&mut ops, LONG), "[0]: 4, 4");
    topic.is("the bytes that were read", bytes[..4].to_vec(), "some");
    topic.is(
        "operations that fail at once or need not wait",
        waited(&mut [Op::write(NOBODY, b"x"), Op::read(0, &mut [0]), Op::close(NOBODY)], None),
        "[0, 2]: badf, pending, badf",
    );
    let mut ops = [Op::write(to, b"a"), Op::write(to, b"b"), Op::write(to, b"c")];
    let mut completed = [0; 2];
    topic.is("at most as many completions as there is room for", word(wait(&mut ops, LONG, &mut completed)), "2");
    topic.is("no room for completions", word(wait(&mut ops, LONG, &mut [])), "inval");
    topic.is("the remaining completion", waited(&mut ops, LONG), "[2]: 1, 1, 1");
    let mut ops = [Op::write(to, b"x").previous()];
    topic.is("previous is invalid in wait", waited(&mut ops, LONG), "[0]: inval");
    sys::fd_read(from, &mut [0; 10])?;

    let room = Cell::new([0_u8; 16]);
    let mut op = [Op::copy(from, to, 3), Op::write(to, b"there")];
    topic.is("a copy from an empty pipe stays pending", waited(&mut op, LONG), "[1]: pending, 5");
    topic.is("a copy of a part of the pipe's contents", waited(&mut op, LONG), "[0]: 3, 5");
    let cells: &Cell<[u8]> = &room;
    let mut op = [Op::read_cells(from, cells.as_slice_of_cells())];
    topic.is("reading the pipe after a copy", waited(&mut op, LONG), "[0]: 5");
    topic.is("the pipe's bytes are in the new order", room.get()[..5].to_vec(), "rethe");

    file_to_pipe(topic, world, (from, to))?;

    // The other end of the pipe is the pipe itself, so it answers with the question.
    let mut answer = [0; 8];
    let mut op = [Op::exchange(from, b"question", &mut answer)];
    topic.is("an exchange", waited(&mut op, LONG), "[0]: 8");
    op[0].arm();
    topic.is("the same exchange again", waited(&mut op, LONG), "[0]: 8");
    topic.is("an exchange by submit", submitted(&mut op), "1: 8");
    topic.is("the answer of the exchange", answer.to_vec(), "question");

    // More bytes than a pipe holds at a time.
    let much = vec![7_u8; 100_000];
    let mut little = vec![0; 70_000];
    let mut ops = [Op::write(to, &much).all(), Op::read(from, &mut little).all()];
    let mut rounds = 0;
    while ops[1].result() == Err(Failure::PENDING) && rounds < 100 {
        waited(&mut ops, LONG);
        rounds += 1;
    }
    topic.is("all reads as many bytes as requested", word(ops[1].result()), "70000");
    topic.is("all writes all bytes", word(ops[0].result()), "100000");
    sys::fd_close(from)?;
    sys::fd_close(to)?;
    sys::fd_close(host.0)
}

/// Functions without the library's checks, for invalid arguments.
mod wild {
    #[link(wasm_import_module = "kwasmi_batch_1")]
    #[allow(unsafe_code, reason = "the host checks all arguments")]
    unsafe extern "C" {
        pub(super) safe fn submit(ops: usize, number: u32, ndone: usize) -> i32;
        pub(super) safe fn wait(
            ops: usize,
            number: u32,
            timeout: u64,
            completed: usize,
            max: u32,
            ncompleted: usize,
        ) -> i32;
    }
}

fn faults(topic: &Topic) {
    let mut place = [0_u32; 2];
    let out = place.as_mut_ptr().expose_provenance();
    let end = usize::MAX - 47;
    topic.is("operations beyond memory", sys::done(wild::submit(end, 1, out)), "fault");
    topic.is("a count beyond memory", sys::done(wild::submit(out, 0, usize::MAX - 2)), "fault");
    topic.is("too many operations", sys::done(wild::submit(0, 1025, out)), "inval");
    topic.is("far too many", sys::done(wild::submit(0, u32::MAX, out)), "inval");
    topic.is("wait beyond memory", sys::done(wild::wait(end, 1, 0, out, 1, out)), "fault");
    topic.is("a list beyond memory", sys::done(wild::wait(1024, 2, 0, usize::MAX - 6, 2, out)), "fault");
    topic.is("a long list for few", sys::done(wild::wait(1024, 0, 0, out, u32::MAX, out)), "ok");
    let mut op = [0_u64; 6];
    let ops = op.as_mut_ptr().expose_provenance();
    for (name, kind, flags) in [("an unknown kind", 9_u8, 0_u8), ("all kinds", 255, 0), ("unknown flags", 1, 8)] {
        op[2] = u64::from_le_bytes([0, 0, 0, 0, kind, flags, 0, 0]);
        topic.is(name, sys::done(wild::submit(ops, 1, out)), "ok");
        topic.is("its error", Errno((core::hint::black_box(&op)[2] >> 48) as u16), "inval");
    }
    op[2] = u64::from_le_bytes([0, 0, 0, 0, 1, 0, 0, 0]);
    op[3] = u64::from(u32::MAX) | (1 << 32);
    topic.is("data beyond memory", sys::done(wild::submit(ops, 1, out)), "ok");
    topic.is("its error", Errno((core::hint::black_box(&op)[2] >> 48) as u16), "fault");
}

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("batch");
    files(&topic, world)?;
    copies(&topic, world)?;
    pipes(&topic, world)?;
    faults(&topic);
    Ok(())
}
