// SPDX-License-Identifier: GPL-2.0

//! Bytes that nobody thought of.

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

/// `xorshift64*`: the same numbers each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Any bytes; half of them get past the header of a module.
    pub(crate) fn module(&mut self) -> Vec<u8> {
        let mut wasm: Vec<u8> = (0..self.below(512)).map(|_| self.byte()).collect();
        if self.below(2) == 0 && wasm.len() >= 8 {
            wasm[..8].copy_from_slice(b"\0asm\x01\0\0\0");
        }
        wasm
    }
}

/// Loads and, if it is a module after all, runs it for a moment.
fn take(wasm: &[u8]) -> bool {
    let (module, log) = load(wasm);
    match module {
        Err(errno) => {
            // What claims to have more than it may is not looked at further.
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
    tests.add("random bytes, again and again", || {
        let mut random = Random(0x5eed);
        for _ in 0..crate::effort::times(10_000) {
            take(&random.module());
        }
    });
    tests.add("a module with some bytes changed, again and again", || {
        let wasm = wat::parse_str(crate::run::CAT).expect("valid text");
        let mut random = Random(0xfeed);
        let mut modules = 0;
        for _ in 0..crate::effort::times(5_000) {
            let mut changed = wasm.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(changed.len());
                changed[at] = random.byte();
            }
            modules += u32::from(take(&changed));
        }
        assert!(modules > crate::effort::times(100) / 2, "{modules} were modules");
    });
}
