// SPDX-License-Identifier: GPL-2.0

//! Machines that kwasmi cannot run on.
//!
//! C header: [`include/linux/cc_platform.h`](srctree/include/linux/cc_platform.h)

use kernel::prelude::*;

/// Whether the machine is a guest of AMD's SEV-ES or SEV-SNP. There, what the hypervisor has to do for the kernel raises the
/// exception #VC, also in the middle of an interrupt. The kernel handles it on a stack of the kernel's that was in use, and panics
/// if that was another, as the engine's is: `vc_switch_off_ist` in `arch/x86/kernel/traps.c`.
#[cfg(CONFIG_ARCH_HAS_CC_PLATFORM)]
fn has_encrypted_state() -> bool {
    use kernel::bindings;

    // SAFETY: It has no requirements.
    unsafe { bindings::cc_platform_has(bindings::cc_attr_CC_ATTR_GUEST_STATE_ENCRYPT) }
}

#[cfg(not(CONFIG_ARCH_HAS_CC_PLATFORM))]
fn has_encrypted_state() -> bool {
    false
}

/// Sees that kwasmi can run on this machine.
///
/// # Errors
///
/// `EOPNOTSUPP`, and the kernel log says why.
pub(crate) fn check() -> Result {
    if has_encrypted_state() {
        pr_err!(
            "guests of AMD SEV-ES and SEV-SNP are not supported: the kernel cannot handle #VC on the engine's stack\n"
        );
        return Err(EOPNOTSUPP);
    }
    Ok(())
}
