// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_START`.

use crate::{
    kernel::{
        address,
        grant,
        info,
        limit,
        limited,
        module,
        run,
        start,
        start_with, //
    },
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_fd,
    kwasmi_start, //
};

const PROGRAM: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn refused(text: &str, request: kwasmi_start, errno: i32, words: &str) {
    let module = module(text);
    let (answer, log) = start_with(&module, request);
    assert_eq!(answer.err(), Some(errno), "{log}");
    assert!(log.contains(words), "{log:?} has not {words:?}");
}

fn refused_fds(fds: &[kwasmi_fd], errno: i32) {
    let request =
        kwasmi_start { fds: address(fds), fds_len: u32::try_from(fds.len()).expect("few"), ..kwasmi_start::default() };
    refused(PROGRAM, request, errno, "");
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("START makes an instance that outlives its module's descriptor", || {
        let module = module(PROGRAM);
        let instance = start(&module);
        drop(module);
        assert_eq!((info().modules, info().instances), (1, 1));
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
    });
    tests.add("START with unknown flags or reserved bits is EINVAL", || {
        let known = uapi::KWASMI_START_SIGPIPE | uapi::KWASMI_START_REACTOR;
        for bit in (0..32).filter(|bit| known & 1 << bit == 0) {
            let flags = kwasmi_start { flags: 1 << bit, ..kwasmi_start::default() };
            refused(PROGRAM, flags, libc::EINVAL, "");
        }
        for reserved in [1, u64::MAX, 1 << 63] {
            let request = kwasmi_start { reserved, ..kwasmi_start::default() };
            refused(PROGRAM, request, libc::EINVAL, "");
        }
    });
    tests.add("strings without a terminating NUL are EINVAL", || {
        let text = b"abc";
        for (args_len, env_len) in [(3, 0), (0, 3)] {
            let request =
                kwasmi_start { args: address(text), args_len, env: address(text), env_len, ..kwasmi_start::default() };
            refused(PROGRAM, request, libc::EINVAL, "NUL");
        }
    });
    tests.add("unreadable strings are EFAULT, too long ones E2BIG", || {
        for (args_len, errno) in [
            (8, libc::EFAULT),
            (u64::from(uapi::KWASMI_STRINGS_MAX), libc::EFAULT),
            (u64::from(uapi::KWASMI_STRINGS_MAX) + 1, libc::E2BIG),
            (u64::MAX, libc::E2BIG),
        ] {
            let request = kwasmi_start { args: 8, args_len, ..kwasmi_start::default() };
            refused(PROGRAM, request, errno, "");
        }
        let request = kwasmi_start { args_len: u64::MAX, env_len: u64::MAX, ..kwasmi_start::default() };
        refused(PROGRAM, request, libc::E2BIG, "");
    });
    tests.add("descriptors that are not open are EBADF", || {
        for fd in [-1, i32::MIN, i32::MAX, 1000] {
            refused_fds(&[grant(fd, 0)], libc::EBADF);
        }
        refused_fds(&[grant(0, 0), grant(-1, 1)], libc::EBADF);
    });
    tests.add("duplicate descriptors, out of range or with unknown rights are EINVAL", || {
        refused_fds(&[grant(0, 5), grant(1, 5)], libc::EINVAL);
        refused_fds(&[grant(0, uapi::KWASMI_GUEST_FDS_MAX)], libc::EINVAL);
        refused_fds(&[grant(0, u32::MAX)], libc::EINVAL);
        let rights = kwasmi_fd { rights: 1 << 30, ..grant(0, 0) };
        refused_fds(&[rights], libc::EINVAL);
        let inheriting = kwasmi_fd { rights_inheriting: 1 << 63, ..grant(0, 0) };
        refused_fds(&[inheriting], libc::EINVAL);
        let flags = kwasmi_fd { flags: 1, ..grant(0, 0) };
        refused_fds(&[flags], libc::EINVAL);
    });
    tests.add("too many descriptors are E2BIG, unreadable ones EFAULT", || {
        for (fds_len, errno) in
            [(uapi::KWASMI_GUEST_FDS_MAX + 1, libc::E2BIG), (u32::MAX, libc::E2BIG), (1, libc::EFAULT)]
        {
            let request = kwasmi_start { fds: 8, fds_len, ..kwasmi_start::default() };
            refused(PROGRAM, request, errno, "");
        }
    });
    tests.add("START accepts 1,024 descriptors", || {
        let fds: Vec<_> = (0..uapi::KWASMI_GUEST_FDS_MAX).map(|guest_fd| grant(0, guest_fd)).collect();
        let module = module(PROGRAM);
        let instance = crate::kernel::start_with_fds(&module, &fds);
        assert_eq!(run(&instance).expect("runs").status, uapi::KWASMI_EXITED);
    });
    tests.add("a segment out of bounds is ENOEXEC", || {
        let text = r#"(module (memory 1) (data (i32.const 65535) "xy") (func (export "_start")))"#;
        refused(text, kwasmi_start::default(), libc::ENOEXEC, "instantiated");
    });
    tests.add("a heap that is too small is EDQUOT and does not use the reserve", || {
        let before = info().reserve_peak_bytes;
        let module = module(PROGRAM);
        let args = vec![0_u8; 12_000];
        for _ in 0..200 {
            let limits = [limit(uapi::KWASMI_LIMIT_HEAP, 1)];
            let request = kwasmi_start { args: address(&args), args_len: 12_000, ..limited(&limits) };
            assert_eq!(start_with(&module, request).0.err(), Some(libc::EDQUOT));
        }
        assert!(info().reserve_peak_bytes < before + 100_000, "{}", info().reserve_peak_bytes);
        for heap in [100, 1000, 4000, 20_000] {
            let limits = [limit(uapi::KWASMI_LIMIT_HEAP, heap)];
            assert_eq!(start_with(&module, limited(&limits)).0.err(), Some(libc::EDQUOT), "{heap}");
        }
        // Other instances of the module are not affected.
        assert_eq!(run(&start(&module)).expect("runs").status, uapi::KWASMI_EXITED);
    });
}
