// SPDX-License-Identifier: GPL-2.0

//! Calls of a reactor: `KWASMI_IOC_FUNCTION` and `KWASMI_IOC_CALL`, and the task that serves it.

use super::{
    inner::{
        After,
        Entry,
        Inner, //
    },
    turns::{
        Serving,
        Turn,
        Work, //
    },
    Instance, //
};
use crate::{
    allocation,
    code::Code,
    ffi::Call,
    host::{
        signal,
        CallData, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::UNLIMITED,
    log::{
        self,
        LogBuffer, //
    },
    uapi::{
        kwasmi_call,
        kwasmi_function,
        KWASMI_CALL_BYTES_MAX,
        KWASMI_INVOKE_MAX,
        KWASMI_INVOKE_NAME_MAX, //
    },
};
use core::fmt::Write;
use kernel::{
    error::code::EOPNOTSUPP,
    prelude::*,
    sync::{
        atomic::Relaxed,
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        ArcBorrow, //
    },
    time::{
        hrtimer::HrTimerExpires,
        Delta,
        Instant,
        Monotonic, //
    },
    uaccess::UserSlice, //
};

/// Returns the time `timeout` nanoseconds from now; `None` for [`UNLIMITED`].
pub(super) fn deadline(timeout: u64) -> Option<Instant<Monotonic>> {
    if timeout == UNLIMITED {
        return None;
    }
    // At most a quarter of the range, so that the addition does not overflow.
    let timeout = i64::try_from(timeout).unwrap_or(i64::MAX).min(i64::MAX / 4);
    Some(Instant::<Monotonic>::now() + Delta::from_nanos(timeout))
}

/// Returns `deadline` in nanoseconds of the monotonic clock; `u64::MAX` if there is none.
pub(super) fn nanoseconds(deadline: Option<Instant<Monotonic>>) -> u64 {
    deadline.map_or(u64::MAX, |deadline| deadline.as_nanos() as u64)
}

/// Time without calls after which a reactor rests.
const IDLE_TIME: Delta = Delta::from_secs(1);

/// Returns the time at which a reactor rests that gets no calls from now on, in nanoseconds of the
/// monotonic clock.
fn rest_time() -> u64 {
    (Instant::<Monotonic>::now() + IDLE_TIME).as_nanos() as u64
}

/// Returns true if the monotonic clock has reached `until` nanoseconds.
pub(super) fn is_past(until: u64) -> bool {
    until != u64::MAX && Instant::<Monotonic>::now().as_nanos() as u64 >= until
}

impl Instance {
    /// Serves the reactor until the guest ends.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task serves it; the errors of [`Inner::run`].
    pub(super) fn serve(this: ArcBorrow<'_, Self>, log: &mut LogBuffer) -> Result {
        let serving = this.turns.serve()?;
        let mut turns_seen = 0;
        loop {
            match serving.work() {
                Work::Leave => return Ok(()),
                Work::Retire => {
                    this.inner.lock().retire(&this);
                    this.turns.end();
                }
                Work::Run => {
                    let mut inner = this.inner.lock();
                    match inner.run(&this, &Entry::Own, log)? {
                        After::Ended => this.turns.end(),
                        After::Idle => {
                            if !serving.finish() {
                                inner.host.end_call_data();
                            }
                        }
                    }
                }
                Work::Wait => {
                    let until = this.deadline.load(Relaxed);
                    // `work` has cleared `wakes_server`, so a kill after this check wakes the task.
                    let mut is_over = this.runner.is_killed() || is_past(until);
                    if !is_over && signal::is_fatal_signal_pending() {
                        this.runner.kill();
                        is_over = true;
                    }
                    if is_over {
                        // The guest is to end: by a caller that runs it, or by this task.
                        serving.take_next();
                        if serving.work() == Work::Wait {
                            serving.wait(u64::MAX)?;
                        }
                    } else if serving.is_resting() {
                        serving.wait(until)?;
                    } else if !serving.wait(until.min(rest_time()))?
                        && !is_past(until)
                        && serving.take_idle(&mut turns_seen)
                    {
                        this.rest(&serving);
                    }
                }
            }
        }
    }

    /// Frees the stacks of the reactor until the next call. The serving task has the turn.
    fn rest(&self, serving: &Serving<'_>) {
        let mut inner = self.inner.lock();
        inner.rest(self);
        let has_ended = inner.live.is_none();
        drop(inner);
        if has_ended {
            self.turns.end();
        } else {
            serving.rest();
        }
    }

    /// Implements `KWASMI_IOC_FUNCTION`.
    pub(crate) fn function(&self, arg: &Argument) -> Result<isize> {
        if !self.is_reactor {
            return Err(EOPNOTSUPP);
        }
        function(self.module.code(), arg)
    }

    /// Implements `KWASMI_IOC_CALL`.
    pub(crate) fn call(&self, arg: &Argument) -> Result<isize> {
        if !self.is_reactor {
            return Err(EOPNOTSUPP);
        }
        let mut call = PendingCall::from_user(arg)?;
        let turn = self
            .turns
            .enter(call.until())
            .map_err(|error| call.refused(error))?;
        self.run_call(turn, &mut call, arg)
    }

    /// Returns true if the guest has not ended. The caller has the turn.
    pub(super) fn has_guest(&self) -> bool {
        self.inner.lock().live.is_some()
    }

    /// Runs `call`, whose turn is `turn`, and stores its results in `arg`.
    pub(super) fn run_call(
        &self,
        turn: Turn<'_>,
        pending: &mut PendingCall,
        arg: &Argument,
    ) -> Result<isize> {
        let until = pending.until();
        let mut inner = self.inner.lock();
        inner.host.begin_call_data(pending.data.take());
        let call = Call {
            function: pending.request.function,
            args_len: pending.request.args_len,
            args: pending.args.as_slice().as_ptr(),
        };
        let entry = if inner.may_run_in_caller() {
            Entry::Call(&call, pending.deadline)
        } else {
            Entry::Begin(&call)
        };
        let after = match inner.run(self, &entry, &mut LogBuffer::empty()) {
            Ok(after) => after,
            Err(error) if error == ERESTARTSYS => {
                drop(inner);
                let turn = turn.hand_over(until)?;
                return self.finish(self.inner.lock(), turn, pending, arg);
            }
            Err(error) => {
                inner.host.end_call_data();
                return Err(error);
            }
        };
        if after == After::Ended {
            self.turns.end();
        }
        self.finish(inner, turn, pending, arg)
    }

    /// Copies the results of a finished call to the caller. The turn is passed on first, because
    /// the copies may wait for a page fault.
    fn finish(
        &self,
        mut inner: Guard<'_, Inner, MutexBackend>,
        turn: Turn<'_>,
        call: &mut PendingCall,
        arg: &Argument,
    ) -> Result<isize> {
        // `EFAULT` means that the function has not run.
        let lost = |_| EIO;
        let PendingCall {
            request: answer,
            log,
            begin,
            ..
        } = call;
        let room = answer.results_len as usize;
        let data = inner.host.end_call_data();
        if inner.live.is_none() {
            let ended = inner.report.answer();
            let text = allocation::copy(&inner.report.text).unwrap_or_default();
            drop(inner);
            drop(turn);
            (answer.returned, answer.results_len, answer.output_len) = (0, 0, 0);
            (answer.status, answer.code) = (ended.status, ended.code);
            answer.limit_value = ended.limit_value;
            let _ = log.write_str(log::text(&text));
            answer.log_len = log.give().map_err(lost)?;
            return arg.write(answer).map(|()| 0).map_err(lost);
        }
        let len = inner.report.results_len;
        let results = (len > 0).then(|| inner.report.results);
        drop(inner);
        drop(turn);
        self.runner
            .usage()
            .count_calls(1, begin.elapsed().as_nanos() as u64);
        (answer.returned, answer.log_len) = (1, 0);
        answer.results_len = len as u32;
        let given = results.iter().flatten().take(len.min(room));
        for (index, result) in given.enumerate() {
            ioctl::element_to_user(answer.results, index, result).map_err(lost)?;
        }
        answer.output_len = 0;
        if let Some(data) = data {
            let output = data.output();
            answer.output_len = output.len() as u32;
            if !output.is_empty() {
                let addr = UserPtr::from_addr(usize::try_from(answer.output).map_err(|_| EIO)?);
                UserSlice::new(addr, output.len())
                    .writer()
                    .write_slice(output)
                    .map_err(lost)?;
            }
        }
        arg.write(answer).map(|()| 0).map_err(lost)
    }
}

/// Looks up an exported function of `code` for `KWASMI_IOC_FUNCTION`.
pub(super) fn function(code: &Code, arg: &Argument) -> Result<isize> {
    let request: kwasmi_function = arg.read()?;
    if request.name_len == 0 {
        return Err(EINVAL);
    }
    if request.name_len > KWASMI_INVOKE_NAME_MAX {
        return Err(E2BIG);
    }
    let name = ioctl::bytes_from_user(request.name, request.name_len as usize)?;
    let mut log = LogBuffer::new(request.log, request.log_size)?;
    let function = code.function(&name, &mut log);
    let mut answer = request;
    if let Ok((number, params, results)) = &function {
        answer.function = *number;
        (answer.params, answer.params_len) = (params.types, params.len);
        (answer.results, answer.results_len) = (results.types, results.len);
    }
    ioctl::with_log(function, &log, |len, _| {
        answer.log_len = len;
        arg.write(&answer)
    })?;
    Ok(0)
}

/// Call of an exported function, copied from its caller.
pub(super) struct PendingCall {
    request: kwasmi_call,
    args: Arguments,
    /// Input and room for the output; `None` if the call has neither.
    data: Option<CallData>,
    /// Allocated before the call: an allocation that fails after it would lose the results.
    log: LogBuffer,
    begin: Instant<Monotonic>,
    deadline: Option<Instant<Monotonic>>,
}

impl PendingCall {
    /// Copies the call from its caller.
    ///
    /// # Errors
    ///
    /// `EINVAL` if a flag is set; `E2BIG` if there are too many arguments, or too much data;
    /// `EFAULT`; `ENOMEM`.
    #[inline(always)]
    pub(super) fn from_user(arg: &Argument) -> Result<Self> {
        let begin = Instant::<Monotonic>::now();
        let request: kwasmi_call = arg.read()?;
        if request.flags != 0 {
            return Err(EINVAL);
        }
        if request.args_len > KWASMI_INVOKE_MAX
            || request.input_len > KWASMI_CALL_BYTES_MAX
            || request.output_size > KWASMI_CALL_BYTES_MAX
        {
            return Err(E2BIG);
        }
        let args = Arguments::from_user(request.args, request.args_len)?;
        let data = match (request.input_len, request.output_size) {
            (0, 0) => None,
            (len, size) => Some(CallData::from_user(request.input, len, size)?),
        };
        let log = LogBuffer::new(request.log, request.log_size)?;
        let deadline = deadline(request.timeout);
        Ok(Self {
            request,
            args,
            data,
            log,
            begin,
            deadline,
        })
    }

    /// Returns the end of the timeout in nanoseconds of the monotonic clock; `u64::MAX` if there is
    /// none.
    pub(super) fn until(&self) -> u64 {
        nanoseconds(self.deadline)
    }

    /// Returns the error of the call if waiting for a turn has failed with `error`.
    pub(super) fn refused(&self, error: Error) -> Error {
        refused(error, self.deadline)
    }
}

/// Returns the error of an ioctl with `deadline` if waiting for a turn has failed with `error`.
pub(super) fn refused(error: Error, deadline: Option<Instant<Monotonic>>) -> Error {
    if error == ERESTARTSYS && deadline.is_some() {
        // The kernel would restart the ioctl with the whole timeout.
        EINTR
    } else {
        error
    }
}

/// Number of arguments that are stored without an allocation.
const INLINE_ARGUMENTS: usize = 4;

/// Arguments of a call.
enum Arguments {
    Few([u64; INLINE_ARGUMENTS], usize),
    Many(KVVec<u64>),
}

impl Arguments {
    /// Copies `len` arguments from the caller's address `addr`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they are not readable; `ENOMEM`.
    fn from_user(addr: u64, len: u32) -> Result<Self> {
        let len = len as usize;
        if len > INLINE_ARGUMENTS {
            let mut args = KVVec::with_capacity(len, GFP_KERNEL_ACCOUNT)?;
            for index in 0..len {
                args.push(ioctl::element_from_user(addr, index)?, GFP_KERNEL_ACCOUNT)?;
            }
            return Ok(Self::Many(args));
        }
        let mut args = [0; INLINE_ARGUMENTS];
        for (index, place) in args.iter_mut().enumerate().take(len) {
            *place = ioctl::element_from_user(addr, index)?;
        }
        Ok(Self::Few(args, len))
    }

    fn as_slice(&self) -> &[u64] {
        match self {
            Self::Few(args, len) => args.get(..*len).unwrap_or_default(),
            Self::Many(args) => args,
        }
    }
}
