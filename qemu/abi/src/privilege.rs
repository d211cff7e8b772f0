// SPDX-License-Identifier: GPL-2.0

//! What who is not root can do: run a module that was loaded and passed on, and nothing else.

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
    kwasmi_least,
    kwasmi_load,
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

/// A user who is nobody.
const NOBODY: u32 = 65_534;

/// Passes a descriptor on.
fn send(socket: &UnixStream, fd: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("it is sent");
}

/// Takes a descriptor that was passed on.
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

/// Gives up all that root has.
fn become_nobody() -> bool {
    become_user(NOBODY)
}

/// Becomes a user who has nothing of root's; whether that went well.
pub(crate) fn become_user(id: u32) -> bool {
    // SAFETY: It has no requirements.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: As above.
    let group = unsafe { libc::setresgid(id, id, id) };
    // SAFETY: As above.
    let user = unsafe { libc::setresuid(id, id, id) };
    [groups, group, user] == [0; 3]
}

/// What root alone may do, with the device that root opened: each `EPERM`.
fn is_refused(device: &File, file: &[u8]) -> bool {
    let mut load =
        kwasmi_load { wasm: crate::kernel::address(file), wasm_len: file.len() as u64, ..kwasmi_load::default() };
    owned(call(device, uapi::IOC_LOAD, &mut load)).err() == Some(libc::EPERM)
        && call(device, uapi::IOC_DENY, &mut kwasmi_deny { sha256: [1; 32] }) == Err(libc::EPERM)
        && call(device, uapi::IOC_LEAST, &mut kwasmi_least::default()) == Err(libc::EPERM)
}

/// What a module does that was passed on over a Unix socket; the status says what went wrong.
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
        let Ok(instance) = start_with(&module, kwasmi_start::default()).0 else {
            return 3;
        };
        if run(&instance).map(|end| end.code) != Ok(42) {
            return 4;
        }
        // Beyond the manifest's limits nobody gets.
        let more = [crate::kernel::limit(uapi::KWASMI_LIMIT_FUEL, 2_000_000)];
        if start_with(&limited, crate::kernel::limited(&more)).0.err() != Some(libc::EDQUOT) {
            return 5;
        }
        // In a Unix socket the instance's own descriptor could hide.
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
        // Its own way to the device there is none.
        if File::options().read(true).write(true).open("/dev/kwasmi").is_ok() || File::open("/dev/kwasmi").is_ok() {
            return 3;
        }
        if !is_refused(&device, &file) {
            return 4;
        }
        // Root in a user namespace of its own is nobody here.
        // SAFETY: It has no requirements; this process has one thread.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
            return 5;
        }
        if is_refused(&device, &file) { 0 } else { 6 }
    });
    assert_eq!(child.wait(), 0);
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("nobody runs a module that was passed on, within its manifest", passed_on);
    tests.add("and can do nothing else, nor as root of a user namespace", nothing_else);
}
