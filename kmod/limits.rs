// SPDX-License-Identifier: GPL-2.0

//! Limits of modules and instances. [`limit_table`] defines their defaults and minimums; parameters
//! of the kernel module define their ceilings. A caller may request any value from the minimum to
//! the ceiling.

use crate::{
    counters,
    ffi::limit_table::limit_table,
    ioctl,
    log::LogBuffer,
    module_parameters,
    uapi, //
};
use core::fmt::Write;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Value that means "no limit": `KWASMI_UNLIMITED`, which bindgen does not translate.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// One limit.
pub(crate) struct Limit {
    /// `KWASMI_LIMIT_*`.
    pub(crate) id: u32,
    name: &'static str,
    default: u64,
    minimum: u64,
    ceiling: fn() -> u64,
}

impl Limit {
    /// Returns the highest value that a caller may request.
    pub(crate) fn ceiling(&self) -> u64 {
        match (self.ceiling)() {
            0 if self.id == uapi::KWASMI_LIMIT_TOTAL_HEAP => HALF_OF_MEMORY.load(Relaxed),
            ceiling => ceiling,
        }
    }

    /// Returns the value that applies if the caller requests none.
    pub(crate) fn default(&self) -> u64 {
        self.default.min(self.ceiling())
    }

    /// Writes to `log` that `requested` is out of range, and the range.
    fn log_out_of_range(&self, requested: u64, log: &mut LogBuffer) {
        let _ = write!(
            log,
            "{}: requested {requested}, least {}, greatest ",
            self.name, self.minimum
        );
        let _ = match self.ceiling() {
            UNLIMITED => log.write_str("unlimited"),
            ceiling => write!(log, "{ceiling}"),
        };
    }
}

/// Half of the machine's memory when kwasmi was loaded, in bytes.
static HALF_OF_MEMORY: Atomic<u64> = Atomic::new(0);

/// Determines the size of the machine's memory. Must be called before any limit is used.
pub(crate) fn begin() {
    let mut info = bindings::sysinfo::default();
    // SAFETY: `si_meminfo` requires room for a `sysinfo`, which `info` has.
    unsafe { bindings::si_meminfo(&mut info) };
    HALF_OF_MEMORY.store(
        (info.totalram as u64).saturating_mul(info.mem_unit.into()) / 2,
        Relaxed,
    );
}

/// Number of limits.
pub(crate) const COUNT: usize = uapi::KWASMI_LIMIT_USER_RUNNING as usize;

macro_rules! limits {
    ($(
        $limit:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $parameter:ident,
            $default:expr, $minimum:expr, $ceiling:expr, $text:literal;
    )*) => {
        /// All limits, in ascending order of their numbers.
        pub(crate) static LIMITS: [Limit; COUNT] = [$(
            Limit {
                id: uapi::$id,
                name: $name,
                default: $default,
                minimum: $minimum,
                ceiling: || module_parameters::$parameter.value(),
            },
        )*];

        // The numbers of the header.
        const _: () = {
            $(assert!(uapi::$id == $number, concat!(stringify!($id), " has another number in kwasmi.h"));)*
        };
    };
}

limit_table!(limits);

const _: () = {
    let mut index = 0;
    while index < COUNT {
        assert!(
            LIMITS[index].id as usize == index + 1,
            "limits are not in the order of their numbers"
        );
        index += 1;
    }
};

/// Returns the limit with this number.
pub(crate) fn find(id: u32) -> Option<&'static Limit> {
    LIMITS.get((id as usize).checked_sub(1)?)
}

/// Returns the ceiling of the limit with this number, or 0 if the number is unknown.
pub(crate) fn ceiling(id: u32) -> u64 {
    find(id).map_or(0, Limit::ceiling)
}

/// Stores in `declared` that a manifest allows `value` for the limit `name`.
///
/// # Errors
///
/// `ENOEXEC` if the limit is unknown or has a ceiling only, or if `value` is below the minimum;
/// `EDQUOT` if `value` is above the ceiling. `log` gets the reason.
pub(crate) fn declare(
    declared: &mut [u64; COUNT],
    name: &str,
    value: u64,
    log: &mut LogBuffer,
) -> Result {
    let known = LIMITS
        .iter()
        .zip(declared)
        .find(|(limit, _)| limit.name == name && limit.minimum != 0);
    let Some((limit, place)) = known else {
        let _ = write!(log, "the manifest has an unknown limit: {name:?}");
        return Err(ENOEXEC);
    };
    if value < limit.minimum {
        let _ = write!(
            log,
            "{}: the manifest has {value}, least {}",
            limit.name, limit.minimum
        );
        return Err(ENOEXEC);
    }
    if value > limit.ceiling() {
        let _ = write!(
            log,
            "{}: the manifest has {value}, greatest {}",
            limit.name,
            limit.ceiling()
        );
        log.reached(limit.id, limit.ceiling());
        return Err(EDQUOT);
    }
    *place = value;
    Ok(())
}

