// SPDX-License-Identifier: GPL-2.0

//! Parser of manifests. A manifest states the name, version, imports, capabilities and limits of a
//! module.
//!
//! The parser is written by hand, because the kernel module compiles this file and links no crates.

use super::{
    Malformed,
    capabilities,
    cbor::{
        Ascending,
        CborReader, //
    }, //
};

/// Upper bound of the length of a module's name, in bytes.
pub const NAME_MAX: usize = 64;

macro_rules! define_capabilities {
    ($($capability:ident = $bit:literal, $name:literal, $text:literal;)*) => {
        /// Capability that a manifest can grant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Capability {
            $(
                #[doc = $text]
                $capability = 1 << $bit,
            )*
        }

        /// All capabilities, in the order of a manifest.
        const CAPABILITIES: &[Capability] = &[$(Capability::$capability),*];

        impl Capability {
            /// Returns the capability's name in a manifest.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$capability => $name,)*
                }
            }
        }

        impl Capabilities {
            /// All capabilities: those of a module without a manifest.
            pub const ALL: Self = Self(0 $(| 1 << $bit)*);
        }
    };
}

capabilities::capabilities!(define_capabilities);

/// Set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Returns true if `capability` is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability as u8 != 0
    }

    /// Returns the set as bits of [`Capability`].
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set with these bits. Unknown bits are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

/// Manifest that was parsed completely.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// Lowest version of the ioctl interface that the module accepts.
    pub abi: u64,
    /// Name of the module.
    pub name: &'a str,
    /// Version of the module: major, minor, patch.
    pub version: [u32; 3],
    /// Capabilities of the module.
    pub capabilities: Capabilities,
    limits: &'a [u8],
    imports: &'a [u8],
}

impl<'a> Manifest<'a> {
    /// Parses a manifest.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `bytes` is not the deterministic encoding of a manifest.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = CborReader::new(bytes);
        let mut this = Self {
            abi: 0,
            name: "",
            version: [0; 3],
            capabilities: Capabilities::default(),
            limits: &[],
            imports: &[],
        };
        let mut ascending = Ascending::default();
        let mut needed: u8 = 0;
        for _ in 0..reader.map()? {
            let key = reader;
            let name = reader.text()?;
            if !ascending.admits(name) {
                return Err(key.wrong("keys out of order or duplicate"));
            }
            let begin = reader;
            match name {
                "abi" => this.abi = reader.number()?,
                "name" => this.name = module_name(&mut reader)?,
                "limits" => {
                    limits(&mut reader, |_, _| {})?;
                    this.limits = reader.since(begin);
                }
                "imports" => {
                    imports(&mut reader, |_, _| {})?;
                    this.imports = reader.since(begin);
                }
                "version" => this.version = version(&mut reader)?,
                "capabilities" => this.capabilities = capabilities(&mut reader)?,
                _ => return Err(key.wrong("an unknown key")),
            }
            needed = needed.saturating_add(u8::from(name != "limits"));
        }
        if !reader.is_at_end() {
            return Err(reader.wrong("bytes after the end"));
        }
        if needed != 5 {
            return Err(reader.wrong("a key is missing"));
        }
        Ok(this)
    }

    /// Calls `f` with the name and the value of each limit.
    pub fn each_limit(&self, f: impl FnMut(&'a str, u64)) {
        if !self.limits.is_empty() {
            // `read` has parsed these bytes successfully, so parsing them again cannot fail.
            let _ = limits(&mut CborReader::new(self.limits), f);
        }
    }

    /// Calls `f` with the module and the name of each import.
    pub fn each_import(&self, f: impl FnMut(&'a str, &'a str)) {
        // `read` has parsed these bytes successfully, so parsing them again cannot fail.
        let _ = imports(&mut CborReader::new(self.imports), f);
    }
}

/// Returns true if `name` is a valid name of a module.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

fn module_name<'a>(reader: &mut CborReader<'a>) -> Result<&'a str, Malformed> {
    let begin = *reader;
    let name = reader.text()?;
    if is_name(name) { Ok(name) } else { Err(begin.wrong("not a name of 1 to 64 characters of a-z 0-9 . _ -")) }
}

