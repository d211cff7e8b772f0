// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! memcached: it listens by itself, and serves for as long as it runs.

use std::{
    fs,
    net::{
        Ipv4Addr,
        SocketAddr, //
    },
    process::{
        Child,
        Command,
        Stdio, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it does.
const PAUSE: Duration = Duration::from_millis(10);

/// A running one. It is ended when this is dropped.
pub(crate) struct Memcached(Child);

impl Memcached {
    /// Starts it by `command`, on a port that nobody else has; its address.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) fn start(mut command: Command) -> Result<(Self, SocketAddr)> {
        // It writes there which port the kernel chose.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("port");
        command.args(["--listen", "127.0.0.1", "--port", "-1", "--udp-port", "0"]);
        command.env("MEMCACHED_PORT_FILENAME", &path).stdin(Stdio::null()).stdout(Stdio::null());
        let mut memcached = Self(command.spawn().with_context(|| format!("{command:?}"))?);
        let began = Instant::now();
        while !path.exists() {
            if let Some(status) = memcached.0.try_wait()? {
                anyhow::bail!("memcached: {status}");
            }
            anyhow::ensure!(began.elapsed() < PATIENCE, "memcached does not listen");
            thread::sleep(PAUSE);
        }
        let text = fs::read_to_string(&path)?;
        let port = text.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
        let port = port.with_context(|| format!("memcached's port: '{text}'"))?;
        Ok((memcached, (Ipv4Addr::LOCALHOST, port).into()))
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // It may be gone already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
