// SPDX-License-Identifier: GPL-2.0

//! Instances: one program each, from `KWASMI_IOC_START` to its end, behind an instance fd.
//!
//! START creates the engine objects of the instance; no function of the guest runs. RUN runs the
//! guest until it ends, or until its task must return to userspace, for example to handle a signal;
//! a restarted or further RUN continues the guest. When the guest has ended, its engine objects and
//! files are freed. The report stays for RUN and RESULTS until the descriptor is closed.

mod calls;
mod descriptors;
mod inner;
mod invocation;
mod outcome;
mod pool;
mod queue;
mod report;
mod ring;
mod turns;

pub(crate) use self::{
    invocation::Invocation,
    outcome::Outcome,
    pool::Pool,
    ring::{
        Callee,
        InstanceLink,
        Ring,
        RING, //
    }, //
};

use self::{
    inner::{
        Entry,
        Inner, //
    },
    pool::Membership,
    turns::Turns, //
};

use crate::{
    anon_file::AnonFile,
    ffi::{
        Bytes,
        InstanceLimits,
        Invoke,
        StartArgs,
        INVOKE_MAX, //
    },
    host::{
        credentials,
        Host,
        Runner, //
    },
    ioctl::{
        self,
        Argument, //
    },
    limits::CallLimits,
    log::LogBuffer,
    module::Module,
    service::{
        Publication,
        Published,
        Target, //
    },
    uapi::{
        kwasmi_call,
        kwasmi_fd,
        kwasmi_function,
        kwasmi_publish,
        kwasmi_results,
        kwasmi_run,
        KWASMI_INVOKE_MAX,
        KWASMI_START_REACTOR,
        KWASMI_START_SIGPIPE, //
    },
    user::Counted,
    watch::{
        Counter,
        CounterId,
        ModuleCounters,
        Sink, //
    },
};
use core::{
    fmt::Write,
    ptr, //
};
use kernel::{
    cred::Credential,
    error::code::ESHUTDOWN,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Atomic,
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
};

const RUN: u32 = ioctl::iowr::<kwasmi_run>(0x83);
pub(crate) const KILL: u32 = ioctl::io(0x84);
const RESULTS: u32 = ioctl::iowr::<kwasmi_results>(0x8D);
pub(crate) const PUBLISH: u32 = ioctl::iow::<kwasmi_publish>(0x8E);
pub(crate) const FUNCTION: u32 = ioctl::iowr::<kwasmi_function>(0x97);
pub(crate) const CALL: u32 = ioctl::iowr::<kwasmi_call>(0x98);

const _: () = assert!(INVOKE_MAX == KWASMI_INVOKE_MAX as usize);

/// Instance of a module.
#[pin_data(PinnedDrop)]
pub(crate) struct Instance {
    module: Arc<Module>,
    counted: Counted,
    /// Credentials of the task that started the instance. The guest acts with them, whoever runs
    /// it.
    credentials: ARef<Credential>,
    /// START, RUN, RESULTS and the drop hold the lock as a whole. RUN and RESULTS only try to lock,
    /// so that a second caller gets EBUSY and does not wait for the guest. It is the outermost of
    /// the module's locks.
    #[pin]
    inner: Mutex<Inner>,
    /// Set if the instance is a reactor.
    is_reactor: bool,
    /// End of the time limit, in nanoseconds of the monotonic clock; `u64::MAX` if there is none.
    /// The serving task reads it while a caller has `inner`.
    deadline: Atomic<u64>,
    /// Who runs a reactor.
    #[pin]
    turns: Turns,
    /// Set once the guest has ended. `published` is set while the lock is held, so that the service
    /// learns of the end, whichever comes first.
    #[pin]
    has_ended: Mutex<bool>,
    /// Pool of the instance, if it has one.
    membership: Option<Membership>,
    /// Reference of the rings that were created on the instance, if there are any.
    #[pin]
    link: Mutex<Option<Arc<InstanceLink>>>,
    /// Name of the instance, if it is a service.
    published: SetOnce<Published>,
    /// Not part of `inner`, so that KILL and checkpoints reach it while RUN holds that lock. Shared
    /// with the service that the instance is, if it is one.
    runner: Arc<Runner>,
}

