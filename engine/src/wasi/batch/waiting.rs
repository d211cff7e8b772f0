// SPDX-License-Identifier: GPL-2.0

//! `wait`: waits for many operations and performs those that are ready.

use super::{
    Kind,
    Op,
    PENDING,
    Resume,
    bytes,
    check_ops,
    count,
    go_on, //
};
use crate::{
    ffi::{
        PollEntry,
        poll, //
    },
    host::{
        At,
        Host, //
    },
    wasi::{
        Done, Failure, Stop, WasiCtx,
        abi::{
            ClockId,
            Errno,
            Rights, //
        },
        memory::{
            after,
            slice_mut,
            write, //
        },
    },
};
use alloc::vec::Vec;

/// Returns the descriptor, right and events that an operation waits for, or `None` if it never
/// waits.
fn awaited(op: &Op) -> Result<Option<(u32, Rights, u32)>, Errno> {
    Ok(match Kind::from_raw(op.kind)? {
        Kind::Nop | Kind::ReadAt | Kind::WriteAt | Kind::Close => None,
        Kind::Read | Kind::Copy => Some((op.fd, Rights::FD_READ, poll::READ)),
        Kind::Write => Some((op.fd, Rights::FD_WRITE, poll::WRITE)),
        Kind::Exchange if op.done < bytes(op.len) => Some((op.fd, Rights::FD_WRITE, poll::WRITE)),
        Kind::Exchange => Some((op.fd, Rights::FD_READ, poll::READ)),
        Kind::Accept => Some((op.fd, Rights::SOCK_ACCEPT, poll::READ)),
    })
}

/// Arguments of [`wait`].
#[derive(Clone, Copy)]
struct Wait {
    ops: u32,
    number: u32,
    /// Address of the list of completed operations; `max` is its capacity.
    completed: u32,
    max: u32,
}

impl Wait {
    /// Continues operation `index` without waiting. If it is complete, records that, counts it in
    /// `completed` and returns true.
    fn attempt<H: Host>(
        self,
        context: &mut WasiCtx<H>,
        memory: &mut [u8],
        op: &mut Op,
        (index, completed): (u32, &mut u32),
    ) -> Result<bool, Failure> {
        let error = match go_on(context, memory, op, At::PositionNow) {
            Ok(()) => Errno::Success,
            Err(Failure::Errno(Errno::Again)) => {
                op.note_done(memory)?;
                return Ok(false);
            }
            Err(Failure::Errno(errno)) => errno,
            Err(stop @ Failure::Stop(_)) => {
                context.batch.resume = Some(Resume { index, done: op.done, completed: *completed });
                return Err(stop);
            }
        };
        self.complete(memory, op, error, (index, completed))?;
        Ok(true)
    }

    /// Records that operation `index` is complete, and counts it in `completed`.
    fn complete(
        self,
        memory: &mut [u8],
        op: &Op,
        error: Errno,
        (index, completed): (u32, &mut u32),
    ) -> Result<(), Errno> {
        op.finish(memory, error)?;
        write(memory, after(self.completed, completed.saturating_mul(4))?, &index.to_le_bytes())?;
        *completed = completed.saturating_add(1);
        Ok(())
    }

    /// Performs the operations that never wait, and lists the poll entries of the others.
    fn list<H: Host>(
        self,
        context: &mut WasiCtx<H>,
        memory: &mut [u8],
        lists: (&mut Vec<PollEntry>, &mut Vec<u32>),
        completed: &mut u32,
    ) -> Done {
        let (entries, waiting) = lists;
        entries.clear();
        waiting.clear();
        for index in 0..self.number {
            let mut op = Op::read(memory, self.ops, index)?;
            if op.error != PENDING || *completed >= self.max {
                continue;
            }
            let awaited = match awaited(&op) {
                Ok(Some((fd, rights, _))) => context.fds.get_with(fd, rights.with(Rights::POLL_FD_READWRITE)).map(Some),
                Ok(None) => Ok(None),
                Err(errno) => Err(errno),
            };
            let handle = match awaited {
                Ok(Some(descriptor)) => descriptor.handle,
                Ok(None) => {
                    self.attempt(context, memory, &mut op, (index, completed))?;
                    continue;
                }
                Err(errno) => {
                    self.complete(memory, &op, errno, (index, completed))?;
                    continue;
                }
            };
            // A write can most often be made at once.
            if op.kind == Kind::Exchange as u8
                && op.done < bytes(op.len)
                && self.attempt(context, memory, &mut op, (index, completed))?
            {
                continue;
            }
            let Some((_, _, events)) = self::awaited(&op)? else { continue };
            entries.try_reserve(1).map_err(|_| Errno::NoMem)?;
            waiting.try_reserve(1).map_err(|_| Errno::NoMem)?;
            entries.push(PollEntry { handle: handle.0, events, ..PollEntry::default() });
            waiting.push(index);
        }
        Ok(())
    }
}

