// SPDX-License-Identifier: GPL-2.0

//! Commands of memcached's text protocol. Also compiled by `qemu/bound`.

/// Command.
pub(crate) enum Command<'a> {
    /// Returns the values of these keys, which are [`words`].
    Get(&'a [u8]),
    /// Stores `data` under `key`.
    Set { key: &'a [u8], flags: u32, data: &'a [u8] },
    /// Any other command.
    Unknown,
}

/// Error: a command that cannot be parsed.
pub(crate) struct Malformed;

/// Splits a line into words at spaces.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ')
}

fn number<T: core::str::FromStr>(word: Option<&[u8]>) -> Result<T, Malformed> {
    word.and_then(|word| core::str::from_utf8(word).ok()).and_then(|word| word.parse().ok()).ok_or(Malformed)
}

/// Parses the command at the start of `input`, whose first line ends at `end`. Returns the command
/// and its length in bytes, or `None` if it is not complete yet.
#[inline]
pub(crate) fn command(input: &[u8], end: usize) -> Result<Option<(Command<'_>, usize)>, Malformed> {
    let Some((line, rest)) = input.split_at_checked(end) else { return Ok(None) };
    let mut parts = line.trim_ascii_end().splitn(2, |byte| *byte == b' ');
    let len = line.len() + 1;
    match (parts.next(), parts.next().unwrap_or_default()) {
        (Some(b"get"), keys) => Ok(Some((Command::Get(keys), len))),
        (Some(b"set"), what) => {
            let mut words = words(what);
            let key = words.next().unwrap_or_default();
            let flags = number(words.next())?;
            number::<usize>(words.next())?;
            let data_len = number(words.next())?;
            // The line is followed by the data and another line end.
            let data = rest.get(1..).and_then(|rest| rest.split_at_checked(data_len));
            match data {
                Some((data, after)) if after.len() >= 2 => {
                    Ok(Some((Command::Set { key, flags, data }, len + data.len() + 2)))
                }
                _ => Ok(None),
            }
        }
        _ => Ok(Some((Command::Unknown, len))),
    }
}
