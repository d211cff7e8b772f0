// SPDX-License-Identifier: GPL-2.0

//! Tests of the ioctls for services.

use crate::{
    fuzz::Random,
    kernel::{
        Answer,
        address,
        call,
        device,
        ioctl,
        module,
        owned,
        run,
        start, //
    },
    ktap::Tests,
    signals::{
        self,
        LOOP, //
    },
    task::{
        self,
        Child, //
    },
};
use kwasmi::uapi::{
    self,
    kwasmi_find,
    kwasmi_list_services,
    kwasmi_publish,
    kwasmi_run,
    kwasmi_service,
    kwasmi_wait, //
};
use std::{
    ffi::c_char,
    fs::File,
    io::{
        Read as _,
        Seek as _,
        Write as _, //
    },
    os::fd::{
        AsRawFd,
        OwnedFd, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Program that ends at once.
const SHORT: &str = r#"(module (func (export "_start")))"#;

/// Program that traps.
const TRAP: &str = r#"(module (func (export "_start") unreachable))"#;

/// Returns a name, padded with zeros.
pub(crate) fn chars(name: &str) -> [c_char; 72] {
    let mut chars = [0; 72];
    for (place, byte) in chars.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    chars
}

/// Publishes an instance, with a descriptor of a log file or -1.
pub(crate) fn publish(instance: &OwnedFd, name: &str, log: i32) -> Answer {
    call(instance, uapi::IOC_PUBLISH, &mut kwasmi_publish { name: chars(name), log, flags: 0 })
}

/// Gives the name of a service of this process to an instance.
pub(crate) fn replace(instance: &OwnedFd, name: &str) -> Answer {
    let flags = uapi::KWASMI_PUBLISH_REPLACE;
    call(instance, uapi::IOC_PUBLISH, &mut kwasmi_publish { name: chars(name), log: -1, flags })
}

/// Publishes an instance without a log. Panics if it is refused.
pub(crate) fn publish_named(instance: &OwnedFd, name: &str) {
    assert_eq!(publish(instance, name, -1), Ok(0));
}

pub(crate) fn find(name: &str) -> Result<OwnedFd, i32> {
    owned(call(&device(), uapi::IOC_FIND, &mut kwasmi_find { name: chars(name) }))
}

pub(crate) fn describe(service: &OwnedFd) -> kwasmi_service {
    let mut answer = kwasmi_service::default();
    assert_eq!(call(service, uapi::IOC_SERVICE, &mut answer), Ok(0));
    answer
}

pub(crate) fn wait(service: &OwnedFd, state: u32, timeout: u64) -> Answer {
    call(service, uapi::IOC_WAIT, &mut kwasmi_wait { timeout, state, reserved: 0 })
}

pub(crate) fn wait_for_end(service: &OwnedFd) -> Answer {
    wait(service, uapi::KWASMI_SERVICE_ENDED, u64::MAX)
}

pub(crate) fn result(service: &OwnedFd) -> Result<kwasmi_run, i32> {
    let mut request = kwasmi_run::default();
    call(service, uapi::IOC_RESULT, &mut request).map(|_| request)
}

/// Calls an ioctl without an argument.
pub(crate) fn plain(service: &OwnedFd, command: u32) -> Answer {
    // SAFETY: The commands that the tests pass take no argument: the kernel writes no memory.
    unsafe { ioctl(service.as_raw_fd(), u64::from(command), 0) }
}

/// Returns the number of services, and the first ones up to the capacity.
fn list(capacity: usize) -> (u32, Vec<kwasmi_service>) {
    let mut services = vec![kwasmi_service::default(); capacity];
    let mut request = kwasmi_list_services {
        services: services.as_mut_ptr().expose_provenance() as u64,
        services_len: u32::try_from(capacity).expect("few"),
        reserved: 0,
    };
    assert_eq!(call(&device(), uapi::IOC_LIST_SERVICES, &mut request), Ok(0));
    (request.services_len, services)
}

/// Starts an instance and publishes it.
fn service(text: &str, name: &str) -> (OwnedFd, OwnedFd) {
    let instance = start(&module(text));
    assert_eq!(publish(&instance, name, -1), Ok(0));
    let service = find(name).expect("there");
    (instance, service)
}

/// Returns a memory file (memfd) for a log.
fn log_file() -> File {
    // SAFETY: The name is a string with a NUL.
    let fd = unsafe { libc::memfd_create(c"log".as_ptr(), libc::MFD_CLOEXEC) };
    File::from(owned(Ok(fd)).expect("a file"))
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("SERVICE and RESULT report the state and the ending of a published guest", || {
        let (instance, service) = service(TRAP, "a-1._z");
        let ready = describe(&service);
        assert_eq!((ready.name, ready.state), (chars("a-1._z"), uapi::KWASMI_SERVICE_READY));
        // SAFETY: The call has no requirements.
        assert_eq!((ready.pid, ready.uid), (unsafe { libc::getpid() }, 0));
        assert_eq!((ready.module, ready.version), ([0; 72], [0; 3]));
        assert_ne!((ready.since, ready.sha256), (0, [0; 32]));
        assert_eq!(result(&service).err(), Some(libc::EAGAIN));
        let end = run(&instance).expect("runs");
        assert_eq!(wait_for_end(&service), Ok(0));
        let ended = describe(&service);
        let expected = (uapi::KWASMI_SERVICE_ENDED, uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE);
        assert_eq!((ended.state, ended.status, ended.code), expected);
        let told = result(&service).expect("ended");
        assert_eq!(
            (told.status, told.code, told.fuel_used, told.heap_peak, told.stack_peak),
            (end.status, end.code, end.fuel_used, end.heap_peak, end.stack_peak)
        );
        assert_ne!(told.log_len, 0);
        drop(instance);
        // The service descriptor still reports how the guest ended when the instance is freed.
        let gone = describe(&service);
        assert_eq!((gone.state, gone.pid), (uapi::KWASMI_SERVICE_REMOVED, 0));
        assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_TRAPPED);
        assert_eq!(find("a-1._z").err(), Some(libc::ENOENT));
    });
    tests.add("PUBLISH refuses invalid requests", || {
        let instance = start(&module(SHORT));
        let long = "a".repeat(65);
        for name in ["", "A", "a b", "a/b", "\u{e9}", "a\n", &long, &"a".repeat(72)] {
            assert_eq!(publish(&instance, name, -1), Err(libc::EINVAL), "{name}");
            assert_eq!(find(name).err(), Some(libc::EINVAL), "{name}");
        }
        let mut garbage = kwasmi_publish { name: chars("a"), log: -1, flags: 0 };
        garbage.name[2] = 1;
        assert_eq!(call(&instance, uapi::IOC_PUBLISH, &mut garbage), Err(libc::EINVAL));
        for flags in [2, 3, 1 << 31] {
            let mut flags = kwasmi_publish { name: chars("a"), log: -1, flags };
            assert_eq!(call(&instance, uapi::IOC_PUBLISH, &mut flags), Err(libc::EINVAL));
        }
        for fd in [-2, 1_000, i32::MAX] {
            assert_eq!(publish(&instance, "a", fd), Err(libc::EBADF), "{fd}");
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let folder = File::open("/").expect("there");
        let others = [reader.as_raw_fd(), writer.as_raw_fd(), one.as_raw_fd(), other.as_raw_fd(), folder.as_raw_fd()];
        for fd in others.into_iter().chain([instance.as_raw_fd()]) {
            assert_eq!(publish(&instance, "a", fd), Err(libc::EINVAL), "{fd}");
        }
        assert_eq!(find("a").err(), Some(libc::ENOENT));
        assert_eq!(publish(&instance, &"a".repeat(64), -1), Ok(0));
        assert_eq!(publish(&instance, "b", -1), Err(libc::EBUSY));
        let ran = start(&module(SHORT));
        run(&ran).expect("runs");
        assert_eq!(publish(&ran, "b", -1), Err(libc::EBUSY));
    });
    tests.add("a name can be taken over only from a service that has ended", || {
        let (first, of_first) = service(TRAP, "name");
        let second = start(&module(SHORT));
        assert_eq!(publish(&second, "name", -1), Err(libc::EEXIST));
        assert_eq!(plain(&of_first, uapi::IOC_REMOVE), Err(libc::EBUSY));
        run(&first).expect("runs");
        assert_eq!(publish(&second, "name", -1), Ok(0));
        assert_eq!(wait(&of_first, uapi::KWASMI_SERVICE_REMOVED, u64::MAX), Ok(0));
        assert_eq!(describe(&of_first).state, uapi::KWASMI_SERVICE_REMOVED);
        // Neither the first service nor its end takes the name from the second.
        assert_eq!(plain(&of_first, uapi::IOC_REMOVE), Ok(0));
        drop(first);
        let of_second = find("name").expect("there");
        assert_eq!(describe(&of_second).state, uapi::KWASMI_SERVICE_READY);
        run(&second).expect("runs");
        assert_eq!(plain(&of_second, uapi::IOC_REMOVE), Ok(0));
        assert_eq!(find("name").err(), Some(libc::ENOENT));
    });
    tests.add("WAIT refuses invalid requests and obeys its timeout", || {
        let (_instance, service) = service(SHORT, "name");
        for state in [uapi::KWASMI_SERVICE_READY, uapi::KWASMI_SERVICE_RUNNING, 4, u32::MAX] {
            assert_eq!(wait(&service, state, 1), Err(libc::EINVAL), "{state}");
        }
        let mut reserved = kwasmi_wait { timeout: 1, state: uapi::KWASMI_SERVICE_ENDED, reserved: 1 };
        assert_eq!(call(&service, uapi::IOC_WAIT, &mut reserved), Err(libc::EINVAL));
        for timeout in [0, 1, 30_000_000] {
            let before = Instant::now();
            assert_eq!(wait(&service, uapi::KWASMI_SERVICE_ENDED, timeout), Err(libc::ETIMEDOUT));
            assert!(before.elapsed() >= Duration::from_nanos(timeout));
        }
        assert_eq!(call(&service, uapi::IOC_START, &mut kwasmi_wait::default()), Err(libc::ENOTTY));
    });
    tests.add("WAIT returns when the guest is killed or its instance descriptor is closed", || {
        for by_kill in [true, false] {
            let (instance, service) = service(LOOP, "name");
            let end = thread::scope(|scope| {
                let runner = scope.spawn(|| run(&instance).expect("ends").status);
                let waiter = scope.spawn(|| wait_for_end(&service));
                thread::sleep(Duration::from_millis(50));
                assert_eq!(describe(&service).state, uapi::KWASMI_SERVICE_RUNNING);
                if by_kill {
                    assert_eq!(plain(&service, uapi::IOC_KILL), Ok(0));
                } else {
                    signals::kill(instance.as_raw_fd());
                }
                assert_eq!(waiter.join().expect("no panic"), Ok(0));
                runner.join().expect("no panic")
            });
            assert_eq!((end, result(&service).expect("ended").status), (uapi::KWASMI_KILLED, uapi::KWASMI_KILLED));
        }
        // An instance that never ran.
        let (instance, service) = service(LOOP, "name");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_end(&service));
            thread::sleep(Duration::from_millis(50));
            drop(instance);
            assert_eq!(waiter.join().expect("no panic"), Ok(0));
        });
        assert_eq!(result(&service).expect("ended").status, uapi::KWASMI_KILLED);
        assert_eq!(plain(&service, uapi::IOC_KILL), Ok(0));
    });
    tests.add("LIST_SERVICES lists names in order, up to the capacity", || {
        let module = module(SHORT);
        let names = ["b", "a", "a-long-name", "c.1"];
        let instances: Vec<_> = names.iter().map(|_| start(&module)).collect();
        for (instance, name) in instances.iter().zip(names) {
            assert_eq!(publish(instance, name, -1), Ok(0));
        }
        let (count, services) = list(10);
        assert_eq!(count, 4);
        let found: Vec<_> = services[..4].iter().map(|service| service.name).collect();
        assert_eq!(found, ["a", "a-long-name", "b", "c.1"].map(chars));
        assert_eq!(services[4].name, [0; 72]);
        let (count, services) = list(1);
        assert_eq!((count, services[0].name), (4, chars("a")));
        assert_eq!(list(0).0, 4);
        let mut request = kwasmi_list_services { services: 1, services_len: 1, reserved: 0 };
        assert_eq!(call(&device(), uapi::IOC_LIST_SERVICES, &mut request), Err(libc::EFAULT));
        drop(instances);
        assert_eq!(list(10).0, 0);
    });
    tests.add("LOG returns the file, until the instance is freed", || {
        let mut file = log_file();
        file.write_all(b"text").expect("room");
        let instance = start(&module(SHORT));
        assert_eq!(publish(&instance, "name", file.as_raw_fd()), Ok(0));
        let service = find("name").expect("there");
        let mut log = File::from(owned(plain(&service, uapi::IOC_LOG)).expect("there"));
        let mut text = String::new();
        log.rewind().expect("a file");
        log.read_to_string(&mut text).expect("a file");
        assert_eq!(text, "text");
        drop(instance);
        assert_eq!(plain(&service, uapi::IOC_LOG), Err(libc::ENOENT));
        let (_instance, without) = self::service(SHORT, "other");
        assert_eq!(plain(&without, uapi::IOC_LOG), Err(libc::ENOENT));
    });
    tests.add("four tasks publish, find, kill and free services at random", || {
        let module = &module(LOOP);
        thread::scope(|scope| {
            for seed in 1..5 {
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..crate::scale::iterations(200) {
                        let name = format!("n{}", random.below(3));
                        if random.below(2) == 0 {
                            if let Ok(service) = find(&name) {
                                let _ = describe(&service);
                                let _ = plain(&service, [uapi::IOC_KILL, uapi::IOC_REMOVE][random.below(2)]);
                                let _ = wait(&service, 2 + u32::try_from(random.below(2)).unwrap_or(0), 1_000_000);
                                let _ = result(&service);
                            }
                            continue;
                        }
                        let instance = start(module);
                        if publish(&instance, &name, -1).is_ok() && random.below(2) == 0 {
                            thread::scope(|scope| {
                                let runner = scope.spawn(|| run(&instance));
                                thread::sleep(Duration::from_micros(random.below(2000) as u64));
                                signals::kill(instance.as_raw_fd());
                                assert_eq!(runner.join().expect("no panic").expect("ends").status, uapi::KWASMI_KILLED);
                            });
                        }
                    }
                });
            }
        });
        assert_eq!(list(10).0, 0);
    });
    tests.add("root without CAP_SYS_ADMIN may look at a service, and neither end it nor read its output", || {
        let (_instance, service) = service(SHORT, "name");
        let child = Child::start(move || {
            if task::drop_sys_admin().is_err() {
                return 2;
            }
            if describe(&service).name != chars("name") {
                return 3;
            }
            let commands = [uapi::IOC_KILL, uapi::IOC_LOG, uapi::IOC_REMOVE];
            if commands.into_iter().all(|command| plain(&service, command) == Err(libc::EPERM)) { 0 } else { 4 }
        });
        assert_eq!(child.wait(), 0);
    });
    tests.add("LIST_SERVICES refuses an address outside user space", || {
        let (_instance, _service) = service(SHORT, "name");
        let entries = vec![0_u8; size_of::<kwasmi_service>() - 1];
        let mut request =
            kwasmi_list_services { services: address(&entries) + (1 << 62), services_len: 1, reserved: 0 };
        assert_eq!(call(&device(), uapi::IOC_LIST_SERVICES, &mut request), Err(libc::EFAULT));
    });
}
