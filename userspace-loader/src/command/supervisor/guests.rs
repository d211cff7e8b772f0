// SPDX-License-Identifier: GPL-2.0

//! Guests of a program: one instance, or a pool of them whose failed instances are replaced.

use super::programs::{
    Ended,
    Settings,
    reason_of, //
};
use crate::{
    device::{
        Module as _,
        Refusal,
        Start, //
    },
    exit::Exit,
    failure::Failure,
    kernel_device::{
        KernelInstance,
        KernelModule, //
    },
    run,
    run_result::Ending,
    service::{
        Name,
        kernel,
        pool::KernelPool, //
    },
};
use rustix::io::Errno;
use std::{
    ffi::OsStr,
    mem,
    num::NonZeroU32,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        Condvar,
        Mutex,
        MutexGuard,
        PoisonError, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Running time after which the count of consecutive failures restarts at 0.
const STABLE_TIME: Duration = Duration::from_secs(10);

/// Time before the first replacement of an instance. It doubles with each further failure.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Upper bound of the time before a replacement.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// Longest time until a thread that waits notices that its pool was killed.
const KILLED_INTERVAL: Duration = Duration::from_secs(1);

/// Stack of a thread that serves an instance of a pool, in bytes.
const THREAD_STACK: usize = 128 * 1024;

/// Guests of a program.
pub(super) enum Guests {
    /// One instance. The service ends with it.
    One(Arc<KernelInstance>),
    /// Several instances.
    Pool(Box<Pool>),
}

impl Guests {
    /// Starts the guests of a program of `module`. `program` is its name in messages, and
    /// `file_name` the first argument of the guests.
    pub(super) fn start(
        settings: &Arc<Settings>,
        module: &KernelModule,
        program: &str,
        file_name: &OsStr,
        is_reactor: bool,
    ) -> Result<Self, Failure> {
        let request = settings
            .request(file_name, is_reactor)
            .map_err(|reason| Failure::new(Exit::Failed, program, format!("arguments: {reason}")))?;
        let refused = |refusal: Refusal| Failure::new(Exit::of_start(refusal.errno), program, refusal.to_string());
        let Some(instances) = settings.args.instances else {
            return module.start(&request).map(Arc::new).map(Self::One).map_err(refused);
        };
        Pool::start(settings, module, request, instances).map(Box::new).map(Self::Pool).map_err(refused)
    }

    /// Publishes guests that have not run as the service `name`.
    pub(super) fn publish(&self, name: &Name, log: BorrowedFd<'_>) -> Result<(), Errno> {
        match self {
            Self::One(instance) => kernel::publish(&**instance, name, log),
            Self::Pool(pool) => kernel::publish(&pool.kernel, name, log),
        }
    }

    /// Gives the name of a running service of this process to the guests.
    pub(super) fn replace(&self, name: &Name, log: BorrowedFd<'_>) -> Result<(), Errno> {
        match self {
            Self::One(instance) => kernel::replace(&**instance, name, log),
            Self::Pool(pool) => kernel::replace(&pool.kernel, name, log),
        }
    }

    /// Kills the guests.
    pub(super) fn kill(&self) {
        // The ioctl does not fail.
        let _ = match self {
            Self::One(instance) => kernel::kill(&**instance),
            Self::Pool(pool) => {
                pool.stop();
                kernel::kill(&pool.kernel)
            }
        };
    }

    /// Replaces instances that fail from now on.
    pub(super) fn accept(&self) {
        if let Self::Pool(pool) = self {
            pool.accept();
        }
    }

    /// Returns the instances that were started first, until the guests are accepted.
    pub(super) fn instances(&self) -> Vec<Arc<KernelInstance>> {
        match self {
            Self::One(instance) => vec![Arc::clone(instance)],
            Self::Pool(pool) => pool.lock().first.clone(),
        }
    }

    /// Runs the guests until they end. Returns the result of the service: the failure that ended
    /// it, or else the end of the last instance.
    pub(super) fn run(&self) -> Ended {
        match self {
            Self::One(instance) => run::until_end(&**instance),
            Self::Pool(pool) => pool.run(),
        }
    }
}

/// Pool of instances in this process: the kernel's pool, the threads that run the instances, and
/// the replacement of failed instances.
pub(super) struct Pool {
    kernel: KernelPool,
    name: Name,
    max_restarts: u32,
    state: Mutex<State>,
    /// Notified when the pool is over.
    over: Condvar,
}

/// Descriptors and arguments of the instances of a [`Pool`].
struct Source {
    settings: Arc<Settings>,
    request: Start,
}

/// State of a [`Pool`].
struct State {
    /// `None` once the pool has ended: the drop closes the write ends of the output pipes.
    source: Option<Arc<Source>>,
    /// Instances that were started first, until the pool is accepted.
    first: Vec<Arc<KernelInstance>>,
    /// Set once the instances run.
    has_begun: bool,
    /// Set once failed instances are replaced: the service has started, or the upgrade has passed
    /// its checks.
    is_accepted: bool,
    /// Set once no further instance is started.
    is_over: bool,
    /// Set once an instance has failed too often.
    has_failed: bool,
    /// Result of the pool, once an instance has ended that is not replaced.
    result: Option<Ended>,
}

impl Pool {
    /// Makes a pool of `instances` instances.
    fn start(
        settings: &Arc<Settings>,
        module: &KernelModule,
        request: Start,
        instances: NonZeroU32,
    ) -> Result<Self, Refusal> {
        let kernel = KernelPool::new(module)?;
        let first = (0..instances.get()).map(|_| kernel.start(&request).map(Arc::new)).collect::<Result<_, _>>()?;
        let (name, max_restarts) = (settings.args.name.clone(), settings.args.max_restarts);
        let state = State {
            source: Some(Arc::new(Source { settings: Arc::clone(settings), request })),
            first,
            has_begun: false,
            is_accepted: false,
            is_over: false,
            has_failed: false,
            result: None,
        };
        let (state, over) = (Mutex::new(state), Condvar::new());
        Ok(Self { kernel, name, max_restarts, state, over })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self) {
        let mut state = self.lock();
        state.is_accepted = true;
        if state.has_begun {
            // From now on, an instance that ends is freed.
            state.first.clear();
        }
    }

    fn run(&self) -> Ended {
        let mut state = self.lock();
        state.has_begun = true;
        let first = if state.is_accepted { mem::take(&mut state.first) } else { state.first.clone() };
        drop(state);
        thread::scope(|scope| {
            for instance in first {
                let serve = || self.serve(instance);
                let thread = thread::Builder::new().stack_size(THREAD_STACK).spawn_scoped(scope, serve);
                if let Err(error) = thread {
                    let errno = error.raw_os_error().map_or(Errno::AGAIN, Errno::from_raw_os_error);
                    self.end(Err(Refusal { text: format!("cannot start a thread: {errno}"), ..errno.into() }));
                }
            }
        });
        // It does not fail. Without it, the service would seem to run on.
        let _ = self.kernel.finish();
        let mut state = self.lock();
        let source = state.source.take();
        let result = state.result.take();
        drop(state);
        drop(source);
        result.unwrap_or_else(|| Err(Refusal::from(Errno::SHUTDOWN)))
    }

    /// Runs an instance, and those that replace it.
    fn serve(&self, mut instance: Arc<KernelInstance>) {
        let mut failures = 0_u32;
        loop {
            let begin = Instant::now();
            let ended = run::until_end(&*instance);
            // The kernel frees the instance now.
            drop(instance);
            if matches!(&ended, Ok(result) if matches!(result.ending, Ending::Exited(0) | Ending::Killed)) {
                return self.leave(ended);
            }
            if begin.elapsed() >= STABLE_TIME {
                failures = 0;
            }
            let Some(next) = self.next(&mut failures, ended) else { return };
            instance = next;
        }
    }

    /// Starts the instance that replaces one that has failed. Returns `None` if the pool is over.
    fn next(&self, failures: &mut u32, mut ended: Ended) -> Option<Arc<KernelInstance>> {
        loop {
            *failures = failures.saturating_add(1);
            let state = self.lock();
            let source = state.source.clone().filter(|_| state.is_accepted && *failures <= self.max_restarts);
            drop(state);
            let Some(source) = source else {
                self.end(ended);
                return None;
            };
            let doublings = failures.saturating_sub(1).min(31);
            let delay = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
            self.note(&source.settings, &ended, delay);
            if !self.pause(delay) {
                self.leave(ended);
                return None;
            }
            match self.kernel.start(&source.request) {
                Ok(instance) => return Some(Arc::new(instance)),
                // The pool was killed or has lost its name.
                Err(refusal) if matches!(refusal.errno, Errno::SHUTDOWN | Errno::STALE) => {
                    self.leave(ended);
                    return None;
                }
                Err(refusal) => ended = Err(refusal),
            }
        }
    }

    /// Waits, unless the pool is over. Returns false if it is. If another process has killed the
    /// pool, or the pool has lost its name, the wait ends within [`KILLED_INTERVAL`].
    fn pause(&self, delay: Duration) -> bool {
        let begin = Instant::now();
        loop {
            let rest = delay.saturating_sub(begin.elapsed());
            let step = rest.min(KILLED_INTERVAL);
            let waited = self.over.wait_timeout_while(self.lock(), step, |state| !state.is_over);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.is_over {
                return false;
            }
            drop(state);
            if rest.is_zero() {
                return true;
            }
            if !self.kernel.is_open() {
                return false;
            }
        }
    }

    /// Prints how an instance has ended to the service's log.
    fn note(&self, settings: &Settings, ended: &Ended, delay: Duration) {
        let delay = humantime::format_duration(delay);
        let reason = reason_of(ended);
        let line = format!("kwasmi: {}: an instance has failed: {reason}; it is replaced in {delay}\n", self.name);
        // The service does not depend on its log. A full pipe delays the replacement.
        let _ = rustix::io::write(&settings.error, line.as_bytes());
    }

    /// Lets no further instance start.
    fn stop(&self) {
        self.lock().is_over = true;
        self.over.notify_all();
    }

    /// Records the end of an instance that is not replaced. If it was killed, the pool is over.
    fn leave(&self, ended: Ended) {
        let is_killed = matches!(&ended, Ok(result) if result.ending == Ending::Killed);
        let mut state = self.lock();
        if !state.has_failed {
            state.result = Some(ended);
        }
        state.is_over |= is_killed;
        drop(state);
        self.over.notify_all();
    }

    /// Ends the pool, because an instance has failed too often.
    fn end(&self, ended: Ended) {
        let mut state = self.lock();
        if !state.has_failed {
            state.has_failed = true;
            state.result = Some(ended);
        }
        state.is_over = true;
        drop(state);
        self.over.notify_all();
        // The kernel keeps the result of the instance, and kills the others.
        let _ = self.kernel.finish();
    }
}
