// SPDX-License-Identifier: GPL-2.0

//! The ioctls for services: section "Services" of `kmod/uapi/kwasmi.h`.

use super::{
    Name,
    Service,
    State, //
};
use crate::{
    counters::{
        Counters,
        Value, //
    },
    kernel_device::{
        Argument,
        KernelDevice,
        Log,
        call,
        chars,
        list,
        returned,
        text, //
    },
    run_result::RunResult,
    signing::{
        hash::Sha256,
        version::Version, //
    },
    uapi::{
        self,
        kwasmi_counter,
        kwasmi_counters,
        kwasmi_find,
        kwasmi_list_services,
        kwasmi_publish,
        kwasmi_run,
        kwasmi_service,
        kwasmi_wait, //
    }, //
};
use rustix::{
    io::Errno,
    ioctl::Opcode, //
};
use std::{
    fs::File,
    num::NonZeroU64,
    os::fd::{
        AsFd,
        AsRawFd as _,
        BorrowedFd,
        OwnedFd, //
    },
    time::Instant, //
};

// SAFETY: The header defines `KWASMI_IOC_PUBLISH` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_publish {
    const OPCODE: Opcode = uapi::IOC_PUBLISH;
}

// SAFETY: The header defines `KWASMI_IOC_FIND` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_find {
    const OPCODE: Opcode = uapi::IOC_FIND;
}

// SAFETY: The header defines `KWASMI_IOC_LIST_SERVICES` with this structure, which consists of
// integers only.
unsafe impl Argument for kwasmi_list_services {
    const OPCODE: Opcode = uapi::IOC_LIST_SERVICES;
}

// SAFETY: The header defines `KWASMI_IOC_SERVICE` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_service {
    const OPCODE: Opcode = uapi::IOC_SERVICE;
}

// SAFETY: The header defines `KWASMI_IOC_COUNTERS` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_counters {
    const OPCODE: Opcode = uapi::IOC_COUNTERS;
}

// SAFETY: The header defines `KWASMI_IOC_WAIT` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_wait {
    const OPCODE: Opcode = uapi::IOC_WAIT;
}

/// Argument of `KWASMI_IOC_RESULT`.
#[repr(transparent)]
struct Outcome(kwasmi_run);

// SAFETY: The header defines `KWASMI_IOC_RESULT` with `struct kwasmi_run`, which consists of
// integers only; `Outcome` is a transparent wrapper of it.
unsafe impl Argument for Outcome {
    const OPCODE: Opcode = uapi::IOC_RESULT;
}

/// Defines an empty argument type for each ioctl that takes no argument.
macro_rules! no_argument {
    ($($name:ident: $opcode:ident;)*) => {
        $(
            /// Empty argument: the ioctl takes none.
            #[derive(Default)]
            struct $name;

            // SAFETY: The header defines the ioctl without an argument, so the kernel accesses no
            // memory.
            unsafe impl Argument for $name {
                const OPCODE: Opcode = uapi::$opcode;
            }
        )*
    };
}

no_argument! {
    Kill: IOC_KILL;
    OpenLog: IOC_LOG;
    Remove: IOC_REMOVE;
}

impl From<&kwasmi_counter> for Value {
    fn from(raw: &kwasmi_counter) -> Self {
        Self { counter: raw.counter, label: text(&raw.label), value: raw.value }
    }
}

impl From<&kwasmi_service> for Service {
    fn from(raw: &kwasmi_service) -> Self {
        let module = text(&raw.module);
        Self {
            name: text(&raw.name),
            state: State::from_raw(raw.state, raw.status, raw.code),
            pid: Some(raw.pid).filter(|pid| *pid != 0),
            uid: raw.uid,
            instances: raw.instances,
            since: raw.since,
            sha256: Sha256(raw.sha256),
            module: (!module.is_empty()).then_some((module, Version(raw.version))),
        }
    }
}

/// Publishes an instance that has not run, or a pool, as the service `name`. `log` is the file that
/// [`KernelService::log`] returns.
///
/// # Errors
///
/// The errors of `KWASMI_IOC_PUBLISH`.
pub fn publish(target: &impl AsFd, name: &Name, log: BorrowedFd<'_>) -> Result<(), Errno> {
    give_name(target, name, log, 0)
}

