// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Starts variants and takes samples: a variant does a number of operations, and the elapsed
//! time is recorded.

use std::{
    ffi::OsString,
    fs::{
        self,
        File, //
    },
    io::{
        BufRead as _,
        BufReader,
        Read as _,
        Write as _, //
    },
    net::{
        Ipv4Addr,
        SocketAddr,
        TcpListener, //
    },
    os::fd::OwnedFd,
    path::Path,
    process::{
        Child,
        ChildStdin,
        ChildStdout,
        Command,
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
    client::{
        self,
        Client, //
    },
    memcached::Memcached,
    scripts,
    variant::{
        Tools,
        Variant, //
    },
    wrk::{
        self,
        Wrk, //
    },
};

/// Number of small files in the folder: as many as the guest opens.
const SMALL_FILES: usize = 64;

/// Size of the file whose lines are counted, in bytes.
const LINES_LEN: usize = 1 << 20;

/// Size of the text that is compressed, in bytes.
const TEXT_LEN: usize = 2 << 20;

/// Environment in which samples are taken.
pub(crate) struct Sampler {
    tools: Tools,
    wrk: Option<Wrk>,
    folder: tempfile::TempDir,
}

/// Returns the first number after `name` in `text`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split(|char: char| !char.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Passes `fds` to `command` as its descriptors from 3 on.
fn hand(command: &mut Command, fds: Vec<OwnedFd>) -> Result<()> {
    let mappings = (3..).zip(fds).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings)?;
    Ok(())
}