/// Values of all limits for one call.
pub(crate) struct CallLimits {
    values: [u64; COUNT],
    /// Values that the caller requested; 0 if none.
    requested: [u64; COUNT],
}

impl CallLimits {
    /// Returns the limits of a call: those that the caller requests with `len` structures
    /// `kwasmi_limit` at the address `addr`, and the defaults of all others.
    ///
    /// # Errors
    ///
    /// `EINVAL` if a limit is unknown, given twice or has a ceiling only, or if its value is below
    /// the minimum; `EDQUOT` if a value is above the ceiling; `EFAULT` if the structures are not
    /// readable. `log` gets the limit and its range.
    pub(crate) fn from_user(addr: u64, len: u32, log: &mut LogBuffer) -> Result<Self> {
        if len as usize > COUNT {
            let _ = write!(log, "{len} limits requested: there are {COUNT}");
            return Err(EINVAL);
        }
        let mut requested = [0; COUNT];
        for index in 0..len as usize {
            let request: uapi::kwasmi_limit = ioctl::element_from_user(addr, index)?;
            let Some((limit, value)) = find(request.limit)
                .zip(requested.get_mut((request.limit as usize).wrapping_sub(1)))
            else {
                let _ = write!(log, "unknown limit {}", request.limit);
                return Err(EINVAL);
            };
            if limit.minimum == 0 || request.reserved != 0 {
                let _ = write!(
                    log,
                    "{}: not a limit of one call, or a reserved field is not 0",
                    limit.name
                );
                return Err(EINVAL);
            }
            if *value != 0 {
                let _ = write!(log, "{}: duplicate limit", limit.name);
                return Err(EINVAL);
            }
            if request.value < limit.minimum {
                limit.log_out_of_range(request.value, log);
                return Err(EINVAL);
            }
            if request.value > limit.ceiling() {
                limit.log_out_of_range(request.value, log);
                log.reached(limit.id, limit.ceiling());
                return Err(EDQUOT);
            }
            *value = request.value;
        }
        let mut values = requested;
        for (value, limit) in values.iter_mut().zip(&LIMITS) {
            if *value == 0 {
                *value = limit.default().max(limit.minimum);
            }
        }
        Ok(Self { values, requested })
    }

    /// Restricts the limits to `declared`, the highest values that a manifest allows (0: not
    /// mentioned). A limit that the caller did not request gets the value of the manifest.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if the caller requested more than the manifest allows; `log` gets the limit.
    pub(crate) fn restrict(&mut self, declared: &[u64; COUNT], log: &mut LogBuffer) -> Result {
        let places = self.values.iter_mut().zip(&self.requested);
        for ((value, requested), (limit, most)) in places.zip(LIMITS.iter().zip(declared)) {
            if *most == 0 {
                continue;
            }
            if *requested > *most {
                let _ = write!(
                    log,
                    "{}: requested {requested}, limit of the manifest {most}",
                    limit.name
                );
                log.reached(limit.id, *most);
                return Err(EDQUOT);
            }
            if *requested == 0 {
                *value = *most;
            }
        }
        Ok(())
    }

    /// Returns the value of the limit with this number.
    pub(crate) fn get(&self, id: u32) -> u64 {
        let value = self
            .values
            .get((id as usize).wrapping_sub(1))
            .copied()
            .unwrap_or(0);
        // Only callers that reached the total heap ask for it. The value is the part that is open
        // to the caller.
        if id == uapi::KWASMI_LIMIT_TOTAL_HEAP {
            counters::most(value)
        } else {
            value
        }
    }

    /// Checks that `amount` is within the limit with this number.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if it is not; `log` gets the limit.
    pub(crate) fn check(&self, id: u32, amount: u64, log: &mut LogBuffer) -> Result {
        if amount <= self.get(id) {
            return Ok(());
        }
        let name = find(id).map_or("unknown", |limit| limit.name);
        let _ = write!(log, "{name}: requested {amount}, limit {}", self.get(id));
        log.reached(id, self.get(id));
        Err(EDQUOT)
    }
}

/// Returns the size of the reserve, in bytes.
pub(crate) fn reserve_bytes() -> usize {
    module_parameters::reserve_kib
        .value()
        .saturating_mul(KIB)
        .clamp(64 * KIB, 64 * MIB) as usize
}

/// Returns true if guests may import functions that make the engine fail.
pub(crate) fn has_fault_injection() -> bool {
    module_parameters::fault_injection.value()
}

/// Set if modules are compiled where that is possible.
pub(crate) fn has_compiler() -> bool {
    module_parameters::compiler.value()
}

/// Set if compiled accesses to memories are protected against speculative execution.
pub(crate) fn has_speculation_masks() -> bool {
    module_parameters::speculation_masks.value()
}