/// Gives the name of a running service of this process to `target`, an instance or a pool.
///
/// # Errors
///
/// The errors of `KWASMI_IOC_PUBLISH` with `KWASMI_PUBLISH_REPLACE`.
pub fn replace(target: &impl AsFd, name: &Name, log: BorrowedFd<'_>) -> Result<(), Errno> {
    give_name(target, name, log, uapi::KWASMI_PUBLISH_REPLACE)
}

fn give_name(target: &impl AsFd, name: &Name, log: BorrowedFd<'_>, flags: u32) -> Result<(), Errno> {
    let mut publish = kwasmi_publish { name: chars(&name.0)?, log: log.as_raw_fd(), flags };
    // SAFETY: `publish` has no address fields.
    unsafe { call(target.as_fd(), &mut publish) }?;
    Ok(())
}

/// Ends the guests of `target`, an instance or a pool, running or not.
///
/// # Errors
///
/// The errors of `KWASMI_IOC_KILL`; none on these descriptors.
pub fn kill(target: &impl AsFd) -> Result<(), Errno> {
    // SAFETY: The ioctl takes no argument.
    unsafe { call(target.as_fd(), &mut Kill) }?;
    Ok(())
}

/// Returns all services that have a name, in ascending order of the names.
///
/// # Errors
///
/// The errors of `KWASMI_IOC_LIST_SERVICES`.
pub fn services(device: &KernelDevice) -> Result<Vec<Service>, Errno> {
    let services: Vec<kwasmi_service> = list(|services: &mut [kwasmi_service]| {
        let mut argument = kwasmi_list_services {
            services: services.as_mut_ptr().expose_provenance() as u64,
            services_len: u32::try_from(services.len()).map_err(|_| Errno::TOOBIG)?,
            ..kwasmi_list_services::default()
        };
        // SAFETY: `services` is a writable array of `services_len` entries, which is not accessed
        // during the call.
        unsafe { call(device.as_fd(), &mut argument) }?;
        Ok(argument.services_len)
    })?;
    Ok(services.iter().map(Service::from).collect())
}

/// A service fd.
#[derive(Debug)]
pub struct KernelService(OwnedFd);

impl AsFd for KernelService {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl KernelService {
    /// Returns the service with this name.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_FIND`.
    pub fn find(device: &KernelDevice, name: &Name) -> Result<Self, Errno> {
        let mut find = kwasmi_find { name: chars(&name.0)? };
        // SAFETY: `find` has no address fields.
        let fd = unsafe { call(device.as_fd(), &mut find) }?;
        // SAFETY: `fd` is the result of the successful `KWASMI_IOC_FIND` above, and is converted
        // once.
        Ok(Self(unsafe { returned(fd) }))
    }

    /// Returns the description of the service.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_SERVICE`.
    pub fn describe(&self) -> Result<Service, Errno> {
        let mut service = kwasmi_service::default();
        // SAFETY: `service` has no address fields.
        unsafe { call(&self.0, &mut service) }?;
        Ok(Service::from(&service))
    }

    /// Returns the counters of the service.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_COUNTERS`.
    pub fn counters(&self) -> Result<Counters, Errno> {
        let counters = list(|counters: &mut [kwasmi_counter]| {
            let mut argument = kwasmi_counters {
                counters: counters.as_mut_ptr().expose_provenance() as u64,
                counters_len: u32::try_from(counters.len()).map_err(|_| Errno::TOOBIG)?,
                ..kwasmi_counters::default()
            };
            // SAFETY: `counters` is a writable array of `counters_len` entries, which is not
            // accessed during the call.
            unsafe { call(&self.0, &mut argument) }?;
            Ok(argument.counters_len)
        })?;
        Ok(Counters(counters.iter().map(Value::from).collect()))
    }

    /// Waits for a state. Continues after Ctrl-Z and other signals.
    fn wait(&self, state: u32, timeout: Option<NonZeroU64>) -> Result<(), Errno> {
        let begin = Instant::now();
        // u64::MAX is KWASMI_UNLIMITED, whose type bindgen does not know.
        let timeout = timeout.map_or(u64::MAX, NonZeroU64::get);
        loop {
            let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let rest = if timeout == u64::MAX { timeout } else { timeout.saturating_sub(elapsed) };
            let mut wait = kwasmi_wait { timeout: rest, state, ..kwasmi_wait::default() };
            // SAFETY: `wait` has no address fields.
            match unsafe { call(&self.0, &mut wait) } {
                Err(Errno::INTR) => {}
                result => return result.map(|_| ()),
            }
        }
    }

