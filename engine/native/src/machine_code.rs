// SPDX-License-Identifier: GPL-2.0

//! Machine code that the kernel's JIT made, in this process.
//!
//! The functions keep their distances from each other, so that calls among them are unchanged.
//! Calls of helpers get new distances, and a jump to the kernel's return thunk becomes a return, as
//! on a kernel without that thunk. Nothing else is changed.

use crate::{
    ffi::{
        Jit,
        JitFunction, //
    },
    host_operations::Uncompiled,
};
use kwasmi::{
    disassembly,
    machine_code::{
        Function,
        MachineCode, //
    }, //
};
use std::{
    collections::HashSet,
    io,
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};

/// Address of the machine code: less than 2 GiB from this program, which is linked at a low
/// address, and behind its heap, which the kernel puts up to 1 GiB behind the program.
const BASE: usize = 0x5000_0000;

/// Most bytes from the first function to the end of the last.
const SPAN_MAX: u64 = 512 << 20;

/// Alignment that the addresses keep: the size of the pages that the JIT puts functions into.
const ALIGN: u64 = 2 << 20;

/// Size of a call or jump: an operation code and a distance.
const BRANCH_LEN: usize = 5;

/// Operation code of a jump.
const JUMP: u8 = 0xe9;

/// A return, and traps behind it.
const RETURN: [u8; BRANCH_LEN] = [0xc3, 0xcc, 0xcc, 0xcc, 0xcc];

/// Memory that is not shared.
///
/// # Invariants
///
/// `start` is the start of a mapping of `len` bytes that this value owns.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the mapping. Nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

impl Mapping {
    /// Maps `len` zero bytes that are writable, at `address` if that is not 0.
    ///
    /// # Errors
    ///
    /// The errors of mmap(2).
    pub(crate) fn new(address: usize, len: usize) -> io::Result<Self> {
        let fixed = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: The mapping is new and anonymous, and replaces no other.
        let start = unsafe { libc::mmap(ptr::without_provenance_mut(address), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        // INVARIANT: It was just mapped.
        Ok(Self { start, len })
    }

    /// Changes what may be done with `len` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The errors of mprotect(2).
    pub(crate) fn protect(&mut self, offset: usize, len: usize, protection: i32) -> io::Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: The bytes are in the mapping by the check above, and this value owns the mapping.
        match unsafe { libc::mprotect(self.start.as_ptr().wrapping_add(offset).cast(), len, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Makes the mapping `len` bytes large, and possibly moves it. New bytes are zero.
    ///
    /// # Errors
    ///
    /// The errors of mremap(2).
    pub(crate) fn grow(self, len: usize) -> io::Result<Self> {
        let old = ManuallyDrop::new(self);
        // SAFETY: By the type invariant `old` owns the mapping, and is not used any more.
        let start = unsafe { libc::mremap(old.start.as_ptr().cast(), old.len, len, libc::MREMAP_MAYMOVE) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        // INVARIANT: The mapping was just moved there.
        Ok(Self { start, len })
    }

    /// Returns the address of the first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns the bytes.
    ///
    /// # Safety
    ///
    /// They must be readable and writable.
    unsafe fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant there are `len` bytes, which are this value's alone, and
        // initialised as the mapping is anonymous. The caller has not taken away access to them.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Returns `size` as a length in memory.
fn length(size: u64) -> Result<usize, String> {
    usize::try_from(size).map_err(|error| error.to_string())
}

/// Puts `code` into memory, in the place of what the JIT would make of `functions`, and fills in
/// the functions' entries.
///
/// # Errors
///
/// The reason as text, if it is not the machine code of `functions`, or cannot be mapped.
pub(crate) fn map(code: &MachineCode, functions: Uncompiled<'_>) -> Result<Mapping, String> {
    let Jit { functions, count, helpers, helpers_len, size_max: _ } = *functions.into_jit();
    // SAFETY: By the invariant of `Uncompiled` there are `count` functions, which nothing else
    // uses.
    let functions: &mut [JitFunction] = unsafe { slice::from_raw_parts_mut(functions, count) };
    // SAFETY: By the invariant of `Uncompiled` there are `helpers_len` addresses.
    let helpers = unsafe { slice::from_raw_parts(helpers, helpers_len) };
    let is_same = |(function, there): (&JitFunction, &Function)| function.len == there.instructions as usize;
    if functions.len() != code.functions.len() || !functions.iter().zip(&code.functions).all(is_same) {
        return Err("the machine code is that of another module or another version of the compiler".to_owned());
    }
    let first = code.functions.iter().map(|function| function.address).min().unwrap_or(0) / ALIGN * ALIGN;
    let ends = code.functions.iter().map(|function| function.address.saturating_add(function.code.len() as u64));
    let span = ends.max().unwrap_or(0).saturating_sub(first);
    if span > SPAN_MAX {
        return Err(format!("the functions span {span} bytes; at most {SPAN_MAX} are possible"));
    }
    let mut mapping = Mapping::new(BASE, length(span)?.max(1)).map_err(|error| error.to_string())?;
    let entries: HashSet<u64> = code.functions.iter().map(|function| function.address).collect();
    for (function, jit) in code.functions.iter().zip(functions) {
        let offset = length(function.address.wrapping_sub(first))?;
        let entry = BASE.checked_add(offset).ok_or("address")?;
        // SAFETY: The mapping is readable and writable until all functions are in it.
        let place = unsafe { mapping.bytes() }.get_mut(offset..).and_then(|rest| rest.get_mut(..function.code.len()));
        let place = place.ok_or("address")?;
        place.copy_from_slice(&function.code);
        redirect(function, code, helpers, &entries, entry, place)?;
        jit.entry = entry;
        jit.size = u32::try_from(function.code.len()).map_err(|error| error.to_string())?;
    }
    let len = mapping.len;
    mapping.protect(0, len, libc::PROT_READ | libc::PROT_EXEC).map_err(|error| error.to_string())?;
    Ok(mapping)
}

/// Redirects the calls and jumps of `function` to what is outside of the module. `place` has its
/// machine code, for the address `entry`.
fn redirect(
    function: &Function,
    code: &MachineCode,
    helpers: &[usize],
    entries: &HashSet<u64>,
    entry: usize,
    place: &mut [u8],
) -> Result<(), String> {
    for instruction in disassembly::instructions(function) {
        let Some(target) = disassembly::target(&instruction).filter(|target| !function.contains(*target)) else {
            continue;
        };
        if entries.contains(&target) {
            continue;
        }
        let offset = length(instruction.ip().wrapping_sub(function.address))?;
        let branch = place.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<BRANCH_LEN>());
        let branch = branch.filter(|_| instruction.len() == BRANCH_LEN).ok_or("an unexpected branch")?;
        let number = code.helpers.iter().position(|helper| *helper == target);
        match (number.and_then(|number| helpers.get(number)), *branch) {
            (Some(helper), [operation, ..]) => {
                let next = entry.checked_add(offset).and_then(|address| address.checked_add(BRANCH_LEN));
                let distance = i64::try_from(*helper).ok().zip(next.and_then(|next| i64::try_from(next).ok()));
                let distance = distance.and_then(|(helper, next)| i32::try_from(helper.checked_sub(next)?).ok());
                let [a, b, c, d] = distance.ok_or("a helper is too far away")?.to_le_bytes();
                *branch = [operation, a, b, c, d];
            }
            (None, [JUMP, ..]) => *branch = RETURN,
            (None, _) => return Err(format!("a call of unknown code at {target:#x}")),
        }
    }
    Ok(())
}
