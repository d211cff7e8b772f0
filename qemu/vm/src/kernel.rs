// SPDX-License-Identifier: GPL-2.0

//! The kernel to boot, and the cached answer to the question if KVM can boot it.

use std::{
    fs,
    io::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{
        FileHeader as _,
        ProgramHeader as _, //
    },
};

use crate::process;

/// `XEN_ELFNOTE_PHYS32_ENTRY` of `include/xen/interface/elfnote.h`: the type of the ELF note that
/// holds the PVH entry point.
const NOTE_PHYS32_ENTRY: u32 = 18;

/// Kernel, and a folder of facts about it that are kept between runs.
#[derive(Clone, Debug)]
pub struct Kernel {
    folder: PathBuf,
    notes: PathBuf,
}

impl Kernel {
    /// Returns the kernel in `folder` (see `qemu/kernel`). Facts about it are kept under `cache`.
    ///
    /// # Errors
    /// Fails if the folder has no name or no `vmlinuz`, or if the cache cannot be written.
    pub fn new(folder: &Path, cache: &Path) -> Result<Self> {
        let name = folder.file_name().with_context(|| format!("{} is not the folder of a kernel", folder.display()))?;
        anyhow::ensure!(folder.join("vmlinuz").exists(), "{} holds no vmlinuz", folder.display());
        let notes = cache.join("vm").join(name);
        fs::create_dir_all(&notes).with_context(|| notes.display().to_string())?;
        Ok(Self { folder: folder.to_owned(), notes })
    }

    /// Returns the file to boot: the uncompressed kernel from `vmlinuz`, because in emulation the
    /// decompression takes two seconds of each boot; `vmlinuz` itself if the extraction fails or
    /// its result has no PVH entry point.
    ///
    /// # Errors
    /// Fails if `extract-vmlinux` cannot be run or the uncompressed kernel cannot be written.
    pub fn image(&self) -> Result<PathBuf> {
        let packed = self.folder.join("vmlinuz");
        let unpacked = self.notes.join("vmlinux");
        let unfit = self.notes.join("vmlinux-unfit");
        if unpacked.exists() {
            return Ok(unpacked);
        }
        if unfit.exists() {
            return Ok(packed);
        }
        let mut command = Command::new("sh");
        command.arg(self.folder.join("build/scripts/extract-vmlinux")).arg(&packed);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = process::spawn(&mut command).context("cannot run extract-vmlinux")?;
        let output = child.wait_with_output().context("cannot run extract-vmlinux")?;
        if output.status.success() && has_pvh_entry(&output.stdout) {
            self.keep(&unpacked, &output.stdout)?;
            Ok(unpacked)
        } else {
            self.keep(&unfit, b"")?;
            Ok(packed)
        }
    }

    /// Returns the folder of modules for tests, if the kernel has one.
    #[must_use]
    pub fn modules(&self) -> Option<PathBuf> {
        Some(self.folder.join("modules")).filter(|folder| folder.exists())
    }

    /// Returns true if the kernel is built with KASAN, and so needs more memory and time than
    /// others.
    #[must_use]
    pub fn is_instrumented(&self) -> bool {
        let config = fs::read_to_string(self.folder.join("build/.config")).unwrap_or_default();
        config.lines().any(|line| line == "CONFIG_KASAN=y")
    }

    /// Returns true if KVM boots this kernel. `probe` tries it; the answer is cached until the host
    /// reboots.
    ///
    /// # Errors
    /// Any error of `probe`; any error of reading the boot id or of writing the answer to the
    /// cache.
    pub fn has_kvm(&self, probe: impl FnOnce() -> Result<bool>) -> Result<bool> {
        if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(false);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("cannot read /proc/sys/kernel/random/boot_id")?;
        let answer = self.notes.join(format!("kvm-{}", boot.trim_end()));
        match fs::read(&answer) {
            Ok(text) => Ok(text == b"yes"),
            Err(_) => {
                let works = probe()?;
                self.keep(&answer, if works { b"yes" } else { b"no" })?;
                Ok(works)
            }
        }
    }

    /// Writes a file in the folder of notes atomically.
    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.notes)?;
        file.write_all(bytes)?;
        file.persist(path).with_context(|| path.display().to_string())?;
        Ok(())
    }
}

/// Returns true if an ELF file has a note with a PVH entry point.
fn has_pvh_entry(bytes: &[u8]) -> bool {
    let find = || -> object::Result<bool> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        for segment in header.program_headers(endian, bytes)? {
            let Some(mut notes) = segment.notes(endian, bytes)? else {
                continue;
            };
            while let Some(note) = notes.next()? {
                if note.name() == b"Xen" && note.n_type(endian) == NOTE_PHYS32_ENTRY {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    find().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_have_no_pvh_entry() {
        assert!(!has_pvh_entry(b""));
        assert!(!has_pvh_entry(b"\x7fELF rubbish"));
        assert!(!has_pvh_entry(&fs::read("/proc/self/exe").unwrap()));
    }

    #[test]
    fn kvm_is_probed_once() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("kernel");
        assert!(Kernel::new(&folder, cache.path()).is_err());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("vmlinuz"), "").unwrap();
        let kernel = Kernel::new(&folder, cache.path()).unwrap();
        if fs::File::options().read(true).write(true).open("/dev/kvm").is_ok() {
            assert!(kernel.has_kvm(|| Ok(true)).unwrap());
            assert!(kernel.has_kvm(|| Ok(false)).unwrap());
        } else {
            assert!(!kernel.has_kvm(|| Ok(true)).unwrap());
        }
    }
}
