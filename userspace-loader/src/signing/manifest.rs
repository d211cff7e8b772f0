// SPDX-License-Identifier: GPL-2.0

//! Manifests (`docs/signing.md`): name, version, limits, capabilities and imports of a module, as
//! signed.

use super::{
    capability::Capability,
    cbor::{
        self,
        Value, //
    },
    version::Version, //
};
use crate::limits::{
    Limit,
    RequestedLimits, //
};
use serde::{
    Serialize,
    Serializer, //
};
use std::{
    cmp::Ordering,
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    fmt,
    num::NonZeroU64, //
};

/// Upper bound of the length of a name, in bytes.
pub const NAME_MAX: usize = 64;

/// A text in a manifest. The order is that of the encoded bytes: shorter texts first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word(String);

impl Word {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Escapes the text, which comes from the module.
impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_debug().fmt(f)
    }
}

/// Names of functions, by import module.
pub type Imports = BTreeMap<Word, BTreeSet<Word>>;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Name of the module.
    pub name: String,
    /// Version of the module.
    pub version: Version,
    /// Minimum version of the ioctl interface.
    pub abi: u64,
    /// Capabilities of the module.
    pub capabilities: BTreeSet<Capability>,
    /// Limits: the maximum that a load or a run may request.
    #[serde(serialize_with = "serialize_limits")]
    pub limits: RequestedLimits,
    /// Functions that the module may import.
    pub imports: Imports,
}

fn serialize_limits<S: Serializer>(limits: &RequestedLimits, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(limits.iter().map(|(limit, value)| (limit, value)))
}

/// Checks that `name` is a valid name of a module.
///
/// # Errors
///
/// A message if the name is empty, too long, or contains other characters than those allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(format!("invalid name '{}': expected 1 to 64 characters of a-z 0-9 . _ -", name.escape_debug()))
    }
}

impl Manifest {
    /// Decodes a manifest, as in a file.
    ///
    /// # Errors
    ///
    /// A message if `bytes` are not a manifest in its only encoding.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut manifest = Self {
            name: String::new(),
            version: Version::default(),
            abi: 0,
            capabilities: BTreeSet::new(),
            limits: RequestedLimits::new(),
            imports: Imports::new(),
        };
        let whole = cbor::read(bytes)?;
        let mut missing = vec!["abi", "name", "imports", "version", "capabilities"];
        for (key, value) in pairs(&whole, "keys")? {
            match key {
                "abi" => manifest.abi = cbor::number(value, "abi")?,
                "name" => {
                    manifest.name = cbor::text(value, "name")?.to_owned();
                    check_name(&manifest.name)?;
                }
                "limits" => manifest.limits = limits(value)?,
                "imports" => manifest.imports = imports(value)?,
                "version" => manifest.version = version(value)?,
                "capabilities" => manifest.capabilities = capabilities(value)?,
                _ => return Err(format!("unknown key '{}'", key.escape_debug())),
            }
            missing.retain(|name| *name != key);
        }
        match missing.first() {
            Some(key) => Err(format!("the key {key} is missing")),
            None => Ok(manifest),
        }
    }

    /// Encodes the manifest, as in a file.
    ///
    /// # Errors
    ///
    /// A message if there is no memory.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let text = |text: &str| Value::Text(text.to_owned());
        let number = |number: u64| Value::Integer(number.into());
        let names = |names: &BTreeSet<Word>| Value::Array(names.iter().map(|name| text(name.as_str())).collect());
        let limits = self.limits.iter().map(|(limit, value)| (text(limit.name()), number(value.get())));
        let imports = self.imports.iter().map(|(module, all)| (text(module.as_str()), names(all)));
        let capabilities = self.capabilities.iter().map(|capability| text(capability.name()));
        // In the order of the encoded keys.
        let mut pairs = vec![
            (text("abi"), number(self.abi)),
            (text("name"), text(&self.name)),
            (text("limits"), Value::Map(limits.collect())),
            (text("imports"), Value::Map(imports.collect())),
            (text("version"), Value::Array(self.version.0.map(|part| number(part.into())).into())),
            (text("capabilities"), Value::Array(capabilities.collect())),
        ];
        if self.limits.is_empty() {
            pairs.retain(|(key, _)| *key != text("limits"));
        }
        cbor::write(&Value::Map(pairs))
    }
}

/// Returns the pairs of a map whose keys are texts in ascending order.
fn pairs<'a>(map: &'a Value, of: &str) -> Result<Vec<(&'a str, &'a Value)>, String> {
    let mut pairs = Vec::new();
    for (key, value) in cbor::map(map, of)? {
        pairs.push((cbor::text(key, of)?, value));
    }
    ascending(pairs.iter().map(|(key, _)| *key), of)?;
    Ok(pairs)
}

