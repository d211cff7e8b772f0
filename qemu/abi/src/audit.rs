// SPDX-License-Identifier: GPL-2.0

//! Tests of audit records. No audit daemon runs in the VM, so the kernel prints the records to its
//! log.

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

/// Netlink message type `AUDIT_SET`, linux/audit.h.
const AUDIT_SET: u16 = 1001;

/// Mask bit `AUDIT_STATUS_ENABLED`, linux/audit.h.
const STATUS_ENABLED: u32 = 1;

/// Netlink message types `AUDIT_ADD_RULE` and `AUDIT_DEL_RULE`, linux/audit.h.
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;

/// Sends a request of type `kind` to the kernel's audit subsystem.
fn send(kind: u16, payload: &[u32]) {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::AUDIT)).expect("a socket");
    let payload: Vec<u8> = payload.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let len = u32::try_from(16 + payload.len()).expect("short");
    // `struct nlmsghdr` with the flag NLM_F_REQUEST.
    let header = [len.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &1_u16.to_ne_bytes(), &[0; 8]].concat();
    let message = [header, payload].concat();
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel).expect("it is sent");
}

/// Switches audit on or off.
pub(crate) fn enable(is_on: bool) {
    // `struct audit_status`: mask, enabled, and eight further fields.
    send(AUDIT_SET, &[STATUS_ENABLED, is_on.into(), 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// Audit rule for a system call that is not made (kexec_load), deleted when this is dropped. While
/// a rule exists, the kernel collects audit data in each system call.
pub(crate) struct Rule(Vec<u32>);

impl Rule {
    /// Adds the rule.
    pub(crate) fn add() -> Self {
        // `struct audit_rule_data`: AUDIT_FILTER_EXIT, AUDIT_ALWAYS, number of fields, mask of
        // system calls, fields, length of the text.
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

/// Reader of the kernel log, from the moment of its creation on.
struct Log(File);

impl Log {
    fn follow() -> Self {
        let mut file =
            File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").expect("the kernel log");
        let mut line = [0; 8192];
        // Skip also records that were overwritten (EPIPE).
        while !matches!(file.read(&mut line), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {}
        Self(file)
    }

    /// Waits at most 30 s for a line that contains all of these words. Returns the line.
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
    // The kernel's rate limit for printed records is ten in five seconds.
    thread::sleep(Duration::from_secs(6));
    let mut log = Log::follow();
    enable(true);
    let module = accepted("p256-sha256");
    let line = log.wait_for(&["type=1316", "op=kwasmi-load", "res=1"]);
    for word in ["pid=", "uid=0", "auid=", "sha256=", "name=\"answer\"", "version=0.0.0", "verdict=signed", "errno=0"] {
        assert!(line.contains(word), "{line}: no {word}");
    }
    // Audit encodes a value with a space in hexadecimal digits: this is "test p256".
    assert!(line.contains("signer=746573742070323536"), "{line}");
    drop(start(&module));
    log.wait_for(&["type=1316", "op=kwasmi-start", "verdict=signed", "res=1"]);
    enable(false);
    // A refused load is recorded also while audit is off.
    assert!(load(&module_file("of-a-stranger")).0.is_err());
    log.wait_for(&["type=1316", "op=kwasmi-load", "verdict=rejected", "errno=-126", "res=0"]);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("loads, starts and refused loads are recorded", records);
}
