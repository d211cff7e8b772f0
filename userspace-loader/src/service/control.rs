// SPDX-License-Identifier: GPL-2.0

//! Requests to a supervisor, over a stream socket in `/run/kwasmi`.
//!
//! A connection carries one request and one answer. Each is a JSON object, preceded by its length, a
//! little-endian u32. The module follows the request, up to the end of the stream. Only the user of
//! the supervisor and root can connect: the socket has the mode 0600.

use super::Name;
use rustix::{
    fs::Mode,
    process::umask, //
};
use serde::{
    Deserialize,
    Serialize,
    de::DeserializeOwned, //
};
use std::{
    fs,
    io::{
        self,
        Read,
        Write, //
    },
    net::Shutdown,
    os::unix::{
        fs::MetadataExt as _,
        net::{
            UnixListener,
            UnixStream, //
        }, //
    },
    path::{
        Path,
        PathBuf, //
    },
    time::Duration, //
};

/// Folder of the sockets.
const FOLDER: &str = "/run/kwasmi";

/// Longest JSON object, in bytes.
const MESSAGE_MAX: u32 = 1 << 20;

/// Longest time to wait for bytes of a client.
const CLIENT_TIME: Duration = Duration::from_secs(10);

/// Request to replace the program of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// File of the new program, for messages.
    pub program: String,
    /// First argument of the new program (`argv[0]`).
    pub file_name: String,
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
    /// The new program has the name. The notes are for the user.
    Done {
        /// Notes, such as the reason for which the program is interpreted.
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

/// Returns the path of the socket of the service `name`.
fn path(name: &Name) -> PathBuf {
    Path::new(FOLDER).join(&name.0)
}

fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= MESSAGE_MAX);
    let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&bytes)
}

fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > MESSAGE_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; len as usize];
    from.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Socket of a supervisor.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: another supervisor may have made a new one.
    id: (u64, u64),
}

impl Listener {
    /// Makes the socket of the service `name`, in place of that of an earlier service. Must be
    /// called before the process has a second thread that makes files: it changes the umask for a
    /// moment.
    ///
    /// # Errors
    ///
    /// The errors of making the folder and the socket.
    pub fn new(name: &Name) -> io::Result<Self> {
        fs::create_dir_all(FOLDER)?;
        Self::at(path(name))
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let socket = UnixListener::bind(&path);
        umask(before);
        let socket = socket?;
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { socket, path, id: (file.dev(), file.ino()) })
    }

    /// Waits for requests and answers them with `serve`, which gets a request and the
    /// module, or its first `size_max + 1` bytes. A client that sends no valid request gets no answer.
    ///
    /// # Errors
    ///
    /// The errors of accept(2).
    pub fn serve(&self, size_max: u64, mut serve: impl FnMut(&Upgrade, Vec<u8>) -> Answer) -> io::Result<()> {
        loop {
            let (client, _) = match self.socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                accepted => accepted?,
            };
            // A client that has ended does not affect the service.
            let _ = answer(&client, size_max, &mut serve);
        }
    }

    /// Removes the file of the socket.
    pub fn remove(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads the request of one client, and answers it.
fn answer(client: &UnixStream, size_max: u64, serve: &mut impl FnMut(&Upgrade, Vec<u8>) -> Answer) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_TIME))?;
    client.set_write_timeout(Some(CLIENT_TIME))?;
    let request: Upgrade = receive(client)?;
    let mut wasm = Vec::new();
    client.take(size_max.saturating_add(1)).read_to_end(&mut wasm)?;
    send(client, &serve(&request, wasm))
}

/// Asks the supervisor of the service `name` to replace its program by `wasm`.
///
/// # Errors
///
/// The errors of the socket: `NotFound` if the service has none, `UnexpectedEof` if the supervisor
/// ends before it answers.
pub fn upgrade(name: &Name, request: &Upgrade, wasm: &[u8]) -> io::Result<Answer> {
    upgrade_at(&path(name), request, wasm)
}

fn upgrade_at(path: &Path, request: &Upgrade, wasm: &[u8]) -> io::Result<Answer> {
    let socket = UnixStream::connect(path)?;
    send(&socket, request)?;
    (&socket).write_all(wasm)?;
    socket.shutdown(Shutdown::Write)?;
    receive(&socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::PermissionsExt as _,
        sync::{
            Arc,
            mpsc, //
        },
        thread, //
    };

    fn request() -> Upgrade {
        Upgrade {
            program: "dir/a.wasm".to_owned(),
            file_name: "a.wasm".to_owned(),
            health_timeout: Duration::from_secs(1),
            settle: Duration::ZERO,
            drain: None,
        }
    }

    #[test]
    fn requests_are_answered_in_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web");
        fs::write(&path, "left by an earlier supervisor").expect("writable");
        let listener = Arc::new(Listener::at(path.clone()).expect("a socket"));
        assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o600);
        let (sender, got) = mpsc::channel();
        let serving = Arc::clone(&listener);
        thread::spawn(move || {
            serving.serve(1000, |request, wasm| {
                sender.send((request.clone(), wasm.len())).expect("received");
                Answer::Done { notes: vec!["a note".to_owned()] }
            })
        });
        // A client that sends garbage, and one that ends in the middle.
        let mut garbage = UnixStream::connect(&path).expect("connects");
        garbage.write_all(&[0xff; 8]).expect("written");
        drop(garbage);
        UnixStream::connect(&path).expect("connects").write_all(&[9, 0, 0, 0, b'{']).expect("written");
        for (len, received) in [(0, 0), (1000, 1000), (1001, 1001)] {
            let answer = upgrade_at(&path, &request(), &vec![7; len]).expect("answered");
            assert_eq!(answer, Answer::Done { notes: vec!["a note".to_owned()] });
            assert_eq!(got.recv().expect("served"), (request(), received));
        }
        assert!(got.try_recv().is_err());
    }

    #[test]
    fn only_the_own_socket_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web");
        let first = Listener::at(path.clone()).expect("a socket");
        let second = Listener::at(path.clone()).expect("a socket");
        first.remove();
        assert!(path.exists());
        second.remove();
        assert!(!path.exists());
        let error = upgrade_at(&path, &request(), b"").expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
