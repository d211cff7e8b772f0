// SPDX-License-Identifier: GPL-2.0

//! Calls of a reactor: `KWASMI_IOC_FUNCTION` and `KWASMI_IOC_CALL`, and the task that serves it.

use super::{
    turns::{
        Turn,
        Work, //
    },
    After,
    Entry,
    Inner,
    Instance, //
};
use crate::{
    ffi::{
        Call,
        INVOKE_MAX, //
    },
    host::CallData,
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
    error::code::{
        EOPNOTSUPP,
        ESHUTDOWN, //
    },
    prelude::*,
    sync::ArcBorrow,
    time::{
        hrtimer::HrTimerExpires,
        Delta,
        Instant,
        Monotonic, //
    },
    uaccess::UserSlice, //
};

/// Returns the time `timeout` nanoseconds from now; `None` for [`UNLIMITED`].
fn deadline(timeout: u64) -> Option<Instant<Monotonic>> {
    if timeout == UNLIMITED {
        return None;
    }
    // At most a quarter of the range, so that the addition does not overflow.
    let timeout = i64::try_from(timeout).unwrap_or(i64::MAX).min(i64::MAX / 4);
    Some(Instant::<Monotonic>::now() + Delta::from_nanos(timeout))
}

/// Returns `deadline` in nanoseconds of the monotonic clock; `u64::MAX` if there is none.
fn nanoseconds(deadline: Option<Instant<Monotonic>>) -> u64 {
    deadline.map_or(u64::MAX, |deadline| deadline.as_nanos() as u64)
}

impl Instance {
    /// Serves the reactor until the guest ends.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task serves it; the errors of [`Inner::run`].
    pub(super) fn serve(this: ArcBorrow<'_, Self>, log: &mut LogBuffer) -> Result {
        let serving = this.turns.serve()?;
        loop {
            match serving.work() {
                Work::Leave => return Ok(()),
                Work::Run => {
                    let mut inner = this.inner.lock();
                    let after = inner.run(&this, &Entry::Own, log)?;
                    drop(inner);
                    match after {
                        After::Ended => this.turns.end(),
                        After::Idle => serving.finish(),
                    }
                }
                Work::Wait => {
                    let until = nanoseconds(this.inner.lock().host.deadline);
                    let is_awake = serving.wait(until)?;
                    if is_awake && !this.runner.is_killed() {
                        continue;
                    }
                    // The guest is to end. A caller that runs it ends it.
                    if let Some(turn) = this.turns.try_enter() {
                        let mut inner = this.inner.lock();
                        if inner.run(&this, &Entry::Own, log)? == After::Ended {
                            this.turns.end();
                        }
                        drop(turn);
                    }
                }
            }
        }
    }

    /// Implements `KWASMI_IOC_FUNCTION`.
    pub(crate) fn function(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_function = arg.read()?;
        if !self.is_reactor {
            return Err(EOPNOTSUPP);
        }
        if request.name_len == 0 {
            return Err(EINVAL);
        }
        if request.name_len > KWASMI_INVOKE_NAME_MAX {
            return Err(E2BIG);
        }
        let name = ioctl::bytes_from_user(request.name, request.name_len as usize)?;
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let function = self.module.code().function(&name, &mut log);
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

    /// Implements `KWASMI_IOC_CALL`.
    pub(crate) fn call(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_call = arg.read()?;
        if !self.is_reactor {
            return Err(EOPNOTSUPP);
        }
        if request.flags != 0 {
            return Err(EINVAL);
        }
        if request.args_len > KWASMI_INVOKE_MAX
            || request.input_len > KWASMI_CALL_BYTES_MAX
            || request.output_size > KWASMI_CALL_BYTES_MAX
        {
            return Err(E2BIG);
        }
        let mut args = [0; INVOKE_MAX];
        for (index, place) in args.iter_mut().enumerate().take(request.args_len as usize) {
            *place = ioctl::element_from_user(request.args, index)?;
        }
        let data = CallData::from_user(request.input, request.input_len, request.output_size)?;
        let call = Call {
            function: request.function,
            args_len: request.args_len,
            args: args.as_ptr(),
        };
        let deadline = deadline(request.timeout);
        let until = nanoseconds(deadline);
        let turn = match self.turns.enter(until) {
            // The kernel would restart the call with the whole timeout.
            Err(error) if error == ERESTARTSYS && deadline.is_some() => return Err(EINTR),
            turn => turn?,
        };
        let mut inner = self.inner.lock();
        inner.host.set_call(data);
        let mut log = LogBuffer::new(0, 0)?;
        let after = match inner.run(self, &Entry::Call(&call, deadline), &mut log) {
            Ok(after) => after,
            Err(error) if error == ERESTARTSYS => {
                drop(inner);
                return self.finish(turn.hand_over(until)?, &request, arg);
            }
            Err(error) => {
                inner.host.take_call();
                return Err(error);
            }
        };
        if after == After::Ended {
            self.turns.end();
        }
        drop(inner);
        self.finish(turn, &request, arg)
    }

    /// Answers a call that is finished.
    fn finish(&self, turn: Turn<'_>, request: &kwasmi_call, arg: &Argument) -> Result<isize> {
        let mut inner = self.inner.lock();
        let Inner {
            live, report, host, ..
        } = &mut *inner;
        let data = host.take_call().ok_or(ESHUTDOWN)?;
        let mut answer = *request;
        answer.output_len = u32::try_from(data.output().len())?;
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let mut results = [0; INVOKE_MAX];
        if live.is_some() {
            answer.returned = 1;
            for (place, result) in results.iter_mut().zip(&report.results).take(report.results_len) {
                *place = *result;
            }
            answer.results_len = report.results_len as u32;
        } else {
            let ended = report.answer();
            answer.returned = 0;
            answer.results_len = 0;
            (answer.status, answer.code) = (ended.status, ended.code);
            answer.limit_value = ended.limit_value;
            let _ = log.write_str(log::text(&report.text));
        }
        // The copies may wait for a page fault: other callers go on meanwhile.
        drop(inner);
        drop(turn);
        let len = answer.results_len.min(request.results_len);
        for (index, result) in results.iter().enumerate().take(len as usize) {
            ioctl::element_to_user(request.results, index, result)?;
        }
        if !data.output().is_empty() {
            let output = UserPtr::from_addr(usize::try_from(request.output)?);
            UserSlice::new(output, data.output().len())
                .writer()
                .write_slice(data.output())?;
        }
        answer.log_len = log.give()?;
        arg.write(&answer)?;
        Ok(0)
    }
}
