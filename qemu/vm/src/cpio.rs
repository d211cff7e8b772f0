// SPDX-License-Identifier: GPL-2.0

//! Writes initramfs archives in cpio's newc format (see
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Names are arbitrary bytes, because `--add` accepts any file name. The crate cpio writes only
//! names in UTF-8, so the headers are written here.

use std::{
    fs,
    io,
    os::unix::{
        ffi::{
            OsStrExt as _,
            OsStringExt as _, //
        },
        fs::MetadataExt as _,
    },
    path::Path, //
};

use rustix::fs::FileType;

/// Archive in memory. A folder must be added before its entries.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder with `mode` (permission bits).
    ///
    /// # Errors
    /// `FileTooLarge` if the length of the path does not fit into 32 bits.
    pub fn folder(&mut self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        self.entry(path.as_ref(), FileType::Directory.as_raw_mode() | mode & 0o7777, 0, &[])
    }

    /// Adds a file with `mode` (permission bits) and `contents`.
    ///
    /// # Errors
    /// `FileTooLarge` if the length of the path or of `contents` does not fit into 32 bits.
    pub fn file(&mut self, path: impl AsRef<Path>, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.entry(path.as_ref(), FileType::RegularFile.as_raw_mode() | mode & 0o7777, 0, contents)
    }

    /// Adds a symbolic link at `path` to `target`.
    ///
    /// # Errors
    /// `FileTooLarge` if the length of the path or of `target` does not fit into 32 bits.
    pub fn symlink(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> io::Result<()> {
        let mode = FileType::Symlink.as_raw_mode() | 0o777;
        self.entry(path.as_ref(), mode, 0, target.as_ref().as_os_str().as_bytes())
    }

    /// Adds the file, symbolic link or folder at `source`, with the contents of the folder. All
    /// entries are owned by root.
    ///
    /// # Errors
    /// Any error of reading `source`; `Unsupported` for an entry of another file type;
    /// `FileTooLarge` if a length does not fit into 32 bits.
    pub fn tree(&mut self, path: &Path, source: &Path) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", source.display()));
        let metadata = fs::symlink_metadata(source).map_err(named)?;
        let time = u32::try_from(metadata.mtime()).unwrap_or(0);
        let kind = metadata.file_type();
        let contents = if kind.is_dir() {
            Vec::new()
        } else if kind.is_symlink() {
            fs::read_link(source).map_err(named)?.into_os_string().into_vec()
        } else if kind.is_file() {
            fs::read(source).map_err(named)?
        } else {
            return Err(named(io::Error::new(io::ErrorKind::Unsupported, "not a file, folder or symbolic link")));
        };
        self.entry(path, metadata.mode(), time, &contents)?;
        if kind.is_dir() {
            let mut children = fs::read_dir(source).map_err(named)?.collect::<Result<Vec<_>, _>>().map_err(named)?;
            children.sort_by_key(fs::DirEntry::file_name);
            children.iter().try_for_each(|child| self.tree(&path.join(child.file_name()), &child.path()))?;
        }
        Ok(())
    }

    /// Appends the trailer and returns the archive.
    ///
    /// # Errors
    /// None in practice: the trailer's lengths fit the format.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.entry(Path::new("TRAILER!!!"), 0, 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &Path, mode: u32, time: u32, contents: &[u8]) -> io::Result<()> {
        let fits = |length: usize| u32::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge);
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
        self.entries += 1;
        let fields: [u32; 13] = [
            self.entries, // inode number: unique, so that there are no hard links
            mode,
            0, // uid
            0, // gid
            1, // number of links
            time,
            fits(contents.len())?,
            0, // major and minor number of the file system's device
            0,
            0, // major and minor number of a device node
            0,
            fits(name.len() + 1)?,
            0, // checksum: unused in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        os::unix::fs::PermissionsExt as _,
        process::{
            Command,
            Stdio, //
        },
    };

    use super::*;

    #[test]
    fn cpio_unpacks_the_archive() {
        let target = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        archive.folder("/a", 0o750).unwrap();
        archive.file("/a/odd \n'name", 0o640, b"contents").unwrap();
        archive.file("/a/empty", 0o600, b"").unwrap();
        archive.symlink("/a/link", "odd \n'name").unwrap();
        let mut again = Archive::default();
        let unpack = |archive: Archive| {
            let mut cpio = Command::new("cpio")
                .args(["-i", "-d", "--quiet", "-H", "newc"])
                .current_dir(target.path())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            cpio.stdin.take().unwrap().write_all(&archive.finish().unwrap()).unwrap();
            assert!(cpio.wait().unwrap().success());
        };
        unpack(archive);
        again.tree(Path::new("/b"), &target.path().join("a")).unwrap();
        unpack(again);
        for folder in ["a", "b"] {
            let folder = target.path().join(folder);
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o750);
            assert_eq!(fs::read(folder.join("link")).unwrap(), b"contents");
            assert_eq!(fs::metadata(folder.join("link")).unwrap().permissions().mode() & 0o7777, 0o640);
            assert_eq!(fs::read(folder.join("empty")).unwrap(), b"");
        }
    }
}