/// Returns the texts of an array, which must be in ascending order.
fn texts<'a>(array: &'a Value, of: &str) -> Result<Vec<&'a str>, String> {
    let texts: Vec<_> = cbor::array(array, of)?.iter().map(|text| cbor::text(text, of)).collect::<Result<_, _>>()?;
    ascending(texts.iter().copied(), of)?;
    Ok(texts)
}

/// Checks that texts are in ascending order of their encoded bytes, without duplicates.
fn ascending<'a>(texts: impl Iterator<Item = &'a str>, of: &str) -> Result<(), String> {
    let mut last = None;
    for text in texts {
        let word = Word::from(text);
        match last.as_ref().map(|last| word.cmp(last)) {
            Some(Ordering::Equal) => return Err(format!("{of}: duplicate '{word}'")),
            Some(Ordering::Less) => return Err(format!("{of}: '{word}' is not in ascending order")),
            _ => last = Some(word),
        }
    }
    Ok(())
}

fn version(value: &Value) -> Result<Version, String> {
    let expected = || "version: expected three numbers below 2^32".to_owned();
    let [major, minor, patch] = cbor::array(value, "version")? else {
        return Err(expected());
    };
    let mut version = [0; 3];
    for (place, number) in version.iter_mut().zip([major, minor, patch]) {
        *place = u32::try_from(cbor::number(number, "version")?).map_err(|_| expected())?;
    }
    Ok(Version(version))
}

fn capabilities(value: &Value) -> Result<BTreeSet<Capability>, String> {
    texts(value, "capabilities")?.into_iter().map(str::parse).collect()
}

fn limits(value: &Value) -> Result<RequestedLimits, String> {
    let mut limits = RequestedLimits::new();
    for (name, value) in pairs(value, "limits")? {
        let limit = Limit::of_call(name).ok_or_else(|| format!("unknown limit '{}'", name.escape_debug()))?;
        let value = cbor::number(value, name)?;
        let value = NonZeroU64::new(value).filter(|value| value.get() >= limit.minimum());
        limits.push((limit, value.ok_or_else(|| too_low(limit))?));
    }
    Ok(limits)
}

/// Returns the message for a limit below its minimum.
#[must_use]
pub fn too_low(limit: Limit) -> String {
    format!("limit {limit}: below the minimum of {}", limit.show(limit.minimum()))
}

fn imports(value: &Value) -> Result<Imports, String> {
    let mut imports = Imports::new();
    for (module, names) in pairs(value, "imports")? {
        let names = texts(names, &format!("imports of {}", module.escape_debug()))?;
        imports.insert(Word::from(module), names.into_iter().map(Word::from).collect());
    }
    Ok(imports)
}

