// SPDX-License-Identifier: GPL-2.0

//! Runs a program on a [`Device`].

use crate::{
    device::{
        Device,
        Engine,
        Identity,
        Info,
        Instance,
        Module as _,
        Refusal,
        Start, //
    },
    exit::Exit,
    failure::Failure,
    kernel_device,
    limits::RequestedLimits,
    progress::Progress,
    run_result::RunResult,
    signals::Catcher,
    uapi::KWASMI_ABI, //
};
use rustix::io::Errno;
use std::time::{
    Duration,
    Instant, //
};

/// A program and its settings.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name in messages.
    pub name: String,
    /// Wasm binary.
    pub wasm: Vec<u8>,
    /// Arguments, environment, descriptors and limits.
    pub start: Start,
    /// Engine that runs it.
    pub engine: Engine,
    /// Set if a signal that would end this process ends the guest first, so that statistics can be
    /// printed.
    pub catches_signals: bool,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Identity of the module.
    pub identity: Identity,
    /// Result of the run.
    pub result: RunResult,
    /// Results of the invoked function, if it returned.
    pub results: Vec<u64>,
    /// Duration of the run.
    pub time: Duration,
    /// Signal that was caught during the run and must now end this process.
    pub signal: Option<i32>,
}

impl Run {
    /// Returns the exit status of the command: 128 + n for signal n, as a shell shows it, otherwise
    /// that of the end.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let of_signal = self.signal.and_then(|signal| u8::try_from(signal).ok()?.checked_add(128));
        of_signal.unwrap_or_else(|| self.result.ending.exit().status())
    }
}

/// Returns the device's information, and checks that its ioctl interface has the version of this
/// command.
///
/// # Errors
///
/// [`Exit::Failed`] if the ioctl fails or the versions differ.
pub fn info(device: &impl Device) -> Result<Info, Failure> {
    let failure = |reason: String| Failure::new(Exit::Failed, kernel_device::PATH, reason);
    let info = device.info().map_err(|refusal| failure(refusal.to_string()))?;
    if info.abi == KWASMI_ABI {
        Ok(info)
    } else {
        Err(failure(format!("the kernel module has interface {}, this command has {KWASMI_ABI}", info.abi)))
    }
}

/// A loaded module. It stays in the kernel until this object is dropped.
#[derive(Debug)]
pub struct Loaded<M> {
    /// The module.
    pub module: M,
    /// Identity of the module.
    pub identity: Identity,
}

/// Loads the module `wasm`; `name` is its name in messages.
///
/// # Errors
///
/// [`Exit::Refused`] if the module is not valid, not signed as required, or needs imports that are
/// not provided; [`Exit::Limit`] if it exceeds a limit; [`Exit::Killed`] if a signal ends the
/// process; [`Exit::Failed`] otherwise.
pub fn load<D: Device>(
    device: &D,
    name: &str,
    wasm: &[u8],
    limits: &RequestedLimits,
    engine: Engine,
) -> Result<Loaded<D::Module>, Failure> {
    let failure = |exit: Exit, refusal: &Refusal| Failure::new(exit, name, refusal.to_string());
    let progress = Progress::of_load(name, wasm.len());
    let loaded = device.load(wasm, limits, engine);
    drop(progress);
    let module = loaded.map_err(|refusal| failure(Exit::of_load(refusal.errno), &refusal))?;
    let identity = module.identity().map_err(|refusal| failure(Exit::Failed, &refusal))?;
    Ok(Loaded { module, identity })
}

/// Runs a guest until it ends.
///
/// # Errors
///
/// The errors of [`Instance::run`](crate::device::Instance::run), except `EINTR`.
pub fn until_end(instance: &impl Instance) -> Result<RunResult, Refusal> {
    loop {
        match instance.run() {
            // A signal was handled; the next call continues the guest.
            Err(refusal) if refusal.errno == Errno::INTR => {}
            result => return result,
        }
    }
}