/// Performs pending operations until at least one is complete or `timeout` nanoseconds have passed
/// (`u64::MAX`: no timeout; 0: does not wait). An operation is pending if its `error` is
/// [`PENDING`]. Writes the indices of at most `max` completed operations to `completed`, and their
/// number to `ncompleted`.
#[expect(clippy::too_many_arguments, reason = "the arguments of the host function")]
pub(in crate::wasi) fn wait<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    ops: u32,
    number: u32,
    timeout: u64,
    completed: u32,
    max: u32,
    ncompleted: u32,
) -> Done {
    check_ops(memory, ops, number)?;
    if max == 0 {
        return Err(Errno::Inval.into());
    }
    let max = max.min(number);
    slice_mut(memory, completed, max.saturating_mul(4))?;
    slice_mut(memory, ncompleted, 4)?;
    let mut entries = core::mem::take(&mut context.batch.entries);
    let mut waiting = core::mem::take(&mut context.batch.waiting);
    let wait = Wait { ops, number, completed, max };
    let result = wait.run(context, memory, timeout, (&mut entries, &mut waiting));
    context.batch.entries = entries;
    context.batch.waiting = waiting;
    Ok(write(memory, ncompleted, &result?.to_le_bytes())?)
}

impl Wait {
    /// Waits and returns the number of completed operations.
    fn run<H: Host>(
        self,
        context: &mut WasiCtx<H>,
        memory: &mut [u8],
        timeout: u64,
        lists: (&mut Vec<PollEntry>, &mut Vec<u32>),
    ) -> Result<u32, Failure> {
        let since = match context.polling_since.take() {
            Some(since) => since,
            None if timeout == 0 || timeout == u64::MAX => 0,
            None => context.host.clock_time(ClockId::Monotonic)?,
        };
        let deadline = match timeout {
            0 => Some(0),
            u64::MAX => None,
            _ => Some(since.saturating_add(timeout)),
        };
        let result = self.rounds(context, memory, deadline, lists);
        context.polling_since = matches!(result, Err(Failure::Stop(Stop::Interrupted))).then_some(since);
        result
    }

    fn rounds<H: Host>(
        self,
        context: &mut WasiCtx<H>,
        memory: &mut [u8],
        deadline: Option<u64>,
        (entries, waiting): (&mut Vec<PollEntry>, &mut Vec<u32>),
    ) -> Result<u32, Failure> {
        let mut complete = 0;
        if let Some(resume) = context.batch.resume.take() {
            complete = resume.completed;
            let mut op = Op::read(memory, self.ops, resume.index)?;
            op.done = resume.done;
            self.attempt(context, memory, &mut op, (resume.index, &mut complete))?;
        }
        loop {
            match self.list(context, memory, (entries, waiting), &mut complete) {
                // Completed operations are reported before the error.
                Err(Failure::Errno(_)) if complete > 0 => return Ok(complete),
                listed => listed?,
            }
            if complete >= self.max || (complete > 0 && entries.is_empty()) {
                return Ok(complete);
            }
            let until = if complete > 0 { Some(0) } else { deadline };
            let ready = match (entries.is_empty(), until) {
                (true, None) => return Err(Errno::Inval.into()),
                (true, Some(0)) => Ok(0),
                (true, Some(until)) => context.host.sleep_until(ClockId::Monotonic, until).map(|()| 0),
                (false, until) => context.host.poll(entries, until),
            };
            match ready {
                Ok(0) => return Ok(complete),
                Err(_) if complete > 0 => return Ok(complete),
                ready => {
                    ready?;
                }
            }
            for (entry, index) in entries.iter().zip(&*waiting) {
                if entry.revents == 0 || complete >= self.max {
                    continue;
                }
                let mut op = Op::read(memory, self.ops, *index)?;
                self.attempt(context, memory, &mut op, (*index, &mut complete))?;
            }
            match count(context, 0) {
                _ if complete > 0 => return Ok(complete),
                checked => checked?,
            }
        }
    }
}
