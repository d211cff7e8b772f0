// SPDX-License-Identifier: GPL-2.0

//! Code for one processor: the detection of machines that kwasmi does not support, and operations
//! for which the kernel has C macros only. The stack switches are in `engine/src/arch/`.
//!
//! C header: [`include/linux/cc_platform.h`](srctree/include/linux/cc_platform.h)

use kernel::prelude::*;

/// Returns true if the machine is a guest of AMD SEV-ES or SEV-SNP. There, operations that the
/// hypervisor must emulate raise the exception #VC, also inside an interrupt. The kernel handles a
/// #VC only on one of its own stacks, and panics on any other, such as the engine's:
/// `vc_switch_off_ist` in `arch/x86/kernel/traps.c`.
#[cfg(CONFIG_ARCH_HAS_CC_PLATFORM)]
fn has_encrypted_state() -> bool {
    use kernel::bindings;

    // SAFETY: `cc_platform_has` has no requirements besides a valid attribute.
    unsafe { bindings::cc_platform_has(bindings::cc_attr_CC_ATTR_GUEST_STATE_ENCRYPT) }
}

#[cfg(not(CONFIG_ARCH_HAS_CC_PLATFORM))]
fn has_encrypted_state() -> bool {
    false
}

/// Checks that kwasmi supports this machine.
///
/// # Errors
///
/// `EOPNOTSUPP` if it does not; the kernel log gets the reason.
pub(crate) fn check() -> Result {
    if has_encrypted_state() {
        pr_err!(
            "guests of AMD SEV-ES and SEV-SNP are not supported: the kernel cannot handle #VC on the engine's stack\n"
        );
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// Subtracts 1 from the word of this CPU: `this_cpu_dec` of `include/linux/percpu-defs.h`.
///
/// # Safety
///
/// `offset` must be a per-CPU address (`__percpu`) of a word of 64 bits.
pub(crate) unsafe fn decrement_per_cpu(offset: usize) {
    // SAFETY: The GS segment of a task in the kernel begins at the per-CPU memory of its CPU, so the
    // instruction changes the word of this CPU, which exists by this function's safety requirement.
    // A single instruction is not interrupted.
    unsafe { core::arch::asm!("sub qword ptr gs:[{}], 1", in(reg) offset, options(nostack)) };
}
