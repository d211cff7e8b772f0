// SPDX-License-Identifier: GPL-2.0

//! Cases for `poll_oneoff`.

use crate::{
    World,
    abi::{
        Event,
        FOLLOW,
        Fd,
        Subscription,
        fdflags,
        oflags::CREAT,
        right, //
    },
    case::Topic,
    errno::Errno,
    sys::{
        self,
        Result, //
    },
};

const MONOTONIC: u32 = 1;
const MILLISECOND: u64 = 1_000_000;
/// Time-out longer than any of these cases takes, in nanoseconds.
const LONG: u64 = 60_000 * MILLISECOND;
const ABSOLUTE: u16 = 1;

fn clock(userdata: u64, what: u32, timeout: u64, flags: u16) -> Subscription {
    Subscription { userdata, what, timeout, flags, ..Subscription::default() }
}

fn read(userdata: u64, what: Fd) -> Subscription {
    Subscription { userdata, tag: 1, what, ..Subscription::default() }
}

fn write(userdata: u64, what: Fd) -> Subscription {
    Subscription { userdata, tag: 2, what, ..Subscription::default() }
}

/// Polls. Lists each event: userdata, kind, and the error or the available bytes.
fn poll(subscriptions: &[Subscription]) -> Result<String> {
    let word = |event: &Event| {
        let kind = ["clock", "read", "write"].get(usize::from(event.kind)).copied().unwrap_or("unknown");
        let hangup = if event.flags & 1 != 0 { " hangup" } else { "" };
        match event.errno {
            0 if event.kind == 1 => format!("{} {kind} {}{hangup}", event.userdata, event.bytes),
            0 => format!("{} {kind}{hangup}", event.userdata),
            errno => format!("{} {kind} {}", event.userdata, Errno(errno)),
        }
    };
    sys::poll_oneoff(subscriptions).map(|events| events.iter().map(word).collect::<Vec<_>>().join(", "))
}

fn now(clock: u32) -> u64 {
    sys::clock_time_get(clock, 0).unwrap_or(0)
}

fn clocks(topic: &Topic) {
    for (what, name) in [(0, "realtime"), (MONOTONIC, "monotonic")] {
        let begin = now(MONOTONIC);
        topic.is(&format!("{name}: 20 ms"), poll(&[clock(7, what, 20 * MILLISECOND, 0)]), "7 clock");
        let took = now(MONOTONIC).saturating_sub(begin);
        topic.is("the sleep took at least 20 ms", (20 * MILLISECOND..LONG).contains(&took), "yes");
        let begin = now(MONOTONIC);
        let until = now(what) + 20 * MILLISECOND;
        topic.is(
            &format!("{name}: until a time"),
            poll(&[clock(u64::MAX, what, until, ABSOLUTE)]),
            "18446744073709551615 clock",
        );
        topic.is("the sleep lasted until that time", now(what) >= until, "yes");
        topic.is("the sleep took at least 15 ms", now(MONOTONIC).saturating_sub(begin) >= 15 * MILLISECOND, "yes");
        topic.is(&format!("{name}: until a past time"), poll(&[clock(1, what, 1, ABSOLUTE)]), "1 clock");
        topic.is(&format!("{name}: a time-out of 0"), poll(&[clock(1, what, 0, 0)]), "1 clock");
    }
    topic.is(
        "the earlier of two",
        poll(&[clock(1, MONOTONIC, LONG, 0), clock(2, MONOTONIC, MILLISECOND, 0)]),
        "2 clock",
    );
    topic.is(
        "both at once",
        poll(&[clock(1, MONOTONIC, 0, 0), clock(2, MONOTONIC, LONG, 0), clock(3, 0, 0, 0)]),
        "1 clock, 3 clock",
    );
    topic.is("clock 4", poll(&[clock(1, 4, 0, 0)]), "1 clock inval");
    topic.is("unknown flags", poll(&[clock(1, MONOTONIC, 0, 2)]), "inval");
    topic.is("the highest flag", poll(&[clock(1, MONOTONIC, LONG, 1 << 15)]), "inval");
    topic.is(
        "unknown flags in the second subscription",
        poll(&[clock(1, MONOTONIC, 0, 0), clock(2, MONOTONIC, 0, 3)]),
        "inval",
    );
    topic.is("clock 4 and a long time", poll(&[clock(1, 4, 0, 0), clock(2, MONOTONIC, LONG, 0)]), "1 clock inval");
    topic.is("no subscriptions", poll(&[]), "inval");
    topic.is("an unknown kind", poll(&[Subscription { tag: 3, ..Subscription::default() }]), "inval");
}

