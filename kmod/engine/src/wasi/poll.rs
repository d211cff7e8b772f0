// SPDX-License-Identifier: GPL-2.0

//! `poll_oneoff`: waits for clocks.
//!
//! A subscription to a descriptor is answered at once with an event that says `notsup`: this build waits for clocks only.

use super::{
    Context, Failure,
    abi::{
        ClockId,
        Errno,
        EventType, //
    },
    memory::{
        after,
        read,
        slice_mut,
        write, //
    },
};
use crate::host::{
    Fail,
    Host, //
};

/// The size of a `subscription` and of an `event`, in bytes.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

/// `subclockflags`: the time-out is a time of the clock, not a duration.
const ABSTIME: u16 = 1;

/// The most subscriptions of one call.
const SUBSCRIPTIONS_MAX: u32 = 4096;

/// What one subscription waits for.
enum Waiting {
    Clock {
        clock: ClockId,
        timeout: u64,
        absolute: bool,
    },
    /// An event with this error is due at once.
    Never(EventType, Errno),
}

struct Subscription {
    userdata: [u8; 8],
    waiting: Waiting,
}

fn subscription(memory: &[u8], at: u32) -> Result<Subscription, Errno> {
    let userdata = read::<8>(memory, at)?;
    let [tag] = read(memory, after(at, 8)?)?;
    let waiting = match EventType::from_raw(tag) {
        Some(EventType::Clock) => {
            let clock = u32::from_le_bytes(read(memory, after(at, 16)?)?);
            let timeout = u64::from_le_bytes(read(memory, after(at, 24)?)?);
            let flags = u16::from_le_bytes(read(memory, after(at, 40)?)?);
            match ClockId::from_raw(clock) {
                Some(clock) if flags & !ABSTIME == 0 => {
                    Waiting::Clock { clock, timeout, absolute: flags & ABSTIME != 0 }
                }
                _ => Waiting::Never(EventType::Clock, Errno::Inval),
            }
        }
        Some(kind) => Waiting::Never(kind, Errno::NotSup),
        None => return Err(Errno::Inval),
    };
    Ok(Subscription { userdata, waiting })
}

/// When the time-out of a clock is due, as a time of the monotonic clock. Durations count from `since`.
fn due_at<H: Host>(host: &mut H, (clock, timeout, absolute): (ClockId, u64, bool), since: u64) -> Result<u64, Fail> {
    let clock_now = host.clock_time(clock)?;
    if absolute {
        let now = host.clock_time(ClockId::Monotonic)?;
        Ok(now.saturating_add(timeout.saturating_sub(clock_now)))
    } else {
        Ok(since.saturating_add(timeout))
    }
}

/// `poll_oneoff`.
pub(super) fn oneoff<H: Host>(
    context: &mut Context<H>,
    memory: &mut [u8],
    (subscriptions, count): (u32, u32),
    events: u32,
    nevents: u32,
) -> Result<(), Failure> {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::Inval.into());
    }
    // Everything that is written is inside of memory, before anything is waited for.
    slice_mut(memory, nevents, 4)?;
    slice_mut(memory, events, count.checked_mul(EVENT).ok_or(Errno::Fault)?)?;

    let since = match context.polling_since.take() {
        Some(since) => since,
        None => context.host.clock_time(ClockId::Monotonic)?,
    };
    loop {
        let mut nearest = u64::MAX;
        let mut written: u32 = 0;
        for index in 0..count {
            let Subscription { userdata, waiting } =
                subscription(memory, element(subscriptions, SUBSCRIPTION, index)?)?;
            let (kind, errno) = match waiting {
                Waiting::Never(kind, errno) => (kind, errno),
                Waiting::Clock { clock, timeout, absolute } => {
                    match due_at(&mut context.host, (clock, timeout, absolute), since) {
                        Ok(due) if due > context.host.clock_time(ClockId::Monotonic)? => {
                            nearest = nearest.min(due);
                            continue;
                        }
                        Ok(_) => (EventType::Clock, Errno::Success),
                        Err(Fail::Errno(errno)) => (EventType::Clock, errno),
                        Err(Fail::Interrupted) => return Err(Fail::Interrupted.into()),
                    }
                }
            };
            let mut event = [0; EVENT as usize];
            event[..8].copy_from_slice(&userdata);
            event[8..10].copy_from_slice(&(errno as u16).to_le_bytes());
            event[10] = kind as u8;
            write(memory, element(events, EVENT, written)?, &event)?;
            written = written.saturating_add(1);
        }
        if written > 0 {
            return Ok(write(memory, nevents, &written.to_le_bytes())?);
        }
        if let Err(fail) = context.host.sleep_until(ClockId::Monotonic, nearest) {
            context.polling_since = (fail == Fail::Interrupted).then_some(since);
            return Err(fail.into());
        }
    }
}

/// Where element `index` of an array is.
fn element(base: u32, size: u32, index: u32) -> Result<u32, Errno> {
    after(base, index.checked_mul(size).ok_or(Errno::Fault)?)
}
