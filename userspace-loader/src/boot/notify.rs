// SPDX-License-Identifier: GPL-2.0

//! Notification of a service manager, as by sd_notify(3).

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{
                SocketAddr,
                UnixDatagram, //
            }, //
        }, //
    },
};

/// Tells the service manager that the service has started, if the manager waits for that. An error
/// is ignored: the manager ends a service without a notification after its time limit.
pub fn ready() {
    if let Some(socket) = env::var_os("NOTIFY_SOCKET") {
        let _ = send(&socket, b"READY=1");
    }
}

/// Sends a message to the socket with this path, or with this abstract name after an `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_at_both_kinds_of_sockets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let name = format!("@kwasmi-test-{}", std::process::id());
        let named = UnixDatagram::bind(&path).expect("a socket");
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a name");
        let nameless = UnixDatagram::bind_addr(&address).expect("a socket");
        for (socket, to) in [(named, path.as_os_str()), (nameless, OsStr::new(&name))] {
            send(to, b"READY=1").expect("sent");
            let mut buffer = [0; 16];
            let count = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..count], b"READY=1");
        }
        assert!(send(OsStr::new("/nonexistent/socket"), b"").is_err());
    }
}
