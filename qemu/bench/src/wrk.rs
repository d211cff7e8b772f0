// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The client wrk: it requests a page from a server for a fixed time, on several connections. Each
//! connection sends its next request when it has the answer.

use std::{
    net::SocketAddr,
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    time::Duration, //
};

use anyhow::{
    Context as _,
    Result, //
};

use crate::sample::{
    Sample,
    as_float, //
};

/// Number of connections with requests.
const CONNECTIONS: usize = 16;

/// Number of connections that a server accepts from wrk. wrk first makes an additional connection
/// without a request, to check if the server listens.
pub(crate) const ACCEPTED: usize = 1 + CONNECTIONS;

/// Factor by which samples of wrk are longer than others, because its start and end are less exact.
const LONGER: u32 = 20;

/// wrk, with the time for which it runs.
#[derive(Clone, Debug)]
pub(crate) struct Wrk {
    program: PathBuf,
    /// Time of a sample. wrk accepts only whole seconds.
    seconds: u64,
}

impl Wrk {
    /// Returns wrk, started by `program`, if it runs here. `sample` is the time of other samples.
    pub(crate) fn find(program: &Path, sample: Duration) -> Option<Self> {
        // `wrk --version` exits with a failure, so check its output.
        let output = Command::new(program).arg("--version").output().ok()?;
        let seconds = whole(sample * LONGER);
        output.stdout.starts_with(b"wrk ").then(|| Self { program: program.to_owned(), seconds })
    }

    /// Takes a sample with the server at `address`.
    ///
    /// # Errors
    /// Fails if wrk fails, or reports socket errors, other answers than 2xx or 3xx, or no answers.
    pub(crate) fn ask(&self, address: SocketAddr) -> Result<Sample> {
        let mut command = Command::new(&self.program);
        command.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()]);
        command.args(["--duration", &self.seconds.to_string()]).arg(format!("http://{address}/"));
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = || format!("wrk: {}{}", text, String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(output.status.success(), "{}: {}", said(), output.status);
        read(&text).with_context(said)
    }
}

/// Rounds a time up to whole seconds.
fn whole(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Parses the output of wrk: number of answered requests and elapsed time.
fn read(text: &str) -> Result<Sample> {
    // wrk prints these lines only if there were errors.
    let wrong =
        text.lines().map(str::trim).find(|line| line.starts_with("Socket errors") || line.starts_with("Non-2xx"));
    if let Some(line) = wrong {
        anyhow::bail!("{line}");
    }
    let count = text.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    let count: u64 = count.context("wrk printed no number of requests")?;
    // wrk rounds the time to hundredths of a second, so compute it from the rate.
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let rate: f64 = rate.context("wrk printed no rate")?;
    anyhow::ensure!(count > 0 && rate > 0.0, "no request was answered");
    let took = Duration::try_from_secs_f64(as_float(count) / rate)?;
    Ok(Sample { count, nanoseconds: u64::try_from(took.as_nanos())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   635.91us    0.89ms  12.92ms   93.69%
    Req/Sec    56.20k     8.07k   62.00k    86.54%
  61500 requests in 1.10s, 5.01MB read
Requests/sec:  56100.25
Transfer/sec:      4.57MB
";

    fn with_line(line: &str) -> String {
        GOOD.replace("Requests/sec", &format!("  {line}\nRequests/sec"))
    }

    #[test]
    fn a_successful_run_is_parsed() {
        let sample = read(GOOD).unwrap();
        assert_eq!(sample.count, 61_500);
        // 61500 / 56100.25 s
        assert_eq!(sample.nanoseconds / 1000, 1_096_251);
    }

    #[test]
    fn errors_fail() {
        let error = read(&with_line("Non-2xx or 3xx responses: 61500")).unwrap_err();
        assert_eq!(error.to_string(), "Non-2xx or 3xx responses: 61500");
        let errors = "Socket errors: connect 0, read 3, write 0, timeout 0";
        assert_eq!(read(&with_line(errors)).unwrap_err().to_string(), errors);
    }

    #[test]
    fn missing_figures_fail() {
        let text = GOOD.replace("61500 requests", "0 requests").replace("56100.25", "0.00");
        assert_eq!(read(&text).unwrap_err().to_string(), "no request was answered");
        assert_eq!(read("unable to connect").unwrap_err().to_string(), "wrk printed no number of requests");
        assert_eq!(read("  5 requests in 1.00s, 1KB read").unwrap_err().to_string(), "wrk printed no rate");
    }

    #[test]
    fn times_are_rounded_up_to_seconds() {
        assert_eq!(whole(Duration::from_millis(400)), 1);
        assert_eq!(whole(Duration::from_secs(2)), 2);
    }
}
