// SPDX-License-Identifier: GPL-2.0

//! The ioctls for pools: section "Pools" of `kmod/uapi/kwasmi.h`.

use super::calls::Reactor;
use crate::{
    device::{
        Module as _,
        Refusal,
        Start, //
    },
    kernel_device::{
        Argument,
        KernelInstance,
        KernelModule,
        call,
        returned, //
    },
    uapi, //
};
use rustix::{
    io::Errno,
    ioctl::Opcode, //
};
use std::os::fd::{
    AsFd,
    BorrowedFd, //
};

/// Empty argument of `KWASMI_IOC_POOL`.
#[derive(Default)]
struct New;

// SAFETY: The header defines `KWASMI_IOC_POOL` without an argument, so the kernel accesses no
// memory.
unsafe impl Argument for New {
    const OPCODE: Opcode = uapi::IOC_POOL;
}

/// Empty argument of `KWASMI_IOC_FINISH`.
#[derive(Default)]
struct Finish;

// SAFETY: The header defines `KWASMI_IOC_FINISH` without an argument, so the kernel accesses no
// memory.
unsafe impl Argument for Finish {
    const OPCODE: Opcode = uapi::IOC_FINISH;
}

/// A pool fd.
///
/// `KWASMI_IOC_START` has the same form on a pool fd and on a module fd.
#[derive(Debug)]
pub struct KernelPool(KernelModule);

impl AsFd for KernelPool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl KernelPool {
    /// Makes a pool for instances of `module`.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_POOL`.
    pub fn new(module: &KernelModule) -> Result<Self, Errno> {
        // SAFETY: The ioctl takes no argument.
        let fd = unsafe { call(module, &mut New) }?;
        // SAFETY: `fd` is the result of the successful `KWASMI_IOC_POOL` above, and is converted
        // once.
        Ok(Self(KernelModule::from(unsafe { returned(fd) })))
    }

    /// Makes an instance of the pool, ready to run.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_START`; `ESHUTDOWN` if the pool has ended; `ESTALE` if it has lost
    /// its name.
    pub fn start(&self, start: &Start) -> Result<KernelInstance, Refusal> {
        self.0.start(start)
    }

    /// Returns false if the pool was killed, has ended or has lost its name.
    #[must_use]
    pub fn is_open(&self) -> bool {
        // A pool that is open refuses the empty name, or calls of a program.
        let refused = self.function("").err().map(|refusal| refusal.errno);
        !matches!(refused, Some(Errno::SHUTDOWN | Errno::STALE))
    }

    /// Ends the pool, with the result of the instance that ended last.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_FINISH`; none on a pool fd.
    pub fn finish(&self) -> Result<(), Errno> {
        // SAFETY: The ioctl takes no argument.
        unsafe { call(self, &mut Finish) }?;
        Ok(())
    }
}

impl Reactor for KernelPool {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_encode_direction_and_size() {
        use rustix::ioctl::opcode;
        assert_eq!(New::OPCODE, opcode::none(0xb9, 0x99));
        assert_eq!(Finish::OPCODE, opcode::none(0xb9, 0x9a));
    }
}
