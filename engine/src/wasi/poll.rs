// SPDX-License-Identifier: GPL-2.0

//! `poll_oneoff`: waits for clocks and descriptors at the same time.

use super::{
    Done, WasiCtx,
    abi::{
        ClockId,
        Errno,
        EventType,
        Rights, //
    },
    fds::Descriptors,
    memory::{
        after,
        read,
        slice_mut,
        write, //
    },
};
use crate::{
    ffi::{
        PollEntry,
        poll, //
    },
    host::{
        Fail,
        Host, //
    },
};
use alloc::vec::Vec;

/// Layout of a `subscription`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubscriptionLayout {
    /// Size in bytes.
    size: u32,
    /// Offset of the clock's `id`. The time-out and the flags follow it.
    clock: u32,
}

/// Layout of preview 1.
pub(super) const PREVIEW_1: SubscriptionLayout = SubscriptionLayout { size: 48, clock: 16 };
/// Layout of preview 0: a clock has an identifier, which nothing uses, before its `id`.
pub(super) const PREVIEW_0: SubscriptionLayout = SubscriptionLayout { size: 56, clock: 24 };

/// Size of a preview 1 `event`, in bytes.
const EVENT: u32 = 32;

/// `subclockflags`: the timeout is an absolute time of the clock, not a duration.
const ABSTIME: u16 = 1;

/// `eventrwflags`: the peer has closed the connection.
const HANGUP: u16 = 1;

/// Upper bound of the subscriptions of one call.
const SUBSCRIPTIONS_MAX: u32 = 4096;

/// Event that a subscription waits for.
#[derive(Clone, Copy)]
enum Waiting {
    Clock {
        clock: ClockId,
        timeout: u64,
        absolute: bool,
    },
    /// Event of the descriptor in the `PollEntry` with this index.
    Descriptor(EventType, usize),
    /// Error that is reported immediately.
    Never(EventType, Errno),
}

#[derive(Clone, Copy)]
struct Subscription {
    userdata: [u8; 8],
    waiting: Waiting,
}

fn subscription(
    memory: &[u8],
    at: u32,
    layout: &SubscriptionLayout,
    fds: &Descriptors,
    entries: &mut Vec<PollEntry>,
) -> Result<Subscription, Errno> {
    let userdata = read::<8>(memory, at)?;
    let [tag] = read(memory, after(at, 8)?)?;
    let kind = EventType::from_raw(tag).ok_or(Errno::Inval)?;
    let waiting = match kind {
        EventType::Clock => {
            let at = after(at, layout.clock)?;
            let clock = u32::from_le_bytes(read(memory, at)?);
            let timeout = u64::from_le_bytes(read(memory, after(at, 8)?)?);
            let flags = u16::from_le_bytes(read(memory, after(at, 24)?)?);
            if flags & !ABSTIME != 0 {
                return Err(Errno::Inval);
            }
            match ClockId::from_raw(clock) {
                Some(clock) => Waiting::Clock { clock, timeout, absolute: flags & ABSTIME != 0 },
                None => Waiting::Never(EventType::Clock, Errno::Inval),
            }
        }
        EventType::FdRead | EventType::FdWrite => {
            let fd = u32::from_le_bytes(read(memory, after(at, 16)?)?);
            match entry(fds, kind, fd) {
                Ok(entry) => {
                    entries.try_reserve(1).map_err(|_| Errno::NoMem)?;
                    entries.push(entry);
                    Waiting::Descriptor(kind, entries.len().saturating_sub(1))
                }
                Err(errno) => Waiting::Never(kind, errno),
            }
        }
    };
    Ok(Subscription { userdata, waiting })
}

/// Returns the entry that polls descriptor `fd` for `kind`.
fn entry(fds: &Descriptors, kind: EventType, fd: u32) -> Result<PollEntry, Errno> {
    let descriptor = fds.get_with(fd, Rights::POLL_FD_READWRITE)?;
    let (rights, events) = match kind {
        // A listening socket is readable when a connection can be accepted.
        EventType::FdRead => (Rights::FD_READ.with(Rights::SOCK_ACCEPT), poll::READ | poll::BYTES),
        _ => (Rights::FD_WRITE, poll::WRITE),
    };
    if !descriptor.rights.has_any(rights) {
        return Err(Errno::NotCapable);
    }
    Ok(PollEntry { handle: descriptor.handle.0, events, ..PollEntry::default() })
}

/// Returns the time of the monotonic clock at which a clock subscription is due, in nanoseconds.
/// Durations count from `since`.
fn due_at<H: Host>(host: &mut H, (clock, timeout, absolute): (ClockId, u64, bool), since: u64) -> Result<u64, Fail> {
    let clock_now = host.clock_time(clock)?;
    if absolute {
        let now = host.clock_time(ClockId::Monotonic)?;
        Ok(now.saturating_add(timeout.saturating_sub(clock_now)))
    } else {
        Ok(since.saturating_add(timeout))
    }
}

