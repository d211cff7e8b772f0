// SPDX-License-Identifier: GPL-2.0

//! CBOR, deterministically encoded: [RFC 8949, 4.2.1](https://www.rfc-editor.org/rfc/rfc8949#section-4.2.1). As much of it
//! as a manifest has.

use cbor4ii::core::{
    Value,
    dec::{
        Decode as _,
        Error, //
    },
    enc::Encode as _,
    utils::{
        BufWriter,
        SliceReader, //
    },
};

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A number that is not negative.
    Number(u64),
    /// A text.
    Text(String),
    /// An array.
    Array(Vec<Item>),
    /// A map, in the order in which it is written.
    Map(Vec<(Item, Item)>),
}

impl Item {
    /// It, as a number. `what` it is about is for the error.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn number(&self, what: &str) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => Err(format!("{what}: a number is wanted")),
        }
    }

    /// It, as a text.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn text(&self, what: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(format!("{what}: a text is wanted")),
        }
    }

    /// It, as an array.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn array(&self, what: &str) -> Result<&[Self], String> {
        match self {
            Self::Array(items) => Ok(items),
            _ => Err(format!("{what}: an array is wanted")),
        }
    }

    /// It, as a map.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn map(&self, what: &str) -> Result<&[(Self, Self)], String> {
        match self {
            Self::Map(pairs) => Ok(pairs),
            _ => Err(format!("{what}: a map is wanted")),
        }
    }
}

impl TryFrom<Value> for Item {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => {
                u64::try_from(number).map(Self::Number).map_err(|_| "a negative number".to_owned())
            }
            Value::Text(text) => Ok(Self::Text(text)),
            Value::Array(items) => Ok(Self::Array(items.into_iter().map(Self::try_from).collect::<Result<_, _>>()?)),
            Value::Map(pairs) => {
                let pair = |(key, value)| Ok((Self::try_from(key)?, Self::try_from(value)?));
                Ok(Self::Map(pairs.into_iter().map(pair).collect::<Result<_, String>>()?))
            }
            _ => Err("neither number, text, array nor map".to_owned()),
        }
    }
}

impl From<&Item> for Value {
    fn from(item: &Item) -> Self {
        match item {
            Item::Number(number) => Self::Integer((*number).into()),
            Item::Text(text) => Self::Text(text.clone()),
            Item::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Item::Map(pairs) => {
                Self::Map(pairs.iter().map(|(key, value)| (Self::from(key), Self::from(value))).collect())
            }
        }
    }
}

/// Reads one item, which is all that there is. Whether a map's keys are in order is for the caller to see.
///
/// # Errors
///
/// In words.
pub fn read(bytes: &[u8]) -> Result<Item, String> {
    let value = Value::decode(&mut SliceReader::new(bytes)).map_err(|error| match error {
        Error::Eof { .. } => "it ends too early".to_owned(),
        Error::RequireUtf8 { .. } => "a text that is not UTF-8".to_owned(),
        _ => "not CBOR of numbers, texts, arrays and maps".to_owned(),
    })?;
    let item = Item::try_from(value)?;
    // Of what is in the item all is the same in both, so that what differs is how it is written.
    let shortest = write_as_it_is(&item)?;
    if shortest == bytes {
        Ok(item)
    } else if bytes.starts_with(&shortest) {
        Err(format!("bytes after the end at offset {}", shortest.len()))
    } else {
        let offset = shortest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        Err(format!("a number or length that is not in its shortest form, or indefinite, at offset {offset}"))
    }
}

/// Writes an item, with the keys of maps in the order of their encoded bytes.
///
/// # Errors
///
/// In words, if there is no memory.
pub fn write(item: &Item) -> Result<Vec<u8>, String> {
    write_as_it_is(&sorted(item)?)
}

fn sorted(item: &Item) -> Result<Item, String> {
    Ok(match item {
        Item::Array(items) => Item::Array(items.iter().map(sorted).collect::<Result<_, _>>()?),
        Item::Map(pairs) => {
            let mut keyed = Vec::new();
            for (key, value) in pairs {
                keyed.push((write_as_it_is(key)?, (key.clone(), sorted(value)?)));
            }
            keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
            Item::Map(keyed.into_iter().map(|(_, pair)| pair).collect())
        }
        other => other.clone(),
    })
}

/// Writes an item, with the keys of maps in the order that they have.
///
/// # Errors
///
/// In words, if there is no memory.
pub fn write_as_it_is(item: &Item) -> Result<Vec<u8>, String> {
    let mut writer = BufWriter::new(Vec::new());
    Value::from(item).encode(&mut writer).map_err(|error| error.to_string())?;
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_form_only() {
        for good in
            [b"\x00".as_slice(), b"\x17", b"\x18\x18", b"\x19\x01\0", b"\x1a\0\x01\0\0", b"\x61a", b"\x80", b"\xa0"]
        {
            let item = read(good).expect("shortest");
            assert_eq!(write(&item).expect("can be written"), good);
        }
        let shortest = "a number or length that is not in its shortest form, or indefinite, at offset 0";
        for bad in [
            b"\x18\x17".as_slice(),
            b"\x19\0\xff",
            b"\x1b\0\0\0\0\0\0\0\0",
            b"\x78\x01a",
            b"\x7f\x61a\xff",
            b"\x9f\xff",
            b"\xbf\xff",
            b"\x98\0",
        ] {
            assert_eq!(read(bad), Err(shortest.to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn other_items_are_told() {
        assert_eq!(read(b"\x20"), Err("a negative number".to_owned()));
        assert_eq!(read(b"\x00\x00"), Err("bytes after the end at offset 1".to_owned()));
        for bad in [b"\xf6".as_slice(), b"\xf5", b"\x41a", b"\xc1\0", b"\xfa\0\0\0\0"] {
            assert_eq!(read(bad), Err("neither number, text, array nor map".to_owned()), "{bad:?}");
        }
        assert_eq!(read(b"\x61\xff"), Err("a text that is not UTF-8".to_owned()));
        for bad in [b"".as_slice(), b"\x61", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(read(bad), Err("it ends too early".to_owned()), "{bad:?}");
        }
        for bad in [b"\xff".as_slice(), b"\x1f", &[0x81; 70_000]] {
            assert_eq!(read(bad), Err("not CBOR of numbers, texts, arrays and maps".to_owned()), "{} bytes", bad.len());
        }
    }
}
