// SPDX-License-Identifier: GPL-2.0

//! Tests of `KWASMI_IOC_INFO`, and of unknown commands.

use crate::{
    kernel::{
        call,
        device,
        info,
        ioctl,
        module,
        start, //
    },
    ktap::Tests,
    pool::pool_of,
    services::{
        find,
        publish_named, //
    },
};
use kwasmi::uapi;
use std::os::{
    fd::AsRawFd,
    unix::fs::{
        FileTypeExt,
        MetadataExt, //
    },
};

const PROGRAM: &str = r#"(module (func (export "_start")))"#;

/// Checks that unknown commands are ENOTTY: all numbers near the known ones, in every direction,
/// with sizes near the known ones.
fn unknown(fd: i32, ours: &[u32]) {
    let sizes = [0, 1, 8, 16, 24, 40, 47, 48, 49, 56, 64, 72, 80, 88, 96, 104, 120, 128, 144, 152, 4096, 0x3fff];
    let mut buffer = vec![0_u8; 0x4000];
    for direction in 0..4_u32 {
        for number in 0x70..0xa0_u32 {
            for size in sizes {
                let command = direction << 30 | size << 16 | uapi::KWASMI_IOC_TYPE << 8 | number;
                if ours.contains(&command) {
                    continue;
                }
                let address = buffer.as_mut_ptr().expose_provenance();
                // SAFETY: The buffer has the largest size that a command can have.
                let answer = unsafe { ioctl(fd, u64::from(command), address) };
                assert_eq!(answer, Err(libc::ENOTTY), "{command:#x}");
            }
        }
    }
    // Commands of other subsystems, and the largest number.
    for command in [0x5401_u64, 0x541b, 0x5421 + 0x1_0000, 0xffff_ffff] {
        let address = buffer.as_mut_ptr().expose_provenance();
        // SAFETY: The buffer has the largest size that a command can have.
        let answer = unsafe { ioctl(fd, command, address) };
        assert_eq!(answer, Err(libc::ENOTTY), "{command:#x}");
    }
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("the device is a character device that only root can open", || {
        let metadata = std::fs::metadata("/dev/kwasmi").expect("there");
        assert!(metadata.file_type().is_char_device());
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o600, 0, 0));
    });
    tests.add("INFO returns the version and the interface", || {
        let info = info();
        assert_eq!((info.abi, info.unsafe_modules), (uapi::KWASMI_ABI, 0));
        assert_ne!(info.features & u64::from(uapi::KWASMI_FEATURE_WASI_PREVIEW1), 0);
        assert!(info.version[0] != 0 && info.version[31] == 0);
        assert!(info.engine_stack_peak_bytes < info.engine_stack_bytes);
    });
    tests.add("INFO to addresses that cannot be written is EFAULT", || {
        let device = device();
        for address in [0, 8, usize::MAX, usize::MAX - 64, 1 << 63, 0xffff_8000_0000_0000] {
            // SAFETY: Nothing of this process is mapped at these addresses, so the kernel cannot
            // write there.
            let answer = unsafe { ioctl(device.as_raw_fd(), u64::from(uapi::IOC_INFO), address) };
            assert_eq!(answer, Err(libc::EFAULT), "{address:#x}");
        }
    });
    tests.add("INFO to an unaligned address succeeds", || {
        let mut buffer = vec![0_u8; size_of::<uapi::kwasmi_info>() + 1];
        let address = buffer.as_mut_ptr().expose_provenance() + 1;
        // SAFETY: The buffer has room for the structure at offset 1.
        let answer = unsafe { ioctl(device().as_raw_fd(), u64::from(uapi::IOC_INFO), address) };
        assert_eq!(answer, Ok(0));
        assert_eq!(u32::from(buffer[1]), uapi::KWASMI_ABI);
    });
    tests.add("unknown commands on the device are ENOTTY", || {
        let ours = [
            uapi::IOC_INFO,
            uapi::IOC_LOAD,
            uapi::IOC_LIST_LIMITS,
            uapi::IOC_POLICY,
            uapi::IOC_DENY,
            uapi::IOC_LIST_DENIED,
            uapi::IOC_SET_MIN_VERSION,
            uapi::IOC_LIST_MIN_VERSIONS,
            uapi::IOC_FIND,
            uapi::IOC_LIST_SERVICES,
        ];
        unknown(device().as_raw_fd(), &ours);
    });
    tests.add("unknown commands on a module are ENOTTY", || {
        let ours = [uapi::IOC_START, uapi::IOC_MODULE, uapi::IOC_DUMP, uapi::IOC_COUNTERS, uapi::IOC_POOL];
        unknown(module(PROGRAM).as_raw_fd(), &ours);
    });
    tests.add("unknown commands on a pool are ENOTTY", || {
        let ours = [
            uapi::IOC_START,
            uapi::IOC_KILL,
            uapi::IOC_PUBLISH,
            uapi::IOC_COUNTERS,
            uapi::IOC_FUNCTION,
            uapi::IOC_CALL,
            uapi::IOC_RING,
            uapi::IOC_FINISH,
        ];
        unknown(pool_of(&module(PROGRAM)).as_raw_fd(), &ours);
    });
    tests.add("unknown commands on a service are ENOTTY", || {
        let instance = start(&module(PROGRAM));
        publish_named(&instance, "name");
        let ours = [
            uapi::IOC_KILL,
            uapi::IOC_SERVICE,
            uapi::IOC_WAIT,
            uapi::IOC_RESULT,
            uapi::IOC_LOG,
            uapi::IOC_REMOVE,
            uapi::IOC_COUNTERS,
            uapi::IOC_FUNCTION,
            uapi::IOC_CALL,
            uapi::IOC_RING,
        ];
        unknown(find("name").expect("there").as_raw_fd(), &ours);
    });
    tests.add("unknown commands on an instance are ENOTTY", || {
        let module = module(PROGRAM);
        let ours = [
            uapi::IOC_RUN,
            uapi::IOC_KILL,
            uapi::IOC_RESULTS,
            uapi::IOC_PUBLISH,
            uapi::IOC_COUNTERS,
            uapi::IOC_FUNCTION,
            uapi::IOC_CALL,
            uapi::IOC_RING,
        ];
        unknown(start(&module).as_raw_fd(), &ours);
    });
    tests.add("DUMP of a module that is interpreted is EOPNOTSUPP", || {
        let answer = call(&module(PROGRAM), uapi::IOC_DUMP, &mut uapi::kwasmi_dump::default());
        assert_eq!(answer, Err(libc::EOPNOTSUPP));
    });
    tests.add("module, pool and instance descriptors cannot be read, written or mapped", || {
        let module = module(PROGRAM);
        let instance = start(&module);
        let pool = pool_of(&module);
        for fd in [module.as_raw_fd(), instance.as_raw_fd(), pool.as_raw_fd()] {
            let mut byte = 0_u8;
            // SAFETY: `byte` is writable and has the length that is passed.
            assert_eq!(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) }, -1);
            // SAFETY: `byte` is readable and has the length that is passed.
            assert_eq!(unsafe { libc::write(fd, (&raw const byte).cast(), 1) }, -1);
            // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
            let map = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
            assert_eq!(map, libc::MAP_FAILED);
        }
    });
}
