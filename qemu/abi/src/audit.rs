// SPDX-License-Identifier: GPL-2.0

//! Records of the kernel's audit. There is no audit daemon, so that the kernel prints them to its log.

use crate::{
    kernel::{
        load,
        start, //
    },
    ktap::Tests,
    signing::{
        accepted,
        module_file, //
    },
};
use rustix::net::{
    AddressFamily,
    SendFlags,
    SocketType,
    netlink::{
        self,
        SocketAddrNetlink, //
    }, //
};
use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

/// `AUDIT_SET` of `linux/audit.h`.
const AUDIT_SET: u16 = 1001;

/// `AUDIT_STATUS_ENABLED`.
const STATUS_ENABLED: u32 = 1;

/// `AUDIT_ADD_RULE` and `AUDIT_DEL_RULE`.
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;

/// Sends a request of this kind to the kernel's audit.
fn send(kind: u16, payload: &[u32]) {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::AUDIT)).expect("a socket");
    let payload: Vec<u8> = payload.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let len = u32::try_from(16 + payload.len()).expect("short");
    // struct nlmsghdr; NLM_F_REQUEST.
    let header = [len.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &1_u16.to_ne_bytes(), &[0; 8]].concat();
    let message = [header, payload].concat();
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel).expect("it is sent");
}

/// Switches audit on or off.
pub(crate) fn enable(is_on: bool) {
    // struct audit_status: mask, enabled, and eight more.
    send(AUDIT_SET, &[STATUS_ENABLED, is_on.into(), 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// An audit rule for a system call that nobody makes; it goes when it is dropped. While there is a rule, each system call
/// collects what a record would need.
pub(crate) struct Rule(Vec<u32>);

impl Rule {
    /// Adds the rule.
    pub(crate) fn add() -> Self {
        // struct audit_rule_data: AUDIT_FILTER_EXIT, AUDIT_ALWAYS, no fields; a mask of system calls; fields; no text.
        let mut rule = vec![0; 3 + 64 + 3 * 64 + 1];
        (rule[0], rule[1]) = (4, 2);
        let call = usize::try_from(libc::SYS_kexec_load).expect("small");
        rule[3 + call / 32] = 1 << (call % 32);
        send(AUDIT_ADD_RULE, &rule);
        Self(rule)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        send(AUDIT_DEL_RULE, &self.0);
    }
}

/// What comes into the kernel log from now on.
struct Log(File);

impl Log {
    fn follow() -> Self {
        let mut file =
            File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").expect("the kernel log");
        let mut line = [0; 8192];
        // A record that was overwritten meanwhile is an error of its own.
        while !matches!(file.read(&mut line), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {}
        Self(file)
    }

    /// Waits for a line with all of these words; the line.
    fn wait_for(&mut self, words: &[&str]) -> String {
        let begin = Instant::now();
        let mut line = [0; 8192];
        while begin.elapsed() < Duration::from_secs(30) {
            let Ok(len) = self.0.read(&mut line) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let line = String::from_utf8_lossy(&line[..len]);
            if words.iter().all(|word| line.contains(word)) {
                return line.into_owned();
            }
        }
        panic!("no record with {words:?}");
    }
}

fn records() {
    // The kernel prints ten in five seconds.
    thread::sleep(Duration::from_secs(6));
    let mut log = Log::follow();
    enable(true);
    let module = accepted("p256-sha256");
    let line = log.wait_for(&["type=1316", "op=kwasmi-load", "res=1"]);
    for word in ["pid=", "uid=0", "auid=", "sha256=", "name=\"answer\"", "version=0.0.0", "verdict=signed", "errno=0"] {
        assert!(line.contains(word), "{line}: no {word}");
    }
    // A signer with a space in the name is written as digits: "test p256" begins so.
    assert!(line.contains("signer=746573742070323536"), "{line}");
    drop(start(&module));
    log.wait_for(&["type=1316", "op=kwasmi-start", "verdict=signed", "res=1"]);
    enable(false);
    // What is refused is recorded all the same.
    assert!(load(&module_file("of-a-stranger")).0.is_err());
    log.wait_for(&["type=1316", "op=kwasmi-load", "verdict=rejected", "errno=-126", "res=0"]);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("loads, starts and refused loads are recorded", records);
}
