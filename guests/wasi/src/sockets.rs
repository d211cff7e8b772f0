// SPDX-License-Identifier: GPL-2.0

//! Cases for sockets. The file `scratch/listening` tells the client to connect. The client sends
//! `hello`, reads to the end, and closes.

use crate::{
    World,
    abi::{
        Fd,
        Subscription,
        fdflags,
        oflags::CREAT,
        right,
        whence, //
    },
    case::{
        Topic,
        kind, //
    },
    errno::Errno,
    sys::{
        self,
        Result, //
    },
};
use kwasmi_batch::{
    Op,
    submit, //
};

const PEEK: u32 = 1;
const WAITALL: u32 = 2;
const READ: u32 = 1;
const WRITE: u32 = 2;

/// Returns the listening socket: the first descriptor after the preopens.
pub(crate) fn listening() -> Fd {
    (3..).find(|fd| sys::fd_prestat_get(*fd).is_err()).unwrap_or(Fd::MAX)
}

fn wait(fd: Fd) -> Result<usize> {
    let timeout = 30_000_000_000;
    let events = sys::poll_oneoff(&[
        Subscription { userdata: 1, tag: 1, what: fd, ..Subscription::default() },
        Subscription { userdata: 2, tag: 0, what: 1, timeout, ..Subscription::default() },
    ])?;
    Ok(events.iter().filter(|event| event.userdata == 1 && event.errno == 0).count())
}

fn recv(fd: Fd, len: usize, flags: u32) -> Result<String> {
    let mut bytes = vec![0; len];
    let (done, flags) = sys::sock_recv(fd, &mut bytes, flags)?;
    Ok(format!("{} {flags}", bytes[..done].escape_ascii()))
}

fn others(world: &World) -> Result {
    let file = world.scratch.open("no-socket", CREAT)?;
    let mut bytes = [0; 10];
    let topic = Topic("no socket");
    topic.is("sock_recv", sys::sock_recv(file, &mut bytes, 0).map(drop), "notsock");
    topic.is("sock_send", sys::sock_send(file, &bytes, 0), "notsock");
    topic.is("sock_shutdown", sys::sock_shutdown(file, READ), "notsock");
    topic.is("sock_shutdown of nothing", sys::sock_shutdown(file, 0), "notsock");
    topic.is("sock_accept", sys::sock_accept(file, 0), "notsock");
    topic.is("sock_accept with unknown flags", sys::sock_accept(file, 1 << 5), "notsock");
    sys::fd_fdstat_set_rights(file, 0, 0)?;
    topic.is("sock_recv without rights", sys::sock_recv(file, &mut bytes, 0).map(drop), "notsock");
    topic.is("sock_send without rights", sys::sock_send(file, &bytes, 0), "notsock");
    topic.is("sock_send with unknown flags", sys::sock_send(file, &bytes, 1), "notsock");
    topic.is("sock_recv of a directory", sys::sock_recv(world.scratch.0, &mut bytes, 0).map(drop), "notsock");
    topic.is("sock_shutdown of a directory", sys::sock_shutdown(world.scratch.0, READ), "notsock");
    topic.is("sock_accept of a directory", sys::sock_accept(world.scratch.0, 0), "notsock");
    let topic = Topic("no descriptor");
    topic.is("sock_recv", sys::sock_recv(1000, &mut bytes, 0).map(drop), "badf");
    topic.is("sock_send", sys::sock_send(1000, &bytes, 0), "badf");
    topic.is("sock_shutdown", sys::sock_shutdown(1000, READ), "badf");
    topic.is("sock_accept", sys::sock_accept(1000, 0), "badf");
    sys::fd_close(file)
}