impl Instance {
    /// Creates an instance of `module`, which runs `invocation` or is a program, and adds it to
    /// `pool` if there is one. `flags` are `KWASMI_START_*`.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START`, see `uapi/kwasmi.h`; `log` gets the reason.
    pub(crate) fn new(
        (module, pool): (Arc<Module>, Option<&Arc<Pool>>),
        (args, env, fds): (&[u8], &[u8], &[kwasmi_fd]),
        invocation: Option<&Invocation>,
        limits: CallLimits,
        flags: u32,
        log: &mut LogBuffer,
    ) -> Result<Arc<Self>> {
        check_strings(args, log)?;
        check_strings(env, log)?;
        let (files, grants, _names) =
            descriptors::open_files(fds, module.identity().capabilities(), log)?;
        let membership = pool.map(Pool::join).transpose()?;
        let counted = Counted::new(log)?;

        let host = Host::new(files);
        let host = if flags & KWASMI_START_SIGPIPE != 0 {
            host.end_without_reader()
        } else {
            host
        };

        // From here on, the drop of `this` cleans up.
        let this = Arc::pin_init(
            try_pin_init!(Self {
                inner <- new_mutex!(Inner::new(host, limits)?, "kwasmi::Instance::inner"),
                is_reactor: flags & KWASMI_START_REACTOR != 0,
                deadline: Atomic::new(u64::MAX),
                turns <- Turns::new(membership.clone()),
                has_ended <- new_mutex!(false, "kwasmi::Instance::has_ended"),
                membership,
                link <- new_mutex!(None, "kwasmi::Instance::link"),
                published: SetOnce::new(),
                runner: Runner::new()?,
                credentials: credentials::current(),
                module,
                counted,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        for counters in this.counters() {
            counters.create();
        }

        let invoke = invocation.map(|invocation| Invoke {
            name: Bytes::new(&invocation.name),
            args: invocation.args.as_ptr(),
            args_len: invocation.args.len(),
        });
        let mut start = StartArgs {
            module: ptr::null(),
            args: Bytes::new(args),
            env: Bytes::new(env),
            fds: grants.as_ptr(),
            fds_len: grants.len(),
            invoke: invoke.as_ref().map_or(ptr::null(), ptr::from_ref),
            is_reactor: this.is_reactor,
            limits: InstanceLimits {
                memory: 0,
                table: 0,
                fds: 0,
                fuel: 0,
            },
            counters: this.runner.usage().guest(),
            limit: 0,
            log: ptr::null_mut(),
            instance: ptr::null_mut(),
        };
        let entered = this.counted.enter(log)?;
        this.inner.lock().instantiate(&this, &mut start, log)?;
        drop(entered);
        if let Some(membership) = &this.membership {
            membership.begin(this.clone())?;
        }
        for counters in this.counters() {
            counters.start();
        }
        Ok(this)
    }

    /// Returns the counters that count the instance: those of its module, and of its pool if it has
    /// one.
    fn counters(&self) -> impl Iterator<Item = &ModuleCounters> {
        let of_pool = self
            .membership
            .as_ref()
            .map(|membership| &membership.pool.counters);
        [Some(self.module.code().counters()), of_pool]
            .into_iter()
            .flatten()
    }

    /// Gives up an instance that gets no descriptor.
    pub(crate) fn give_up(&self) {
        if let Some(membership) = &self.membership {
            membership.leave();
        }
    }

    /// Implements `KWASMI_IOC_RUN`.
    fn run(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let request: kwasmi_run = arg.read()?;
        if request.flags != 0 || request.reserved != 0 {
            return Err(EINVAL);
        }
        let mut log = LogBuffer::new(request.log, request.log_size)?;
        let ran = if this.is_reactor {
            Self::serve(this, &mut log)
        } else {
            let mut inner = this.inner.try_lock().ok_or(EBUSY)?;
            inner.run(&this, &Entry::Own, &mut log).map(drop)
        };
        match ran {
            Ok(()) => {}
            // The kernel restarts the call.
            Err(error) if error == ERESTARTSYS => return Err(error),
            Err(error) => {
                let (code, limit_value) = log.limit();
                arg.write(&kwasmi_run {
                    code,
                    limit_value,
                    log_len: log.give()?,
                    ..request
                })?;
                return Err(error);
            }
        }
        let inner = this.inner.lock();
        let answer = inner.report.answer();
        let _ = log.write_str(crate::log::text(&inner.report.text));
        // The copies may wait for a page fault, and callers for the lock.
        drop(inner);
        arg.write(&kwasmi_run {
            log: request.log,
            log_size: request.log_size,
            log_len: log.give()?,
            ..answer
        })?;
        Ok(0)
    }

    /// Implements `KWASMI_IOC_PUBLISH`.
    fn publish(this: ArcBorrow<'_, Self>, arg: &Argument) -> Result<isize> {
        let publication = Publication::from_user(arg)?;
        // Declared before the guards of the locks, so that it is dropped after them.
        let _former;
        // Whoever runs the guest has the lock.
        let inner = this.inner.try_lock();
        let has_run = inner.as_ref().is_none_or(|inner| inner.has_run);
        if has_run && !publication.replaces() {
            return Err(EBUSY);
        }
        let has_ended = this.has_ended.lock();
        if *has_ended {
            return Err(ESHUTDOWN);
        }
        if this.published.as_ref().is_some() || this.membership.is_some() {
            return Err(EBUSY);
        }
        let identity = this.module.shared_identity();
        let target = Target::Instance(this.into());
        let (published, former) = publication.publish(identity, target, has_run)?;
        _former = former;
        // `has_ended` is locked, so no other task publishes the instance.
        this.published.populate(published);
        Ok(0)
    }

    /// Returns the reference for rings.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn link(this: ArcBorrow<'_, Self>) -> Result<Arc<InstanceLink>> {
        let mut place = this.link.lock();
        if let Some(link) = &*place {
            return Ok(link.clone());
        }
        let link = InstanceLink::new(this.into())?;
        Ok(place.insert(link).clone())
    }

    /// Ends a reactor once its calls are finished, and refuses further calls: another instance has
    /// its name.
    pub(crate) fn drain(&self) {
        self.turns.drain();
    }

    /// Implements `KWASMI_IOC_RESULTS`.
    fn results(&self, arg: &Argument) -> Result<isize> {
        let request: kwasmi_results = arg.read()?;
        if request.reserved != 0 {
            return Err(EINVAL);
        }
        let inner = self.inner.try_lock().ok_or(EBUSY)?;
        let (values, mut len) = (inner.report.results, inner.report.results_len);
        drop(inner);
        if self.is_reactor {
            // The results of a call are for its caller.
            len = 0;
        }
        let results = values.iter().take(len);
        for (index, result) in results
            .clone()
            .take(request.results_len as usize)
            .enumerate()
        {
            ioctl::element_to_user(request.results, index, result)?;
        }
        arg.write(&kwasmi_results {
            results_len: results.count() as u32,
            ..request
        })?;
        Ok(0)
    }

    /// Returns the runner, which has the counters.
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// Returns the number of callers that wait for their turn.
    pub(crate) fn queued(&self) -> u32 {
        self.turns.queued()
    }

    /// Ends the guest, running or not.
    pub(crate) fn kill(&self) {
        self.runner.kill();
        self.turns.rouse();
    }
}

impl AnonFile for Instance {
    const NAME: &'static CStr = c"[kwasmi-instance]";

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RUN => Self::run(this, &Argument::new(arg)),
            RESULTS => this.results(&Argument::new(arg)),
            KILL => {
                this.kill();
                Ok(0)
            }
            PUBLISH => Self::publish(this, &Argument::new(arg)),
            FUNCTION => this.function(&Argument::new(arg)),
            CALL => this.call(&Argument::new(arg)),
            RING => {
                let link = Self::link(this)?;
                Ring::create(Callee::Instance(link), &Argument::new(arg))
            }
            _ => Err(ENOTTY),
        }
    }