#[cfg(test)]
impl Manifest {
    /// Returns the example of `docs/signing.md`.
    pub(crate) fn example() -> Self {
        use crate::uapi;
        Self {
            name: "hello".to_owned(),
            version: Version([1, 2, 3]),
            abi: 5,
            capabilities: [Capability::Clocks, Capability::Random].into(),
            limits: vec![
                (Limit(uapi::KWASMI_LIMIT_FUEL), NonZeroU64::new(1_000_000).expect("not 0")),
                (Limit(uapi::KWASMI_LIMIT_MEMORY), NonZeroU64::new(64 << 20).expect("not 0")),
            ],
            imports: [(
                Word::from("wasi_snapshot_preview1"),
                ["fd_write", "proc_exit", "random_get", "clock_time_get"].map(Word::from).into(),
            )]
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        signing::capability::CAPABILITIES,
        uapi, //
    };
    use proptest::prelude::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn number(number: u64) -> Value {
        Value::Integer(number.into())
    }

    /// Returns the manifest that is decoded from the changed pairs of the example.
    fn changed(change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Result<Manifest, String> {
        let bytes = Manifest::example().encode().expect("can be encoded");
        let Value::Map(mut pairs) = cbor::read(&bytes).expect("is CBOR") else { panic!("no map") };
        change(&mut pairs);
        Manifest::read(&cbor::write(&Value::Map(pairs)).expect("can be encoded"))
    }

    fn with(key: &str, value: Value) -> Result<Manifest, String> {
        changed(|pairs| {
            let pair = pairs.iter_mut().find(|(known, _)| *known == text(key)).expect("is there");
            pair.1 = value;
        })
    }

    #[test]
    fn the_encoding_of_the_example() {
        let bytes = Manifest::example().encode().expect("can be encoded");
        let expected: &[u8] =
            b"\xa6\x63abi\x05\x64name\x65hello\x66limits\xa2\x64fuel\x1a\0\x0f\x42\x40\x66memory\x1a\x04\0\0\0\
            \x67imports\xa1\x76wasi_snapshot_preview1\x84\x68fd_write\x69proc_exit\x6arandom_get\x6eclock_time_get\
            \x67version\x83\x01\x02\x03\x6ccapabilities\x82\x66clocks\x66random";
        assert_eq!(bytes, expected);
        assert_eq!(Manifest::read(&bytes), Ok(Manifest::example()));
        let mut bare = Manifest::example();
        bare.limits.clear();
        bare.imports.clear();
        assert_eq!(Manifest::read(&bare.encode().expect("can be encoded")), Ok(bare));
    }

    #[test]
    fn missing_and_unknown_keys_are_refused() {
        for key in ["abi", "name", "imports", "version", "capabilities"] {
            let reason = changed(|pairs| pairs.retain(|(known, _)| *known != text(key)));
            assert_eq!(reason, Err(format!("the key {key} is missing")));
        }
        let unknown = changed(|pairs| pairs.push((text("an-unknown-key"), number(0))));
        assert_eq!(unknown, Err("unknown key 'an-unknown-key'".to_owned()));
        let twice = changed(|pairs| pairs.insert(1, pairs[0].clone()));
        assert_eq!(twice, Err("keys: duplicate 'abi'".to_owned()));
        let unsorted = changed(|pairs| pairs.swap(0, 1));
        assert_eq!(unsorted, Err("keys: 'abi' is not in ascending order".to_owned()));
        let number = changed(|pairs| pairs.insert(0, (number(0), number(0))));
        assert_eq!(number, Err("keys: expected a text".to_owned()));
    }

    #[test]
    fn values_are_checked() {
        let reason = |key: &str, value| with(key, value).expect_err("wrong");
        assert_eq!(reason("abi", text("4")), "abi: expected a number");
        for name in ["", "A", "a b", "é", &"a".repeat(65)] {
            assert!(reason("name", text(name)).contains("invalid name"), "{name}");
        }
        let numbers = |numbers: &[u64]| Value::Array(numbers.iter().copied().map(number).collect());
        for version in [numbers(&[]), numbers(&[1, 2]), numbers(&[1, 2, 3, 4]), numbers(&[1, 2, 1 << 32])] {
            assert_eq!(reason("version", version), "version: expected three numbers below 2^32");
        }
        let texts = |texts: &[&str]| Value::Array(texts.iter().copied().map(text).collect());
        assert_eq!(reason("capabilities", texts(&["all"])), "unknown capability 'all'");
        assert_eq!(reason("capabilities", texts(&["files", "files"])), "capabilities: duplicate 'files'");
        assert_eq!(
            reason("capabilities", texts(&["random", "files"])),
            "capabilities: 'files' is not in ascending order"
        );
        let one = |key: &str, value| Value::Map(vec![(text(key), value)]);
        assert_eq!(reason("limits", one("speed", number(1))), "unknown limit 'speed'");
        assert_eq!(reason("limits", one("total-heap", number(1))), "unknown limit 'total-heap'");
        assert_eq!(reason("limits", one("fuel", number(0))), "limit fuel: below the minimum of 1");
        assert_eq!(reason("limits", one("stack", number(4095))), "limit stack: below the minimum of 4K");
        assert_eq!(reason("limits", one("fuel", text("1M"))), "fuel: expected a number");
        let names = one("m", texts(&["bb", "a"]));
        assert_eq!(reason("imports", names), "imports of m: 'a' is not in ascending order");
        let names = Value::Map(vec![(text("m"), texts(&[])), (text("m"), texts(&[]))]);
        assert_eq!(reason("imports", names), "imports: duplicate 'm'");
    }

    fn manifests() -> impl Strategy<Value = Manifest> {
        let word = || any::<String>().prop_map(Word);
        let limits = proptest::collection::btree_map(1..uapi::KWASMI_LIMIT_TOTAL_HEAP, 4096..=u64::MAX, 0..17);
        (
            "[a-z0-9._-]{1,64}",
            any::<[u32; 3]>(),
            any::<u64>(),
            proptest::sample::subsequence(CAPABILITIES.to_vec(), 0..=5),
            limits,
            proptest::collection::btree_map(word(), proptest::collection::btree_set(word(), 0..9), 0..5),
        )
            .prop_map(|(name, version, abi, capabilities, limits, imports)| {
                let mut limits: RequestedLimits = limits
                    .into_iter()
                    .map(|(limit, value)| (Limit(limit), NonZeroU64::new(value).expect("not 0")))
                    .collect();
                limits.sort_by_key(|(limit, _)| Word::from(limit.name()));
                let capabilities = capabilities.into_iter().collect();
                Manifest { name, version: Version(version), abi, capabilities, limits, imports }
            })
    }

    proptest! {
        #[test]
        fn encoded_manifests_are_read(manifest in manifests()) {
            let bytes = manifest.encode().expect("can be encoded");
            prop_assert_eq!(Manifest::read(&bytes), Ok(manifest));
        }

        #[test]
        fn the_encoding_is_unique(manifest in manifests(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = manifest.encode().expect("can be encoded");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(other) = Manifest::read(&bytes) {
                prop_assert_eq!(other.encode().expect("can be encoded"), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Manifest::read(&bytes);
        }
    }
}
