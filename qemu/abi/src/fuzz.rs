// SPDX-License-Identifier: GPL-2.0

//! Tests with random modules.

use crate::{
    kernel::{
        limit,
        limited,
        load,
        run,
        start_with, //
    },
    ktap::Tests,
};
use kwasmi::uapi;

/// Pseudo-random generator `xorshift64*`, seeded so that each run of a test is the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a random number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a random number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit
    }

    /// Returns a random byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Returns up to 511 random bytes. About half of the results begin with the header of a module.
    pub(crate) fn module(&mut self) -> Vec<u8> {
        let mut wasm: Vec<u8> = (0..self.below(512)).map(|_| self.byte()).collect();
        if self.below(2) == 0 && wasm.len() >= 8 {
            wasm[..8].copy_from_slice(b"\0asm\x01\0\0\0");
        }
        wasm
    }
}

/// Loads `wasm` and, if it is accepted, runs it with limits. Returns true if it was accepted.
fn take(wasm: &[u8]) -> bool {
    let (module, log) = load(wasm);
    match module {
        Err(errno) => {
            // EDQUOT: a header claims a size above a limit, which is checked before the contents.
            assert!([libc::ENOEXEC, libc::EDQUOT].contains(&errno), "{errno}: {log}");
            assert!(!log.is_empty());
            false
        }
        Ok(module) => {
            let limits = [
                limit(uapi::KWASMI_LIMIT_FUEL, 20_000),
                limit(uapi::KWASMI_LIMIT_MEMORY, 1 << 20),
                limit(uapi::KWASMI_LIMIT_HEAP, 16 << 20),
            ];
            if let Ok(instance) = start_with(&module, limited(&limits)).0 {
                run(&instance).expect("ends");
            }
            true
        }
    }
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("random bytes are refused, or run within limits", || {
        let mut random = Random(0x5eed);
        for _ in 0..crate::scale::iterations(10_000) {
            take(&random.module());
        }
    });
    tests.add("modules with changed bytes are refused, or run within limits", || {
        let wasm = wat::parse_str(crate::run::CAT).expect("valid text");
        let mut random = Random(0xfeed);
        let mut modules = 0;
        for _ in 0..crate::scale::iterations(5_000) {
            let mut changed = wasm.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(changed.len());
                changed[at] = random.byte();
            }
            modules += u32::from(take(&changed));
        }
        assert!(modules > crate::scale::iterations(100) / 2, "{modules} were modules");
    });
}
