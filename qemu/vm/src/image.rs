// SPDX-License-Identifier: GPL-2.0

//! Builds the initramfs: busybox, `init`, and the project's programs and module.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{
        self,
        File, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

use anyhow::{
    Context as _,
    Result, //
};
use rustix::fs::FlockOperation;

use crate::{
    cpio::Archive,
    protocol::{
        JOB_PATH,
        Job,
        MODULE_PATH,
        OUT_PATH, //
    },
};

/// Path of busybox, in the build root and in the VM.
const BUSYBOX: &str = "/bin/busybox";

/// Folders of every image, with their modes.
const FOLDERS: [(&str, u32); 20] = [
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/host", 0o755),
    ("/lib", 0o755),
    ("/lib/kwasmi", 0o755),
    ("/mnt", 0o755),
    (OUT_PATH, 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sbin", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/var", 0o755),
    ("/var/run", 0o755),
    ("/var/tmp", 0o1777),
];

/// Files of every image, with their contents.
const FILES: [(&str, &[u8]); 4] = [
    ("/etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hostname", b"kwasmi\n"),
    ("/etc/hosts", b"127.0.0.1 localhost kwasmi\n::1 localhost\n"),
    ("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
];

/// Sources of an image.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Lock file that builds hold exclusively while they write the other files.
    pub lock: Option<PathBuf>,
    /// The program `kwasmi-init`.
    pub init: PathBuf,
    /// The module `kwasmi.ko`, if the VM loads it.
    pub module: Option<PathBuf>,
    /// Folder of the kernel's own modules that becomes /lib/modules.
    pub kernel_modules: Option<PathBuf>,
    /// Programs for /bin. Those that do not exist are skipped.
    pub commands: Vec<PathBuf>,
    /// Folder that becomes /guests.
    pub guests: Option<PathBuf>,
    /// Folder that becomes /suites.
    pub suites: Option<PathBuf>,
    /// Paths for /host, each with its name there.
    pub added: Vec<(PathBuf, OsString)>,
}

/// Builds the image that runs `job`.
///
/// # Errors
/// Fails if a source cannot be read, if the module lacks a parameter of `job`, or if two added
/// paths have the same name.
pub fn build(contents: &Contents, job: &Job) -> Result<Vec<u8>> {
    let lock = contents.lock.as_ref().map(File::open).transpose().context("cannot open the lock of the builds")?;
    if let Some(lock) = &lock {
        rustix::fs::flock(lock, FlockOperation::LockShared)?;
    }
    let mut archive = Archive::default();
    for (path, mode) in FOLDERS {
        archive.folder(path, mode)?;
    }
    for (path, text) in FILES {
        archive.file(path, 0o644, text)?;
    }
    archive.file(JOB_PATH, 0o600, &postcard::to_stdvec(job)?)?;
    archive.file("/init", 0o755, &read(&contents.init)?)?;
    add_busybox(&mut archive)?;
    if let Some(module) = &contents.module {
        let bytes = read(module)?;
        for name in parameter_names(&job.parameters) {
            // The kernel only logs unknown parameters.
            anyhow::ensure!(has_parameter(&bytes, name), "kwasmi.ko has no parameter '{name}'");
        }
        archive.file(MODULE_PATH, 0o644, &bytes)?;
    }
    if let Some(modules) = &contents.kernel_modules {
        archive.tree(Path::new("/lib/modules"), modules)?;
    }
    for command in contents.commands.iter().filter(|command| command.exists()) {
        let name = command.file_name().with_context(|| format!("{} has no file name", command.display()))?;
        archive.file(Path::new("/bin").join(name), 0o755, &read(command)?)?;
    }
    if let Some(guests) = &contents.guests {
        archive.tree(Path::new("/guests"), guests)?;
    }
    if let Some(suites) = &contents.suites {
        archive.tree(Path::new("/suites"), suites)?;
    }
    let mut names = BTreeSet::new();
    for (source, name) in &contents.added {
        anyhow::ensure!(names.insert(name), "--add gives the name '{}' twice", name.display());
        archive.tree(&Path::new("/host").join(name), source)?;
    }
    Ok(archive.finish()?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Returns the names in a list of parameters in the kernel's syntax: quoted values may contain
/// spaces.
fn parameter_names(parameters: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let pieces = parameters.split(move |c: char| {
        is_quoted ^= c == '"';
        c == ' ' && !is_quoted
    });
    pieces.filter_map(|piece| piece.split_once('=')).map(|(name, _)| name)
}

/// Returns true if a module declares a parameter: `parmtype=NAME:TYPE` in its section .modinfo.
fn has_parameter(module: &[u8], name: &str) -> bool {
    let wanted = format!("\0parmtype={name}:");
    module.windows(wanted.len()).any(|bytes| bytes == wanted.as_bytes())
}

/// Adds busybox, and a symbolic link for each of its commands whose folder is in [`FOLDERS`].
fn add_busybox(archive: &mut Archive) -> Result<()> {
    archive.file(BUSYBOX, 0o755, &read(Path::new(BUSYBOX))?)?;
    let listed = Command::new(BUSYBOX).arg("--list-full").output().context("cannot run /bin/busybox --list-full")?;
    for path in String::from_utf8(listed.stdout)?.lines() {
        let path = Path::new("/").join(path);
        let has_place = path.parent().is_some_and(|place| FOLDERS.iter().any(|(folder, _)| Path::new(folder) == place));
        if has_place && path != Path::new(BUSYBOX) {
            archive.symlink(&path, BUSYBOX)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_parameters_are_parsed() {
        let names: Vec<&str> = parameter_names("a=1 b=\"x y=z\" c=").collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(parameter_names("").count(), 0);
        assert!(has_parameter(b"license=GPL\0parmtype=heap:ulong\0", "heap"));
        assert!(!has_parameter(b"license=GPL\0parmtype=heap:ulong\0", "hea"));
    }

    #[test]
    fn adding_a_name_twice_fails() {
        let twice = vec![("/proc/self/status".into(), "x".into()); 2];
        let contents = Contents { init: "/proc/self/exe".into(), added: twice, ..Contents::default() };
        let error = build(&contents, &Job::default()).unwrap_err();
        assert_eq!(error.to_string(), "--add gives the name 'x' twice");
    }
}