    /// Ends the guest, which a caller of the reactor may still run, and removes the name.
    fn close(this: ArcBorrow<'_, Self>) {
        this.runner.kill();
        this.turns.close();
        if let Some(published) = this.published.as_ref() {
            published.close();
        }
        let link = this.link.lock().take();
        if let Some(link) = link {
            link.close();
        }
        if this.is_reactor {
            // A caller may hold the instance for a while. One that runs the guest has been
            // interrupted, and unlocks `inner` soon.
            let mut inner = this.inner.lock();
            inner.close(&this);
            inner.host.end_call_data();
        }
        this.give_up();
    }

    fn list_counters(&self, sink: Sink<'_>) -> Result {
        self.runner.list_counters(sink)?;
        sink(Counter::new(CounterId::CallsQueued, self.queued().into()))?;
        self.runner.usage().list_calls(sink)
    }
}

#[pinned_drop]
impl PinnedDrop for Instance {
    fn drop(self: Pin<&mut Self>) {
        self.inner.lock().end(&self);
        for counters in self.counters() {
            counters.drop_instance();
        }
    }
}

/// Checks that the last of `strings`, the arguments or the environment, ends with a NUL.
///
/// # Errors
///
/// `EINVAL` if it does not; `log` gets the reason.
fn check_strings(strings: &[u8], log: &mut LogBuffer) -> Result {
    if strings.last().is_some_and(|last| *last != 0) {
        let _ = write!(
            log,
            "arguments or environment: the last string has no NUL at its end"
        );
        return Err(EINVAL);
    }
    Ok(())
}