/// Contents of an event besides the user data: its type, its error, the number of readable bytes,
/// and its flags.
type Happened = (EventType, Errno, u64, u16);

/// Returns the event of a subscription if it has happened. Otherwise returns the time at which a
/// clock subscription is due, or `None` for a descriptor.
fn happened<H: Host>(
    host: &mut H,
    waiting: Waiting,
    entries: &[PollEntry],
    since: u64,
) -> Result<Result<Happened, Option<u64>>, Fail> {
    match waiting {
        Waiting::Never(kind, errno) => Ok(Ok((kind, errno, 0, 0))),
        Waiting::Clock { clock, timeout, absolute } => match due_at(host, (clock, timeout, absolute), since) {
            Ok(due) if due > host.clock_time(ClockId::Monotonic)? => Ok(Err(Some(due))),
            Ok(_) => Ok(Ok((EventType::Clock, Errno::Success, 0, 0))),
            Err(Fail::Errno(errno)) => Ok(Ok((EventType::Clock, errno, 0, 0))),
            Err(Fail::Interrupted) => Err(Fail::Interrupted),
        },
        Waiting::Descriptor(kind, index) => {
            let entry = entries.get(index).copied().unwrap_or_default();
            let ready = match u32::try_from(entry.revents) {
                Ok(0) => return Ok(Err(None)),
                Ok(ready) => ready,
                Err(_) => return Ok(Ok((kind, Errno::from_linux(entry.revents.saturating_neg()), 0, 0))),
            };
            let flags = if ready & poll::HANGUP != 0 { HANGUP } else { 0 };
            Ok(Ok((kind, Errno::Success, entry.bytes, flags)))
        }
    }
}

/// Implements `poll_oneoff`.
pub(super) fn oneoff<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    (subscriptions, count, layout): (u32, u32, &SubscriptionLayout),
    events: u32,
    nevents: u32,
) -> Done {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::Inval.into());
    }
    // All output ranges are checked before the call waits.
    slice_mut(memory, nevents, 4)?;
    slice_mut(memory, events, count.checked_mul(EVENT).ok_or(Errno::Fault)?)?;
    context.charge(usize::try_from(count.saturating_mul(layout.size.saturating_add(EVENT))).unwrap_or(usize::MAX));

    // All subscriptions are read before an event is written, because the two arrays may overlap.
    let mut waits = Vec::new();
    let mut entries = Vec::new();
    waits.try_reserve_exact(usize::try_from(count).map_err(|_| Errno::Inval)?).map_err(|_| Errno::NoMem)?;
    for index in 0..count {
        let place = element(subscriptions, layout.size, index)?;
        waits.push(subscription(memory, place, layout, &context.fds, &mut entries)?);
    }

    let since = match context.polling_since.take() {
        Some(since) => since,
        None => context.host.clock_time(ClockId::Monotonic)?,
    };
    // The first round only checks for events that have already happened.
    let mut deadline = Some(0);
    loop {
        if !entries.is_empty() || deadline != Some(0) {
            let waited = match deadline {
                Some(deadline) if entries.is_empty() => context.host.sleep_until(ClockId::Monotonic, deadline),
                _ => context.host.poll(&mut entries, deadline).map(drop),
            };
            if let Err(fail) = waited {
                context.polling_since = (fail == Fail::Interrupted).then_some(since);
                return Err(fail.into());
            }
        }
        let mut nearest: Option<u64> = None;
        let mut written: u32 = 0;
        for Subscription { userdata, waiting } in &waits {
            let (kind, errno, bytes, flags) = match happened(&mut context.host, *waiting, &entries, since)? {
                Ok(happened) => happened,
                Err(due) => {
                    nearest = match (nearest, due) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                    continue;
                }
            };
            let mut event = [0; EVENT as usize];
            event[..8].copy_from_slice(userdata);
            event[8..10].copy_from_slice(&(errno as u16).to_le_bytes());
            event[10] = kind as u8;
            event[16..24].copy_from_slice(&bytes.to_le_bytes());
            event[24..26].copy_from_slice(&flags.to_le_bytes());
            write(memory, element(events, EVENT, written)?, &event)?;
            written = written.saturating_add(1);
        }
        if written > 0 {
            return Ok(write(memory, nevents, &written.to_le_bytes())?);
        }
        deadline = nearest;
    }
}

/// Returns the address of element `index` of an array.
fn element(base: u32, size: u32, index: u32) -> Result<u32, Errno> {
    after(base, index.checked_mul(size).ok_or(Errno::Fault)?)
}
