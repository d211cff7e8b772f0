// SPDX-License-Identifier: GPL-2.0

//! Requests to a supervisor, over a Unix socket in `/run/kwasmi/NAME`.
//!
//! A connection carries one request and one answer, each a packet (SOCK_SEQPACKET) with a JSON
//! object. The request also carries the descriptor of the new module (SCM_RIGHTS), which its sender
//! has loaded: the kernel has checked the rights of the sender, not of the supervisor. Only root and
//! the user of the supervisor can connect: the socket has the mode 0600.

use super::Name;
use rustix::{
    io::{
        Errno,
        IoSlice,
        IoSliceMut, //
    },
    net::{
        self,
        AddressFamily,
        RecvAncillaryBuffer,
        RecvAncillaryMessage,
        RecvFlags,
        SendAncillaryBuffer,
        SendAncillaryMessage,
        SendFlags,
        SocketAddrUnix,
        SocketFlags,
        SocketType,
        sockopt::{
            self,
            Timeout, //
        }, //
    }, //
};
use serde::{
    Deserialize,
    Serialize,
    de::DeserializeOwned, //
};
use std::{
    fs::{
        self,
        DirBuilder,
        Permissions, //
    },
    io,
    mem::MaybeUninit,
    os::{
        fd::{
            AsFd,
            AsRawFd as _,
            BorrowedFd,
            OwnedFd, //
        },
        unix::fs::{
            DirBuilderExt as _,
            MetadataExt as _,
            PermissionsExt as _, //
        }, //
    },
    path::{
        Path,
        PathBuf, //
    },
    thread,
    time::Duration, //
};

/// Folder with a folder for each service.
const FOLDER: &str = "/run/kwasmi";

/// Name of the socket in the folder of a service.
const SOCKET: &str = "control";

/// Longest JSON object, in bytes.
const MESSAGE_MAX: usize = 64 << 10;

/// Longest time to wait for a client.
const CLIENT_TIME: Duration = Duration::from_secs(10);

/// Pause after accept(2) has failed, for example because no descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait for accept(2).
const BACKLOG: i32 = 16;

/// Text in procfs for the descriptor of a module.
const MODULE: &str = "anon_inode:[kwasmi-module]";

/// Request to replace the program of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// File of the new program, for messages.
    pub program: String,
    /// First argument of the new program (`argv[0]`).
    pub file_name: String,
    /// Set if the new program is a reactor.
    pub is_reactor: bool,
    /// Longest time for the initialisation of a reactor and its health check.
    pub health_timeout: Duration,
    /// Time for which a program that is not a reactor must run before it gets the name.
    pub settle: Duration,
    /// Longest time for the calls of the former program to finish; `None` for the default.
    pub drain: Option<Duration>,
}

/// Answer to [`Upgrade`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The new program has the name.
    Done {
        /// Notes for the user.
        notes: Vec<String>,
    },
    /// The upgrade failed. The former program keeps the name, unless the service has ended.
    Refused {
        /// Exit status of the command.
        status: u8,
        /// Reason.
        reason: String,
    },
}

/// Returns the folder of the service `name`.
fn folder(name: &Name) -> PathBuf {
    Path::new(FOLDER).join(&name.0)
}

/// Sends a message, with a descriptor if `fd` is one.
fn send(socket: BorrowedFd<'_>, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_MAX {
        return Err(Errno::MSGSIZE.into());
    }
    let fds: Vec<_> = fd.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message and its descriptor, if it has one.
fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<(T, Option<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = fds.flatten().next();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(bytes.get(..received.bytes).unwrap_or_default())?, fd))
}

/// Socket of a supervisor.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    folder: PathBuf,
    path: PathBuf,
    /// Device and inode of the file: another supervisor may have made a new one.
    id: (u64, u64),
}

