// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial ports in the guest.

use std::{
    fs::{
        self,
        File, //
    },
    io::{
        self,
        Read,
        Write, //
    },
    path::Path,
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
use kwasmi_vm::protocol::Port;

/// Time limit for the driver to find its ports.
const PATIENCE: Duration = Duration::from_secs(30);

/// Open port.
#[derive(Debug)]
pub(crate) struct PortFile(File);

impl PortFile {
    /// Duplicates the descriptor. The driver permits only one open of a port.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl Read for PortFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The driver reports the end of the file until the host has reported that its end is open.
        // After that the host never closes its end while the VM runs.
        loop {
            match self.0.read(buffer) {
                Ok(0) if !buffer.is_empty() => thread::sleep(Duration::from_millis(1)),
                result => return result,
            }
        }
    }
}

impl Write for PortFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Open ports that have not been taken.
#[derive(Debug)]
pub(crate) struct Ports(Vec<(Port, PortFile)>);

impl Ports {
    /// Waits until all of [`Port::ALL`] exist, and opens them.
    pub(crate) fn open() -> Result<Self> {
        let start = Instant::now();
        loop {
            let found = Self::find();
            if found.0.len() == Port::ALL.len() {
                return Ok(found);
            }
            anyhow::ensure!(
                start.elapsed() < PATIENCE,
                "not all virtio-serial ports appeared within {} s",
                PATIENCE.as_secs()
            );
            drop(found);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn find() -> Self {
        let entries = fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("name")).ok()?;
            let port = Port::ALL.into_iter().find(|port| port.name() == name.trim_end())?;
            let device = Path::new("/dev").join(entry.file_name());
            let file = File::options().read(true).write(true).open(device).ok()?;
            Some((port, PortFile(file)))
        });
        Self(found.collect())
    }

    /// Returns a duplicate of the control port, if it has not been taken.
    pub(crate) fn control(&self) -> Option<PortFile> {
        let (_, file) = self.0.iter().find(|(port, _)| *port == Port::Control)?;
        file.try_clone().ok()
    }

    /// Removes a port and returns it. Fails if it has been taken before.
    pub(crate) fn take(&mut self, port: Port) -> Result<PortFile> {
        let index = self
            .0
            .iter()
            .position(|(other, _)| *other == port)
            .with_context(|| format!("port {} is already taken", port.name()))?;
        Ok(self.0.swap_remove(index).1)
    }
}