    /// Waits for the end of the guest, for at most `timeout` nanoseconds.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_WAIT`; `ETIMEDOUT` if `timeout` has passed.
    pub fn wait_for_end(&self, timeout: Option<NonZeroU64>) -> Result<(), Errno> {
        self.wait(uapi::KWASMI_SERVICE_ENDED, timeout)
    }

    /// Waits until the service has lost its name.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_WAIT`.
    pub fn wait_for_removal(&self) -> Result<(), Errno> {
        self.wait(uapi::KWASMI_SERVICE_REMOVED, None)
    }

    /// Returns how the guest ended.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_RESULT`; `EAGAIN` if the guest has not ended.
    pub fn result(&self) -> Result<RunResult, Errno> {
        let mut log = Log::new();
        let mut run = Outcome(kwasmi_run { log: log.address(), log_size: log.size(), ..kwasmi_run::default() });
        // SAFETY: `log` is an owned buffer of `log_size` writable bytes, which is not accessed
        // during the call.
        unsafe { call(&self.0, &mut run) }?;
        Ok(RunResult::from_raw(&run.0, log.text(run.0.log_len)))
    }

    /// Ends the guest.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_KILL`.
    pub fn kill(&self) -> Result<(), Errno> {
        // SAFETY: The ioctl takes no argument.
        unsafe { call(&self.0, &mut Kill) }?;
        Ok(())
    }

    /// Returns the file with the guest's output.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_LOG`.
    pub fn log(&self) -> Result<File, Errno> {
        // SAFETY: The ioctl takes no argument.
        let fd = unsafe { call(&self.0, &mut OpenLog) }?;
        // SAFETY: `fd` is the result of the successful `KWASMI_IOC_LOG` above, and is converted
        // once.
        Ok(File::from(unsafe { returned(fd) }))
    }

    /// Removes the name of a service that has ended.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_REMOVE`; `EBUSY` if the guest has not ended.
    pub fn remove(&self) -> Result<(), Errno> {
        // SAFETY: The ioctl takes no argument.
        unsafe { call(&self.0, &mut Remove) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_encode_direction_and_size() {
        use rustix::ioctl::opcode;
        assert_eq!(kwasmi_publish::OPCODE, opcode::write::<kwasmi_publish>(0xb9, 0x8e));
        assert_eq!(kwasmi_find::OPCODE, opcode::write::<kwasmi_find>(0xb9, 0x8f));
        assert_eq!(kwasmi_list_services::OPCODE, opcode::read_write::<kwasmi_list_services>(0xb9, 0x90));
        assert_eq!(kwasmi_service::OPCODE, opcode::read::<kwasmi_service>(0xb9, 0x91));
        assert_eq!(kwasmi_wait::OPCODE, opcode::write::<kwasmi_wait>(0xb9, 0x92));
        assert_eq!(Outcome::OPCODE, opcode::read_write::<kwasmi_run>(0xb9, 0x93));
        assert_eq!(kwasmi_counters::OPCODE, opcode::read_write::<kwasmi_counters>(0xb9, 0x96));
        assert_eq!(OpenLog::OPCODE, opcode::none(0xb9, 0x94));
        assert_eq!(Remove::OPCODE, opcode::none(0xb9, 0x95));
    }

    #[test]
    fn sizes_leave_no_padding_at_the_end() {
        assert_eq!(size_of::<kwasmi_publish>(), 80);
        assert_eq!(size_of::<kwasmi_find>(), 72);
        assert_eq!(size_of::<kwasmi_service>(), 224);
        assert_eq!(size_of::<kwasmi_list_services>(), 16);
        assert_eq!(size_of::<kwasmi_wait>(), 16);
        assert_eq!(size_of::<kwasmi_counter>(), 64);
        assert_eq!(size_of::<kwasmi_counters>(), 16);
    }

    #[test]
    fn names_are_padded_with_zeros() {
        let name: Name = "web-1".parse().expect("valid");
        assert_eq!(chars(&name.0).map(|chars| text(&chars)), Ok("web-1".to_owned()));
        assert_eq!(chars(&name.0).expect("fits")[5..], [0; 67]);
        assert!("Web".parse::<Name>().is_err());
        assert!("a".repeat(65).parse::<Name>().is_err());
        let longest: Name = "a".repeat(64).parse().expect("valid");
        assert_eq!(text(&chars(&longest.0).expect("fits")), "a".repeat(64));
        assert_eq!(chars(&"a".repeat(72)), Err(Errno::INVAL));
    }
}
