// SPDX-License-Identifier: GPL-2.0

//! One sample: somebody does something so many times.

use std::{
    ffi::OsString,
    fs::{
        self,
        File, //
    },
    io::Write as _,
    net::{
        Ipv4Addr,
        TcpListener, //
    },
    os::fd::OwnedFd,
    path::Path,
    process::{
        Child,
        Command,
        Output,
        Stdio, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use command_fds::{
    CommandFdExt as _,
    FdMapping, //
};
use rustix::pipe::PipeFlags;

use crate::{
    case::{
        Case,
        Setting, //
    },
    client::Client,
    contestant::{
        Contestant,
        Tools, //
    },
};

/// Small files in the folder, as many as the guest opens.
const SMALL_FILES: usize = 64;

/// Bytes of the file whose lines are counted.
const LINES_LEN: usize = 1 << 20;

/// Where samples are taken.
pub(crate) struct Sampler {
    tools: Tools,
    folder: tempfile::TempDir,
}

/// Reads: the first number after `name` in `text`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split(|char: char| !char.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Has `command` find `fds` as its descriptors from 3 on.
fn hand(command: &mut Command, fds: Vec<OwnedFd>) -> Result<()> {
    let mappings = (3..).zip(fds).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings)?;
    Ok(())
}

fn start(mut command: Command) -> Result<(String, Child)> {
    let words = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    Ok((words.clone(), child.context(words)?))
}

fn finish((words, child): (String, Child)) -> Result<Output> {
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{words}: {}: {complaint}", output.status);
    Ok(output)
}

impl Sampler {
    /// Makes the folder that guests look into.
    ///
    /// # Errors
    /// Those of writing files.
    pub(crate) fn new(tools: Tools) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut lines = File::create(folder.path().join("lines"))?;
        let mut text = Vec::with_capacity(LINES_LEN);
        while text.len() < LINES_LEN {
            // Lines of 8 to 71 characters.
            let len = 8 + text.len() / 7 % 64;
            text.resize(text.len() + len, b'x');
            text.push(b'\n');
        }
        text.truncate(LINES_LEN);
        lines.write_all(&text)?;
        for index in 0..SMALL_FILES {
            fs::write(folder.path().join(format!("small-{index}")), [b'y'; 100])?;
        }
        Ok(Self { tools, folder })
    }

    /// Whether `contestant` can take part here.
    pub(crate) fn has(&self, contestant: Contestant) -> bool {
        self.tools.has(contestant)
    }

    fn args(&self, case: &Case) -> (Vec<OsString>, Option<&Path>) {
        let folder = (case.setting == Setting::Folder).then(|| self.folder.path());
        let args = folder.into_iter().map(OsString::from).chain(case.args.iter().map(OsString::from)).collect();
        (args, folder)
    }

    /// What the work finds from descriptor 3 on, and what its partner does.
    fn descriptors(case: &Case) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
        let mut partners = Vec::new();
        let own = match case.setting {
            Setting::Nothing | Setting::Folder => Vec::new(),
            Setting::Pipe => pipe().map(|(input, output)| vec![input, output])?,
            Setting::Requests => {
                vec![File::open("/dev/zero")?.into(), File::options().write(true).open("/dev/null")?.into()]
            }
            Setting::Server(_) => anyhow::bail!("{}: a server finds a socket", case.name),
            Setting::Partner(_) => {
                let ((there, out), (back_in, back)) = (pipe()?, pipe()?);
                partners = vec![there, back];
                vec![back_in, out]
            }
        };
        Ok((own, partners))
    }

    /// Has `contestant` do `case` `count` times; how many nanoseconds that took.
    ///
    /// # Errors
    /// It failed.
    pub(crate) fn take(&self, case: &Case, contestant: Contestant, count: u64) -> Result<u64> {
        if let Setting::Server(client) = case.setting {
            return self.take_from_server(case, contestant, client, count);
        }
        let (args, folder) = self.args(case);
        let (own, partners) = Self::descriptors(case)?;
        let mut command = self.tools.command(contestant, case.work, count, &args, own.len(), folder);
        hand(&mut command, own)?;
        let partner = match case.setting {
            Setting::Partner(work) => {
                let mut command = self.tools.command(contestant.partner(), work, count, &args, partners.len(), folder);
                hand(&mut command, partners)?;
                Some(start(command)?)
            }
            _ => None,
        };
        let output = finish(start(command)?)?;
        if let Some(partner) = partner {
            finish(partner)?;
        }
        let text = String::from_utf8(output.stdout)?;
        text.trim().parse().with_context(|| format!("{}: '{text}' is no number", case.name))
    }

    /// Has `contestant` serve, and `client` ask.
    fn take_from_server(&self, case: &Case, contestant: Contestant, client: Client, count: u64) -> Result<u64> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let args = [client.connections().to_string().into()];
        let mut command = self.tools.command(contestant, case.work, count, &args, 1, None);
        hand(&mut command, vec![listener.into()])?;
        let mut server = start(command)?;
        let took = client.ask(address, count);
        if took.is_err() {
            // It would wait for ever; it may be gone already.
            server.1.kill().ok();
        }
        let output = finish(server);
        let took = took.with_context(|| match &output {
            Ok(_) => case.name.to_owned(),
            Err(error) => format!("{}: {error:#}", case.name),
        })?;
        output?;
        Ok(took)
    }

    /// The fuel of one operation, as the engine counts it.
    ///
    /// # Errors
    /// The engine failed.
    pub(crate) fn fuel(&self, case: &Case) -> Result<f64> {
        const COUNTS: [u64; 2] = [200, 1200];
        let (args, folder) = self.args(case);
        let mut fuel = [0; 2];
        for (fuel, count) in fuel.iter_mut().zip(COUNTS) {
            let (own, _) = Self::descriptors(case)?;
            let mut command = self.tools.command_with_fuel(case.work, count, &args, own.len(), folder);
            hand(&mut command, own)?;
            let output = finish(start(command)?)?;
            let text = String::from_utf8(output.stderr)?;
            *fuel = number_after(&text, "fuel ").context("the engine tells no fuel")?;
        }
        let [few, many] = fuel;
        Ok(as_float(many.saturating_sub(few)) / as_float(COUNTS[1] - COUNTS[0]))
    }
}

/// A number of nanoseconds or operations: far below what a float tells apart.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number_after("load 1.5 ms, fuel 435247, memory", "fuel "), Some(435_247));
        assert_eq!(number_after("load 1.5 ms", "fuel "), None);
    }
}