fn accept(world: &World) -> Result<Fd> {
    let topic = Topic("sock_accept");
    let fd = listening();
    topic.is("type of a listening socket", sys::fd_fdstat_get(fd).map(|stat| kind(stat.filetype)), "socket-stream");
    topic.is("it is not read", sys::fd_read(fd, &mut [0; 10]), "notcapable");
    topic.is("unknown flags", sys::sock_accept(fd, 1 << 5), "inval");
    topic.is("not to block", sys::fd_fdstat_set_flags(fd, fdflags::NONBLOCK), "ok");
    topic.is("no client is there", sys::sock_accept(fd, 0), "again");
    topic.is("to block", sys::fd_fdstat_set_flags(fd, 0), "ok");
    // The client waits for this file.
    world.scratch.write("listening", b"")?;
    topic.is("a client connects", wait(fd), "1");
    let accepted = sys::sock_accept(fd, 0)?;
    topic.is("type of a connection", sys::fd_fdstat_get(accepted).map(|stat| kind(stat.filetype)), "socket-stream");
    topic.is("its flags", sys::fd_fdstat_get(accepted).map(|stat| stat.flags), "0");
    topic.told("its rights", sys::fd_fdstat_get(accepted).map(|stat| format!("{:x}", stat.rights)));
    topic.is("sock_accept of a connection", sys::sock_accept(accepted, 0), "notcapable");
    sys::fd_close(fd)?;
    Ok(accepted)
}

/// Copies a whole file to a socket.
fn copied(from: Fd, to: Fd) -> Result<u64> {
    let mut ops = [Op::copy(from, to, u64::MAX)];
    submit(&mut ops).and_then(|_| ops[0].result()).map_err(|failure| Errno(failure.0))
}

fn talk(world: &World, fd: Fd) -> Result {
    let topic = Topic("sock_recv");
    topic.is("the client sends", wait(fd), "1");
    topic.is("three bytes by peek", recv(fd, 3, PEEK), "hel 0");
    topic.is("all bytes by waitall", recv(fd, 5, WAITALL), "hello 0");
    topic.is("unknown flags", recv(fd, 5, 4), "inval");
    topic.is("more flags than bits", recv(fd, 5, 1 << 16), "inval");
    topic.is("not to block", sys::fd_fdstat_set_flags(fd, fdflags::NONBLOCK), "ok");
    topic.is("no more bytes", recv(fd, 5, 0), "again");
    topic.is("no more bytes by fd_read", sys::fd_read(fd, &mut [0; 5]), "again");
    topic.is("to block again", sys::fd_fdstat_set_flags(fd, 0), "ok");
    topic.is("a socket has no position", sys::fd_tell(fd), "notcapable");

    let topic = Topic("sock_send");
    topic.is("something", sys::sock_send(fd, b"one ", 0), "4");
    topic.is("unknown flags", sys::sock_send(fd, b"none ", 1), "inval");
    world.scratch.write("to-send", b"file ")?;
    let file = world.scratch.open("to-send", 0)?;
    topic.is("a file, by a copy", copied(file, fd), "5");
    topic.is("a file at its end, by a copy", copied(file, fd), "0");
    topic.is("by fd_write", sys::fd_write(fd, b"two\n"), "4");

    let topic = Topic("sock_shutdown");
    topic.is("no directions", sys::sock_shutdown(fd, 0), "inval");
    topic.is("unknown directions", sys::sock_shutdown(fd, 4), "inval");
    topic.is("sending", sys::sock_shutdown(fd, WRITE), "ok");
    topic.is("sock_send after shutdown", sys::sock_send(fd, b"three", 0), "pipe");
    topic.is("fd_write after shutdown", sys::fd_write(fd, b"three"), "pipe");
    sys::fd_seek(file, 0, whence::SET)?;
    topic.is("a copy after shutdown", copied(file, fd), "pipe");
    sys::fd_close(file)?;
    topic.is("the client closes", wait(fd), "1");
    topic.is("the end of the stream", recv(fd, 5, 0), " 0");
    topic.is("the end of the stream by fd_read", sys::fd_read(fd, &mut [0; 5]), "0");
    let rights = sys::fd_fdstat_get(fd)?.rights;
    sys::fd_fdstat_set_rights(fd, rights & !right::FD_READ & !right::FD_WRITE, 0)?;
    topic.is("receive without the right", recv(fd, 5, 0), "notcapable");
    topic.is("send without the right", sys::sock_send(fd, b"x", 0), "notcapable");
    sys::fd_close(fd)
}

pub(crate) fn cases(world: &World) -> Result {
    others(world)?;
    let accepted = accept(world)?;
    talk(world, accepted)
}
