// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The variant memcached, which opens its own socket and serves until it is killed.

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

/// Time limit for memcached to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Interval of the checks if memcached listens.
const PAUSE: Duration = Duration::from_millis(10);

/// Running memcached. Dropping this value kills it.
pub(crate) struct Memcached(Child);

impl Memcached {
    /// Starts memcached by `command`, on a free port. Returns it with its address.
    ///
    /// # Errors
    /// Fails if memcached cannot be started, exits, or does not listen within 30 seconds.
    pub(crate) fn start(mut command: Command) -> Result<(Self, SocketAddr)> {
        // memcached writes the port that the kernel chose to this file.
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
        // memcached may have exited already, so errors are ignored.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