fn version(reader: &mut CborReader<'_>) -> Result<[u32; 3], Malformed> {
    let begin = *reader;
    if reader.array()? != 3 {
        return Err(begin.wrong("not a version of three numbers"));
    }
    let mut version = [0; 3];
    for number in &mut version {
        *number = u32::try_from(reader.number()?).map_err(|_| begin.wrong("not a version of numbers below 2^32"))?;
    }
    Ok(version)
}

fn capabilities(reader: &mut CborReader<'_>) -> Result<Capabilities, Malformed> {
    let mut ascending = Ascending::default();
    let mut bits = 0;
    for _ in 0..reader.array()? {
        let begin = *reader;
        let name = reader.text()?;
        let Some(capability) = CAPABILITIES.iter().find(|known| known.name() == name) else {
            return Err(begin.wrong("an unknown capability"));
        };
        if !ascending.admits(name) {
            return Err(begin.wrong("capabilities out of order or duplicate"));
        }
        bits |= *capability as u8;
    }
    Ok(Capabilities(bits))
}

fn limits<'a>(reader: &mut CborReader<'a>, mut f: impl FnMut(&'a str, u64)) -> Result<(), Malformed> {
    let mut ascending = Ascending::default();
    for _ in 0..reader.map()? {
        let begin = *reader;
        let name = reader.text()?;
        if !ascending.admits(name) {
            return Err(begin.wrong("limits out of order or duplicate"));
        }
        f(name, reader.number()?);
    }
    Ok(())
}

