// SPDX-License-Identifier: GPL-2.0

//! Tests of callers without privileges: they may start and run a module whose descriptor root has
//! passed on, and nothing else.

use crate::{
    kernel::{
        call,
        device,
        owned,
        run,
        start_with, //
    },
    ktap::Tests,
    signing::{
        accepted,
        module_file, //
    },
    task::Child,
};
use kwasmi::uapi::{
    self,
    kwasmi_deny,
    kwasmi_dump,
    kwasmi_load,
    kwasmi_min_version,
    kwasmi_start, //
};
use rustix::net::{
    RecvAncillaryBuffer,
    RecvAncillaryMessage,
    RecvFlags,
    SendAncillaryBuffer,
    SendAncillaryMessage,
    SendFlags, //
};
use std::{
    fs::File,
    io::{
        IoSlice,
        IoSliceMut, //
    },
    mem::MaybeUninit,
    os::{
        fd::{
            AsFd as _,
            AsRawFd as _,
            OwnedFd, //
        },
        unix::net::UnixStream, //
    },
};

/// User id of nobody.
const NOBODY: u32 = 65_534;

/// Sends a descriptor over a Unix socket.
fn send(socket: &UnixStream, fd: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("it is sent");
}

/// Receives a descriptor from a Unix socket.
fn receive(socket: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    })
}

/// Changes to the user nobody, without any of root's privileges. Returns true on success.
fn become_nobody() -> bool {
    become_user(NOBODY)
}

/// Changes user, group and supplementary groups to an unprivileged user. Returns true on success.
pub(crate) fn become_user(id: u32) -> bool {
    // SAFETY: With a size of 0, `setgroups` reads no memory.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: `setresgid` has no memory requirements.
    let group = unsafe { libc::setresgid(id, id, id) };
    // SAFETY: `setresuid` has no memory requirements.
    let user = unsafe { libc::setresuid(id, id, id) };
    [groups, group, user] == [0; 3]
}

/// Returns true if LOAD, DENY and SET_MIN_VERSION, on a device that root has opened, are each
/// EPERM.
fn is_refused(device: &File, file: &[u8]) -> bool {
    let mut load =
        kwasmi_load { wasm: crate::kernel::address(file), wasm_len: file.len() as u64, ..kwasmi_load::default() };
    owned(call(device, uapi::IOC_LOAD, &mut load)).err() == Some(libc::EPERM)
        && call(device, uapi::IOC_DENY, &mut kwasmi_deny { sha256: [1; 32] }) == Err(libc::EPERM)
        && call(device, uapi::IOC_SET_MIN_VERSION, &mut kwasmi_min_version::default()) == Err(libc::EPERM)
}

/// Checks an unprivileged process that has received modules over a Unix socket. Its exit status
/// tells which step failed.
fn passed_on() {
    let module = accepted("manifest");
    let limited = accepted("limited");
    let (here, there) = UnixStream::pair().expect("a socket");
    let child = Child::start(move || {
        if !become_nobody() {
            return 1;
        }
        let (Some(module), Some(limited)) = (receive(&there), receive(&there)) else {
            return 2;
        };
        // Machine code, if there is any, is for root alone.
        if call(&module, uapi::IOC_DUMP, &mut kwasmi_dump::default()) != Err(libc::EPERM) {
            return 8;
        }
        let Ok(instance) = start_with(&module, kwasmi_start::default()).0 else {
            return 3;
        };
        if run(&instance).map(|end| end.code) != Ok(42) {
            return 4;
        }
        if call(&module, uapi::IOC_DUMP, &mut kwasmi_dump::default()) != Err(libc::EPERM) {
            return 8;
        }
        // A limit above the manifest's is refused.
        let more = [crate::kernel::limit(uapi::KWASMI_LIMIT_FUEL, 2_000_000)];
        if start_with(&limited, crate::kernel::limited(&more)).0.err() != Some(libc::EDQUOT) {
            return 5;
        }
        // A Unix socket is refused, since it could hold the instance's own descriptor in flight.
        let socket = [crate::kernel::grant(there.as_raw_fd(), 0)];
        let request = kwasmi_start { fds: crate::kernel::address(&socket), fds_len: 1, ..kwasmi_start::default() };
        if start_with(&module, request).0.err() != Some(libc::EPERM) {
            return 7;
        }
        match start_with(&limited, kwasmi_start::default()).0.map(|instance| run(&instance)) {
            Ok(Ok(end)) if end.status == uapi::KWASMI_LIMITED => 0,
            _ => 6,
        }
    });
    send(&here, &module);
    send(&here, &limited);
    drop((module, limited));
    assert_eq!(child.wait(), 0);
}

fn nothing_else() {
    let device = device();
    let file = module_file("manifest");
    let child = Child::start(move || {
        if !become_nobody() {
            return 1;
        }
        // The device itself cannot be opened.
        if File::options().read(true).write(true).open("/dev/kwasmi").is_ok() || File::open("/dev/kwasmi").is_ok() {
            return 3;
        }
        if !is_refused(&device, &file) {
            return 4;
        }
        // Root of a new user namespace is unprivileged here.
        // SAFETY: `unshare` has no memory requirements, and this process has one thread.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
            return 5;
        }
        if is_refused(&device, &file) { 0 } else { 6 }
    });
    assert_eq!(child.wait(), 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("an unprivileged process runs a received module within its manifest's limits", passed_on);
    tests.add("an unprivileged process, also as root of a user namespace, can do nothing else", nothing_else);
}
