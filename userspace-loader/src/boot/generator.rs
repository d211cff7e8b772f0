// SPDX-License-Identifier: GPL-2.0

//! Generator of systemd.generator(7): writes a unit for each file that describes a service.
//!
//! systemd runs generators early at boot and at each `daemon-reload`, and waits for them. This one
//! opens regular files only, and no device.

use super::{
    config::{
        self,
        Mistake,
        ServiceConfig, //
    },
    unit, //
};
use std::{
    fs,
    io,
    os::unix::fs::symlink,
    path::{
        Path,
        PathBuf, //
    }, //
};

/// Target that starts the services at boot.
const TARGET: &str = "multi-user.target.wants";

/// Returns the files `*.toml` in a directory, sorted. Hidden files are left out, as editors make
/// them. A directory that does not exist has no files.
///
/// # Errors
///
/// Any error of reading the directory.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes the units for the files in the directory `from` to the directory `to`. Calls `report` for
/// each mistake, with the path of its file. A mistake in a file does not affect the others.
///
/// # Errors
///
/// Any error of reading `from` or of writing the units.
pub fn generate(from: &Path, to: &Path, mut report: impl FnMut(&Path, &Mistake)) -> io::Result<()> {
    for path in files(from)? {
        let name = match config::service_name(&path) {
            Ok(name) => name,
            Err(mistake) => {
                report(&path, &mistake);
                continue;
            }
        };
        let (text, is_disabled) = match ServiceConfig::read(&path) {
            Ok(config) => (unit::service_unit(&name, &path, &config), config.is_disabled),
            Err(mistakes) => {
                mistakes.iter().for_each(|mistake| report(&path, mistake));
                (unit::failing_unit(&name, &path, &mistakes), false)
            }
        };
        let unit = unit::unit_name(&name);
        fs::write(to.join(&unit), text)?;
        if !is_disabled {
            fs::create_dir_all(to.join(TARGET))?;
            symlink(Path::new("..").join(&unit), to.join(TARGET).join(&unit))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_gives_a_unit() {
        let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let write = |name: &str, text: &str| fs::write(from.path().join(name), text).expect("a file");
        write("a.toml", "program = \"/a\"");
        write("b.toml", "program = \"/b\"\nenabled = false");
        write("bad.toml", "program = \"/c\"\nrestart = \"soon\"");
        write("Upper.toml", "program = \"/d\"");
        write(".hidden.toml", "");
        write("notes.txt", "");
        fs::create_dir(from.path().join("keys")).expect("a folder");
        let mut reports = Vec::new();
        let report = |path: &Path, mistake: &Mistake| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            reports.push(format!("{name}: {mistake}"));
        };
        generate(from.path(), to.path(), report).expect("generated");
        let listed = |folder: PathBuf| {
            let mut names: Vec<_> = fs::read_dir(folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            names.sort();
            names
        };
        let units = ["kwasmi-a.service", "kwasmi-b.service", "kwasmi-bad.service", "multi-user.target.wants"];
        assert_eq!(listed(to.path().to_owned()), units);
        let wants = to.path().join("multi-user.target.wants");
        assert_eq!(listed(wants.clone()), ["kwasmi-a.service", "kwasmi-bad.service"]);
        let linked = fs::read_to_string(wants.join("kwasmi-a.service")).expect("the link has a target");
        assert!(linked.contains("ExecStart=:/usr/bin/kwasmi spawn"));
        let failing = fs::read_to_string(wants.join("kwasmi-bad.service")).expect("the link has a target");
        assert!(failing.contains("config check"));
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports[0].starts_with("Upper.toml: the file's name: invalid name"));
        assert_eq!(reports[1], "bad.toml: line 2, key restart: expected \"no\", \"on-failure\" or \"always\"");
    }

    #[test]
    fn no_directory_has_no_files() {
        assert_eq!(files(Path::new("/nonexistent/kwasmi")).expect("is read"), Vec::<PathBuf>::new());
    }
}
