// SPDX-License-Identifier: GPL-2.0

//! What a cache is told, in memcached's text protocol. `qemu/limit` compiles this very file.

/// A command.
pub(crate) enum Command<'a> {
    /// Asks for what is kept under these keys, which are [`words`].
    Get(&'a [u8]),
    /// Has `data` kept under `key`.
    Set { key: &'a [u8], flags: u32, data: &'a [u8] },
    /// Something else.
    Unknown,
}

/// A command that says what it cannot mean.
pub(crate) struct Malformed;

/// What has a space after it, or is the last.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ')
}

fn number<T: core::str::FromStr>(word: Option<&[u8]>) -> Result<T, Malformed> {
    word.and_then(|word| core::str::from_utf8(word).ok()).and_then(|word| word.parse().ok()).ok_or(Malformed)
}

/// Reads the command at the start of `input`, whose first line ends at `end`; the command, and the bytes that it takes; none if it is
/// not whole yet.
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
            // After the line come the data and another line end.
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