fn imports<'a>(reader: &mut CborReader<'a>, mut f: impl FnMut(&'a str, &'a str)) -> Result<(), Malformed> {
    let mut modules = Ascending::default();
    for _ in 0..reader.map()? {
        let begin = *reader;
        let module = reader.text()?;
        if !modules.admits(module) {
            return Err(begin.wrong("modules out of order or duplicate"));
        }
        let mut names = Ascending::default();
        for _ in 0..reader.array()? {
            let begin = *reader;
            let name = reader.text()?;
            if !names.admits(name) {
                return Err(begin.wrong("imports out of order or duplicate"));
            }
            f(module, name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn text(text: &str) -> Vec<u8> {
        let len = u8::try_from(text.len()).expect("short");
        let head = if len < 24 { [0x60 | len].to_vec() } else { [0x78, len].to_vec() };
        [head, text.as_bytes().to_vec()].concat()
    }

    fn pair(key: &str, value: &[u8]) -> Vec<u8> {
        [text(key).as_slice(), value].concat()
    }

    /// Encodes a map of these pairs.
    fn map(pairs: &[Vec<u8>]) -> Vec<u8> {
        let len = u8::try_from(pairs.len()).expect("few");
        [&[0xa0 | len], pairs.concat().as_slice()].concat()
    }

    fn pairs() -> Vec<Vec<u8>> {
        [
            pair("abi", &[4]),
            pair("name", &text("a-1.b_c")),
            pair("limits", &[&[0xa2][..], &pair("fuel", &[0x1a, 0, 1, 0, 0]), &pair("memory", &[0x18, 64])].concat()),
            pair("imports", &[&[0xa1][..], &pair("m", &[&[0x82][..], &text("bb"), &text("aaa")].concat())].concat()),
            pair("version", &[0x83, 1, 2, 0x1a, 0xff, 0xff, 0xff, 0xff]),
            pair("capabilities", &[&[0x82][..], &text("files"), &text("sockets")].concat()),
        ]
        .into()
    }

    #[test]
    fn a_manifest_is_read() {
        let bytes = map(&pairs());
        let manifest = Manifest::read(&bytes).expect("well-formed");
        assert_eq!((manifest.abi, manifest.name), (4, "a-1.b_c"));
        assert_eq!(manifest.version, [1, 2, u32::MAX]);
        let has = |capability| manifest.capabilities.has(capability);
        assert!(has(Capability::Files) && has(Capability::Sockets));
        assert!(!has(Capability::Clocks) && !has(Capability::Random) && !has(Capability::Services));
        let mut limits = Vec::new();
        manifest.each_limit(|name, value| limits.push((name, value)));
        assert_eq!(limits, [("fuel", 65536), ("memory", 64)]);
        let mut imports = Vec::new();
        manifest.each_import(|module, name| imports.push((module, name)));
        assert_eq!(imports, [("m", "bb"), ("m", "aaa")]);
    }

    #[test]
    fn only_limits_are_optional() {
        for left_out in 0..6 {
            let mut pairs = pairs();
            pairs.remove(left_out);
            let bytes = map(&pairs);
            let result = Manifest::read(&bytes);
            assert_eq!(result.is_ok(), left_out == 2, "{left_out}: {result:?}");
        }
    }

    /// Returns the error message for a manifest with `value` for `key`.
    fn wrong(key: &str, value: &[u8]) -> &'static str {
        let mut pairs = pairs();
        let place = pairs.iter_mut().find(|pair| pair.starts_with(&text(key))).expect("a key");
        *place = pair(key, value);
        Manifest::read(&map(&pairs)).expect_err("wrong").what
    }

    #[test]
    fn encodings_that_are_not_deterministic_are_refused() {
        assert_eq!(wrong("abi", &[0x18, 4]), "a number that is not in its shortest form");
        assert_eq!(
            wrong("abi", &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            "a number that is not in its shortest form"
        );
        assert_eq!(wrong("abi", &[0x20]), "not a number");
        assert_eq!(wrong("abi", &[0x1f]), "an indefinite or reserved length");
        assert_eq!(wrong("name", &[0x7f, 0x61, 0x61, 0xff]), "an indefinite or reserved length");
        assert_eq!(wrong("name", &[0x61, 0xff]), "not UTF-8 text");
        assert_eq!(wrong("name", &[0x41, 0x61]), "not a text");
        assert_eq!(wrong("limits", &[0xbf, 0xff]), "an indefinite or reserved length");
        assert_eq!(wrong("limits", &[0x80]), "not a map");
        assert_eq!(wrong("version", &[0xa0]), "not an array");
        let mut pairs = pairs();
        pairs.swap(0, 1);
        assert_eq!(Manifest::read(&map(&pairs)).expect_err("wrong").what, "keys out of order or duplicate");
    }

    #[test]
    fn invalid_values_are_refused() {
        for name in ["", "A", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(wrong("name", &text(name)), "not a name of 1 to 64 characters of a-z 0-9 . _ -");
        }
        assert_eq!(wrong("version", &[0x82, 1, 2]), "not a version of three numbers");
        assert_eq!(
            wrong("version", &[0x83, 1, 2, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
            "not a version of numbers below 2^32"
        );
        let list = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| text(name)).collect();
            [&[0x80 | u8::try_from(names.len()).expect("few")], names.concat().as_slice()].concat()
        };
        assert_eq!(wrong("capabilities", &list(&["everything"])), "an unknown capability");
        let order = "capabilities out of order or duplicate";
        assert_eq!(wrong("capabilities", &list(&["random", "files"])), order);
        assert_eq!(wrong("capabilities", &list(&["files", "files"])), order);
        let twice = [&[0xa2][..], &pair("fuel", &[1]), &pair("fuel", &[2])].concat();
        assert_eq!(wrong("limits", &twice), "limits out of order or duplicate");
        let twice = [&[0xa1][..], &pair("m", &list(&["f", "f"]))].concat();
        assert_eq!(wrong("imports", &twice), "imports out of order or duplicate");
        let twice = [&[0xa2][..], &pair("m", &list(&["f"])), &pair("m", &list(&["g"]))].concat();
        assert_eq!(wrong("imports", &twice), "modules out of order or duplicate");
        let more = [pairs(), [pair("extra-long-key", &[0])].into()].concat();
        assert_eq!(Manifest::read(&map(&more)).expect_err("wrong").what, "an unknown key");
        assert_eq!(
            Manifest::read(&[map(&pairs()), [0].into()].concat()).expect_err("wrong").what,
            "bytes after the end"
        );
    }

    #[test]
    fn truncated_manifests_are_refused() {
        let bytes = map(&pairs());
        for len in 0..bytes.len() {
            assert!(Manifest::read(&bytes[..len]).is_err(), "{len}");
        }
        // Arrays and texts with a huge length.
        for huge in [
            [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            [0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            wrong("capabilities", &huge);
            wrong("name", &huge);
        }
    }
}