/// Loads and starts `program`, and runs it until it ends. A trap or a limit that the guest reaches
/// is not an error.
///
/// # Errors
///
/// The errors of [`load`], and those of starting and running with the same mapping.
pub fn run(device: &impl Device, program: &Program) -> Result<Run, Failure> {
    let failure = |exit: Exit, refusal: &Refusal| Failure::new(exit, program.name.as_str(), refusal.to_string());
    let Loaded { module, identity } =
        load(device, &program.name, &program.wasm, &program.start.limits, program.engine)?;
    let instance = module.start(&program.start).map_err(|refusal| failure(Exit::of_start(refusal.errno), &refusal))?;
    let catcher = instance.fd().filter(|_| program.catches_signals).map(Catcher::new);
    let begin = Instant::now();
    let result = until_end(&instance).map_err(|refusal| failure(Exit::of_start(refusal.errno), &refusal))?;
    let time = begin.elapsed();
    let results = match &program.start.invoke {
        Some(_) => instance.results().map_err(|refusal| failure(Exit::Failed, &refusal))?,
        None => Vec::new(),
    };
    Ok(Run { identity, result, results, time, signal: catcher.and_then(Catcher::signal) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device,
        invoke::Invocation,
        limits::{
            Limit,
            LimitInfo, //
        },
        policy::{
            MinVersion,
            Policy,
            Verdict, //
        },
        run_result::Ending,
        signing::{
            hash::Sha256,
            version::Version, //
        },
        uapi, //
    };
    use std::{
        cell::RefCell,
        collections::VecDeque,
        num::NonZeroU64,
        os::fd::BorrowedFd,
        rc::Rc, //
    };

    /// A device that returns prepared results and records its calls.
    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<State>>);

    #[derive(Default)]
    struct State {
        abi: Option<u32>,
        load: Option<Refusal>,
        start: Option<Refusal>,
        runs: VecDeque<Result<RunResult, Refusal>>,
        loaded: Vec<(Vec<u8>, RequestedLimits)>,
        started: Vec<Start>,
        run: usize,
    }

    impl Device for Fake {
        type Module = Self;

        fn info(&self) -> Result<Info, Refusal> {
            let abi = self.0.borrow().abi.ok_or(Errno::NOTTY)?;
            Ok(Info { abi, ..Info::default() })
        }

        fn limits(&self) -> Result<Vec<LimitInfo>, Refusal> {
            Ok(vec![])
        }

        fn load(&self, wasm: &[u8], limits: &RequestedLimits, _engine: Engine) -> Result<Self, Refusal> {
            let mut state = self.0.borrow_mut();
            state.loaded.push((wasm.to_vec(), limits.clone()));
            state.load.clone().map_or_else(|| Ok(self.clone()), Err)
        }

        fn policy(&self) -> Result<Policy, Refusal> {
            Err(Errno::NOTTY.into())
        }

        fn deny(&self, _: &Sha256) -> Result<(), Refusal> {
            Err(Errno::NOTTY.into())
        }

        fn denied(&self) -> Result<Vec<Sha256>, Refusal> {
            Err(Errno::NOTTY.into())
        }

        fn set_min_version(&self, _: &MinVersion) -> Result<(), Refusal> {
            Err(Errno::NOTTY.into())
        }

        fn min_versions(&self) -> Result<Vec<MinVersion>, Refusal> {
            Err(Errno::NOTTY.into())
        }
    }

    impl device::Module for Fake {
        type Instance = Self;

        fn start(&self, start: &Start) -> Result<Self, Refusal> {
            let mut state = self.0.borrow_mut();
            state.started.push(start.clone());
            state.start.clone().map_or_else(|| Ok(self.clone()), Err)
        }

        fn identity(&self) -> Result<Identity, Refusal> {
            Ok(identity())
        }
    }

    impl device::Instance for Fake {
        fn run(&self) -> Result<RunResult, Refusal> {
            let mut state = self.0.borrow_mut();
            state.run += 1;
            state.runs.pop_front().unwrap_or(Err(Errno::BUSY.into()))
        }

        fn results(&self) -> Result<Vec<u64>, Refusal> {
            Ok(vec![5])
        }

        fn fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    fn fake(state: State) -> Fake {
        Fake(Rc::new(RefCell::new(state)))
    }

    fn identity() -> Identity {
        Identity {
            sha256: Sha256([7; 32]),
            verdict: Verdict(uapi::KWASMI_VERDICT_SIGNED),
            signer: "somebody: 01".to_owned(),
            manifest: Some(("a".to_owned(), Version([1, 2, 3]))),
            shared: false,
            compiled: false,
            engine_reason: String::new(),
        }
    }

    fn limits() -> RequestedLimits {
        vec![(Limit(uapi::KWASMI_LIMIT_FUEL), NonZeroU64::MIN)]
    }

    fn program() -> Program {
        Program {
            name: "a.wasm".to_owned(),
            wasm: b"\0asm".to_vec(),
            start: Start {
                args: b"a.wasm\0\0x y\0".to_vec(),
                env: b"A=\0".to_vec(),
                fds: vec![],
                limits: limits(),
                sigpipe: true,
                invoke: None,
                reactor: false,
            },
            engine: Engine::Auto,
            catches_signals: false,
        }
    }

    fn result(ending: Ending) -> RunResult {
        RunResult { ending, text: String::new(), fuel_used: 10, memory_peak: 20, heap_peak: 30, stack_peak: 40 }
    }

    fn refusal(errno: Errno, text: &str) -> Refusal {
        Refusal { errno, text: text.to_owned(), reached: None }
    }

    #[test]
    fn a_program_is_submitted_unchanged() {
        let fake = fake(State { runs: [Ok(result(Ending::Exited(3)))].into(), ..State::default() });
        let run = run(&fake, &program()).expect("runs");
        assert_eq!(run.result, result(Ending::Exited(3)));
        assert_eq!(run.identity, identity());
        let state = fake.0.borrow();
        assert_eq!(state.loaded, [(b"\0asm".to_vec(), limits())]);
        assert_eq!(state.started, [program().start]);
        assert_eq!(state.run, 1);
    }

    #[test]
    fn the_results_of_an_invoked_function_are_returned() {
        let run = |program: &Program| {
            let fake = fake(State { runs: [Ok(result(Ending::Exited(0)))].into(), ..State::default() });
            run(&fake, program).expect("runs").results
        };
        let mut invoked = program();
        assert!(run(&invoked).is_empty());
        invoked.start.invoke = Some(Invocation { name: "f".to_owned(), args: vec![1], results: vec![] });
        assert_eq!(run(&invoked), [5]);
    }

    #[test]
    fn the_run_continues_after_a_signal() {
        let fake = fake(State {
            runs: [Err(Errno::INTR.into()), Err(Errno::INTR.into()), Ok(result(Ending::Killed))].into(),
            ..State::default()
        });
        assert_eq!(run(&fake, &program()).expect("runs").result.ending, Ending::Killed);
        assert_eq!(fake.0.borrow().run, 3);
    }

    #[test]
    fn errors_have_the_kernels_text_and_their_exit_status() {
        let cases = [
            (Errno::NOEXEC, 126, 126),
            (Errno::KEYREJECTED, 126, 126),
            (Errno::NOKEY, 126, 125),
            (Errno::ACCESS, 125, 126),
            (Errno::TOOBIG, 125, 125),
            (Errno::DQUOT, 124, 124),
            (Errno::INTR, 137, 137),
            (Errno::NOMEM, 125, 125),
            (Errno::IO, 125, 125),
            (Errno::PERM, 125, 125),
            (Errno::BADF, 125, 125),
            (Errno::INVAL, 125, 125),
        ];
        for (errno, load, start) in cases {
            let device = fake(State { load: Some(refusal(errno, "at\noffset 3")), ..State::default() });
            let failure = run(&device, &program()).expect_err("not loaded");
            assert_eq!(failure.exit.status(), load, "{errno}");
            assert_eq!(failure.to_string(), "a.wasm: at offset 3");
            assert!(device.0.borrow().started.is_empty());

            let device = fake(State { start: Some(refusal(errno, "")), ..State::default() });
            let failure = run(&device, &program()).expect_err("not started");
            assert_eq!(failure.exit.status(), start, "{errno}");
            assert_eq!(failure.reason, device::words(errno.into()));
            assert_eq!(device.0.borrow().run, 0);
        }
    }

    #[test]
    fn a_failed_run_call_is_a_failure() {
        let failure = run(&fake(State::default()), &program()).expect_err("busy");
        assert_eq!(failure.exit.status(), 125);
        assert_eq!(failure.to_string(), "a.wasm: Device or resource busy");
        for (errno, status) in [(Errno::DQUOT, 124), (Errno::KEYREJECTED, 126), (Errno::NOMEM, 125)] {
            let fake = fake(State { runs: [Err(refusal(errno, ""))].into(), ..State::default() });
            assert_eq!(run(&fake, &program()).expect_err("not run").exit.status(), status, "{errno}");
        }
    }

    #[test]
    fn another_interface_version_is_refused() {
        let with = |abi| info(&fake(State { abi, ..State::default() }));
        assert_eq!(with(Some(KWASMI_ABI)).expect("this one").abi, KWASMI_ABI);
        let other = KWASMI_ABI + 1;
        let failure = with(Some(other)).expect_err("another one");
        let reason = format!("/dev/kwasmi: the kernel module has interface {other}, this command has {KWASMI_ABI}");
        assert_eq!(failure.to_string(), reason);
        assert_eq!(with(None).expect_err("none").exit, Exit::Failed);
    }
}