/// Running program that reads numbers of operations from standard input and prints the elapsed
/// nanoseconds of each. Dropping this value kills it.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command) -> Result<Self> {
        let words = format!("{command:?}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(words)?;
        let streams = child.stdin.take().zip(child.stdout.take());
        let (input, output) = streams.context("the program has no standard streams")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Starts a program that prints something and closes its output when it is ready.
    fn start_and_hear(command: Command) -> Result<Self> {
        let mut program = Self::start(command)?;
        let mut said = Vec::new();
        program.output.read_to_end(&mut said)?;
        anyhow::ensure!(!said.is_empty(), "kwasmi load printed nothing");
        Ok(program)
    }

    fn tell(&mut self, count: u64) -> Result<()> {
        Ok(writeln!(self.input, "{count}")?)
    }

    /// Reads the elapsed nanoseconds that the program prints.
    fn answer(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("'{}' is not a number", line.trim()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program may have exited already, so errors are ignored.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Program that runs beside the variant for the same time.
#[expect(dead_code, reason = "ended when this is dropped")]
enum Beside {
    Nobody,
    Memcached(Memcached),
    /// `kwasmi load`, which keeps the guest in the kernel.
    Keeper(Program),
}

/// Client that makes requests to a server.
#[derive(Clone, Debug)]
enum Asker {
    Client(Client),
    Wrk(Wrk),
}

impl Asker {
    fn ask(&self, address: SocketAddr, count: u64) -> Result<Sample> {
        match self {
            Self::Client(client) => Ok(Sample { count, nanoseconds: client.ask(address, count)? }),
            Self::Wrk(wrk) => wrk.ask(address),
        }
    }
}

/// Sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Number of operations.
    pub(crate) count: u64,
    /// Elapsed time in nanoseconds.
    pub(crate) nanoseconds: u64,
}

/// Variant that is ready to take samples of a case.
pub(crate) struct Player {
    /// Programs that read the number of operations; empty for memcached. Without a server the time
    /// of the first one counts.
    programs: Vec<Program>,
    server: Option<(Asker, SocketAddr)>,
    #[expect(dead_code, reason = "ended when the player is")]
    beside: Beside,
}

impl Player {
    /// Takes a sample of `count` operations, or of as many as wrk makes in its time.
    ///
    /// # Errors
    /// Fails if a program ends early or prints no number, or if the client fails.
    pub(crate) fn take(&mut self, count: u64) -> Result<Sample> {
        for program in &mut self.programs {
            program.tell(count)?;
        }
        let asked = self.server.as_ref().map(|(asker, address)| asker.ask(*address, count)).transpose()?;
        let answers = self.programs.iter_mut().map(Program::answer).collect::<Result<Vec<_>>>()?;
        let own = answers.first().map(|nanoseconds| Sample { count, nanoseconds: *nanoseconds });
        asked.or(own).context("no program and no client took the sample")
    }
}

impl Sampler {
    /// Creates the folder of files that the work reads. `wrk` is none if it cannot run here.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(crate) fn new(tools: Tools, wrk: Option<Wrk>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("lines"), client::lines(LINES_LEN))?;
        for index in 0..SMALL_FILES {
            fs::write(folder.path().join(format!("small-{index}")), [b'y'; 100])?;
        }
        for (name, text) in scripts::ALL {
            fs::write(folder.path().join(name), text)?;
        }
        fs::write(folder.path().join("text"), scripts::text(TEXT_LEN))?;
        Ok(Self { tools, wrk, folder })
    }

    /// Returns true if wrk can run here.
    pub(crate) fn has_wrk(&self) -> bool {
        self.wrk.is_some()
    }

    /// Returns true if `variant` can run here.
    pub(crate) fn has(&self, variant: Variant) -> bool {
        self.tools.has(variant)
    }

    /// Returns true if `variant` can run `case` here.
    pub(crate) fn has_for(&self, case: &Case, variant: Variant) -> bool {
        match case.setting {
            Setting::Program => self.tools.has_program(variant, case.work),
            _ => self.tools.has(variant),
        }
    }

    fn args(&self, case: &Case) -> (Vec<OsString>, Option<&Path>) {
        let folder = (case.setting == Setting::Folder).then(|| self.folder.path());
        let connections = match case.setting {
            Setting::Server(client) => Some(client.connections().to_string()),
            Setting::Wrk => Some(wrk::ACCEPTED.to_string()),
            _ => None,
        };
        let words = case.args.iter().map(OsString::from).chain(connections.map(OsString::from));
        let args = folder.into_iter().map(OsString::from).chain(words).collect();
        (args, folder)
    }

    /// Creates the descriptors from 3 on of the work and of its partner.
    fn descriptors(case: &Case) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
        let mut partners = Vec::new();
        let own = match case.setting {
            Setting::Nothing | Setting::Folder | Setting::Anew | Setting::AnewKept | Setting::Program => Vec::new(),
            Setting::Pipe => pipe().map(|(input, output)| vec![input, output])?,
            Setting::Requests => {
                vec![File::open("/dev/zero")?.into(), File::options().write(true).open("/dev/null")?.into()]
            }
            Setting::Server(_) | Setting::Wrk => anyhow::bail!("{}: a server has no such descriptors", case.name),
            Setting::Partner(_) => {
                let ((there, out), (back_in, back)) = (pipe()?, pipe()?);
                partners = vec![there, back];
                vec![back_in, out]
            }
        };
        Ok((own, partners))
    }

    /// Starts `variant` for `case`.
    ///
    /// # Errors
    /// Fails if a program cannot be started, or if wrk is missing.
    pub(crate) fn prepare(&self, case: &Case, variant: Variant) -> Result<Player> {
        let (args, folder) = self.args(case);
        let start = |variant, work, fds: Vec<OwnedFd>| {
            let mut command = self.tools.command(variant, work, &args, fds.len(), folder);
            hand(&mut command, fds)?;
            Program::start(command)
        };
        if let Setting::Server(client) = case.setting {
            if variant == Variant::Memcached {
                let command = self.tools.command(variant, case.work, &args, 0, folder);
                let (memcached, address) = Memcached::start(command)?;
                let server = Some((Asker::Client(client), address));
                return Ok(Player { programs: Vec::new(), server, beside: Beside::Memcached(memcached) });
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let server = Some((Asker::Client(client), listener.local_addr()?));
            let mut fds = vec![listener.into()];
            if matches!(client, Client::File | Client::HttpFile(_)) {
                fds.push(File::open(self.folder.path().join("lines"))?.into());
            }
            let programs = vec![start(variant, case.work, fds)?];
            return Ok(Player { programs, server, beside: Beside::Nobody });
        }
        if case.setting == Setting::Wrk {
            let wrk = self.wrk.clone().context("wrk is missing")?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            let programs = vec![start(variant, case.work, vec![listener.into()])?];
            let server = Some((Asker::Client(Client::Http(wrk::ACCEPTED)), address));
            let mut player = Player { programs, server, beside: Beside::Nobody };
            // Wait until the server has started, because the time of wrk is short.
            player.take(u64::try_from(wrk::ACCEPTED)?)?;
            player.server = Some((Asker::Wrk(wrk), address));
            return Ok(player);
        }
        if matches!(case.setting, Setting::Anew | Setting::AnewKept) {
            let is_kept = variant != Variant::Process && case.setting == Setting::AnewKept;
            let beside = if is_kept {
                Beside::Keeper(Program::start_and_hear(self.tools.command_keep(variant))?)
            } else {
                Beside::Nobody
            };
            let programs = vec![Program::start(self.tools.command_anew(variant, case.work))?];
            return Ok(Player { programs, server: None, beside });
        }
        if case.setting == Setting::Program {
            let command = self.tools.command_whole(variant, case.work, case.args, self.folder.path());
            return Ok(Player { programs: vec![Program::start(command)?], server: None, beside: Beside::Nobody });
        }
        let (own, partners) = Self::descriptors(case)?;
        let mut programs = vec![start(variant, case.work, own)?];
        if let Setting::Partner(work) = case.setting {
            programs.push(start(variant.partner(), work, partners)?);
        }
        Ok(Player { programs, server: None, beside: Beside::Nobody })
    }

    /// Returns the fuel of one operation, measured by two runs of the engine with different counts.
    ///
    /// # Errors
    /// Fails if the engine cannot be started or prints no fuel.
    pub(crate) fn fuel(&self, case: &Case) -> Result<f64> {
        const COUNTS: [u64; 2] = [200, 1200];
        let (args, folder) = self.args(case);
        let mut fuel = [0; 2];
        for (fuel, count) in fuel.iter_mut().zip(COUNTS) {
            let (own, _) = Self::descriptors(case)?;
            let mut command = self.tools.command_with_fuel(case.work, &args, own.len(), folder);
            hand(&mut command, own)?;
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut input) = child.stdin.take() {
                writeln!(input, "{count}")?;
            }
            let text = String::from_utf8(child.wait_with_output()?.stderr)?;
            *fuel = number_after(&text, "fuel ").context("the engine printed no fuel")?;
        }
        let [few, many] = fuel;
        Ok(as_float(many.saturating_sub(few)) / as_float(COUNTS[1] - COUNTS[0]))
    }
}

/// Converts a number of nanoseconds or operations, which is below 2^53 and so exact.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_after_a_name_is_parsed() {
        assert_eq!(number_after("load 1.5 ms, fuel 435247, memory", "fuel "), Some(435_247));
        assert_eq!(number_after("load 1.5 ms", "fuel "), None);
    }
}
