// SPDX-License-Identifier: GPL-2.0

//! Instructions of an empty call, compared with those of `getppid(2)`. The VM's clock counts
//! instructions (`--icount`), so the figures hardly vary.

use crate::{
    calls::{
        Served,
        request, //
    },
    kernel::call,
    ktap::Tests,
};
use kwasmi::uapi;
use std::time::Instant;

/// Number of calls of one measurement.
const CALLS: u32 = 20_000;

/// Returns the nanoseconds of one `work`, which is repeated: the least of several measurements, as
/// timer interrupts take time as well.
fn cost(mut work: impl FnMut()) -> f64 {
    let measure = |_| {
        let begin = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..5).map(measure).fold(f64::INFINITY, f64::min)
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("an empty call takes few times the instructions of getppid", || {
        let served = Served::new(&[]);
        let fd = &*served.instance;
        // The library's function may keep the answer.
        // SAFETY: The call has no requirements.
        let getppid = cost(|| assert!(unsafe { libc::syscall(libc::SYS_getppid) } > 0));
        let refused = cost(|| assert_eq!(call(fd, 0, &mut 0_u64), Err(libc::ENOTTY)));
        let mut request = request(fd, "nothing", &[], &mut []);
        let empty = cost(|| {
            assert_eq!(call(fd, uapi::IOC_CALL, &mut request), Ok(0));
            assert_eq!(request.returned, 1);
        });
        println!("# getppid {getppid:.0}, refused ioctl {refused:.0}, empty call {empty:.0}: {:.2}", empty / getppid);
        assert!(empty < 10.0 * getppid, "{empty} for {getppid}");
        served.kill();
    });
}