impl Listener {
    /// Makes the socket of the service `name`, in place of that of an earlier service.
    ///
    /// # Errors
    ///
    /// The errors of making the folders and the socket.
    pub fn new(name: &Name) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder(name))?;
        Self::at(folder(name))
    }

    fn at(folder: PathBuf) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
        // Nobody can connect before listen(2).
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        net::listen(&socket, BACKLOG)?;
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { socket, folder, path, id: (file.dev(), file.ino()) })
    }

    /// Waits for requests and answers them with `serve`, which gets a request and the descriptor of
    /// a module. A client that sends no valid request gets no answer.
    pub fn serve(&self, mut serve: impl FnMut(&Upgrade, OwnedFd) -> Answer) -> ! {
        loop {
            match net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
                // A client that has ended does not affect the service.
                Ok(client) => drop(answer(client.as_fd(), &mut serve)),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Removes the file of the socket, and the folder of the service.
    pub fn remove(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.id) {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Reads the request of one client, and answers it.
fn answer(client: BorrowedFd<'_>, serve: &mut impl FnMut(&Upgrade, OwnedFd) -> Answer) -> io::Result<()> {
    sockopt::set_socket_timeout(client, Timeout::Recv, Some(CLIENT_TIME))?;
    sockopt::set_socket_timeout(client, Timeout::Send, Some(CLIENT_TIME))?;
    let (request, module) = receive(client)?;
    // Other files may have ioctls of their own.
    let module = module.filter(is_module).ok_or(Errno::INVAL)?;
    send(client, &serve(&request, module), None)
}

/// Returns true if `fd` is the descriptor of a module.
fn is_module(fd: &OwnedFd) -> bool {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).is_ok_and(|text| text == Path::new(MODULE))
}

/// Asks the supervisor of the service `name` to replace its program by the loaded `module`.
///
/// # Errors
///
/// The errors of the socket: `NotFound` if the service has none, `UnexpectedEof` if the supervisor
/// ends before it answers.
pub fn upgrade(name: &Name, request: &Upgrade, module: BorrowedFd<'_>) -> io::Result<Answer> {
    upgrade_at(&folder(name).join(SOCKET), request, module)
}

fn upgrade_at(path: &Path, request: &Upgrade, module: BorrowedFd<'_>) -> io::Result<Answer> {
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    send(socket.as_fd(), request, Some(module))?;
    Ok(receive(socket.as_fd())?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        sync::Arc, //
    };

    fn request() -> Upgrade {
        Upgrade {
            program: "dir/a.wasm".to_owned(),
            file_name: "a.wasm".to_owned(),
            is_reactor: true,
            health_timeout: Duration::from_secs(1),
            settle: Duration::ZERO,
            drain: None,
        }
    }

    fn connect(path: &Path) -> OwnedFd {
        let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        net::connect(&socket, &SocketAddrUnix::new(path).expect("short")).expect("connects");
        socket
    }

    #[test]
    fn messages_carry_descriptors() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(SOCKET), "left by an earlier supervisor").expect("writable");
        let listener = Listener::at(folder.path().to_owned()).expect("a socket");
        assert_eq!(fs::metadata(&listener.path).expect("exists").permissions().mode() & 0o777, 0o600);
        let client = connect(&listener.path);
        let server = net::accept(&listener.socket).expect("a client");
        let file = File::open("/dev/null").expect("exists");
        send(client.as_fd(), &request(), Some(file.as_fd())).expect("sent");
        let (received, fd) = receive::<Upgrade>(server.as_fd()).expect("received");
        assert_eq!(received, request());
        let fd = fd.expect("sent");
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        assert_eq!(fs::read_link(path).expect("open"), Path::new("/dev/null"));
        drop(client);
        let error = receive::<Upgrade>(server.as_fd()).expect_err("closed");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn garbage_gets_no_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = Arc::new(Listener::at(folder.path().to_owned()).expect("a socket"));
        let serving = Arc::clone(&listener);
        thread::spawn(move || serving.serve(|_, _| panic!("nothing is valid")));
        let garbage = connect(&listener.path);
        net::send(&garbage, b"\xff{", SendFlags::NOSIGNAL).expect("sent");
        drop(connect(&listener.path));
        // A file that is not a module, and no file.
        let file = File::open("/dev/null").expect("exists");
        for fd in [Some(file.as_fd()), None] {
            let client = connect(&listener.path);
            send(client.as_fd(), &request(), fd).expect("sent");
            let error = receive::<Answer>(client.as_fd()).expect_err("no answer");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn only_the_own_socket_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("web");
        fs::create_dir(&place).expect("made");
        let first = Listener::at(place.clone()).expect("a socket");
        let second = Listener::at(place.clone()).expect("a socket");
        first.remove();
        assert!(second.path.exists());
        second.remove();
        assert!(!place.exists());
        let file = File::open("/dev/null").expect("exists");
        let error = upgrade_at(&second.path, &request(), file.as_fd()).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