fn files(topic: &Topic, world: &World) -> Result {
    let dir = world.scratch.make("poll")?;
    let file = dir.open("file", CREAT)?;
    sys::fd_write(file, b"0123456789")?;
    topic.is("a file at its end", poll(&[read(1, file)]), "1 read 0");
    sys::fd_seek(file, 4, 0)?;
    topic.is("a file", poll(&[read(1, file), write(2, file)]), "1 read 6, 2 write");
    topic.is("a file and a long time", poll(&[clock(1, MONOTONIC, LONG, 0), read(2, file)]), "2 read 6");
    topic.is("the same subscription twice", poll(&[read(1, file), read(1, file)]), "1 read 6, 1 read 6");
    topic.is("no such descriptor", poll(&[read(1, 1000)]), "1 read badf");
    topic.is("no such descriptor to write", poll(&[write(1, 1000)]), "1 write badf");
    topic.is("no such descriptor among others", poll(&[read(1, 1000), read(2, file)]), "1 read badf, 2 read 6");
    topic.is("standard output", poll(&[write(1, 1)]), "1 write");
    topic.is("standard output to read", poll(&[read(1, 1)]), "1 read notcapable");
    topic.is("standard input to write", poll(&[write(1, 0)]), "1 write notcapable");
    let rights = sys::fd_fdstat_get(file)?.rights;
    sys::fd_fdstat_set_rights(file, rights & !right::POLL_FD_READWRITE, 0)?;
    topic.is("without the right", poll(&[read(1, file)]), "1 read notcapable");
    sys::fd_close(file)?;
    sys::fd_close(dir.0)
}

fn pipes(topic: &Topic, world: &World) -> Result {
    let timeout = clock(9, MONOTONIC, 20 * MILLISECOND, 0);
    topic.is("empty standard input", poll(&[read(1, 0), timeout]), "9 clock");
    let host = world.scratch.directory("host")?;
    let nonblock = fdflags::NONBLOCK;
    let from = sys::path_open(host.0, FOLLOW, b"pipe", 0, (right::READ, 0), nonblock)?;
    let to = sys::path_open(host.0, FOLLOW, b"pipe", 0, (right::FD_WRITE | right::POLL_FD_READWRITE, 0), nonblock)?;
    topic.is("an empty pipe", poll(&[read(1, from), timeout]), "9 clock");
    topic.is("an empty pipe with a time-out of 0", poll(&[read(1, from), clock(9, MONOTONIC, 0, 0)]), "9 clock");
    topic.is("room in a pipe", poll(&[read(1, from), write(2, to), timeout]), "2 write");
    sys::fd_write(to, b"some")?;
    topic.is("something in a pipe", poll(&[read(1, from), timeout]), "1 read 1");
    topic.is("something in a pipe, without a time-out", poll(&[read(1, from)]), "1 read 1");
    sys::fd_read(from, &mut [0; 10])?;
    let full = vec![0; 4096];
    while sys::fd_write(to, &full).is_ok() {}
    topic.is("a full pipe is written", sys::fd_write(to, &full), "again");
    topic.is("a full pipe", poll(&[write(1, to), timeout]), "9 clock");
    topic.is("reading and writing a full pipe", poll(&[write(1, to), read(2, from), timeout]), "2 read 1");
    while sys::fd_read(from, &mut vec![0; 65536]).is_ok() {}
    sys::fd_close(to)?;
    topic.is("a pipe without a writer", poll(&[read(1, from), timeout]), "1 read 1 hangup");
    sys::fd_close(from)?;
    sys::fd_close(host.0)
}

pub(crate) fn cases(world: &World) -> Result {
    let topic = Topic("poll_oneoff");
    clocks(&topic);
    files(&topic, world)?;
    pipes(&topic, world)
}
