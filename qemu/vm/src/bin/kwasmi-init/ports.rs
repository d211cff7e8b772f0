// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial ports, as the guest sees them.

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

/// How long the driver may take to find its ports.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port.
#[derive(Debug)]
pub(crate) struct PortFile(File);

impl PortFile {
    /// Another handle of the same port, which can be opened only once.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl Read for PortFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The driver reports the end of the file until it has heard that the host's end is open. Later the host never
        // closes it while the VM lives.
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

/// The ports that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Ports(Vec<(Port, PortFile)>);

impl Ports {
    /// Opens all of [`Port::ALL`], as soon as they are there.
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

    /// Another handle of the control port, if nobody has taken it.
    pub(crate) fn control(&self) -> Option<PortFile> {
        let (_, file) = self.0.iter().find(|(port, _)| *port == Port::Control)?;
        file.try_clone().ok()
    }

    /// The port, which is then the caller's.
    pub(crate) fn take(&mut self, port: Port) -> Result<PortFile> {
        let index = self
            .0
            .iter()
            .position(|(other, _)| *other == port)
            .with_context(|| format!("the port {} is taken", port.name()))?;
        Ok(self.0.swap_remove(index).1)
    }
}
