// SPDX-License-Identifier: GPL-2.0

//! Deterministically encoded CBOR ([RFC 8949,
//! 4.2.1](https://www.rfc-editor.org/rfc/rfc8949#section-4.2.1)), as far as manifests use it.

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

/// A data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An unsigned integer.
    Number(u64),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Item>),
    /// A map, in the order of its encoding.
    Map(Vec<(Item, Item)>),
}

impl Item {
    /// Returns the number. `what` names the item in the error.
    ///
    /// # Errors
    ///
    /// A message if the item is not a number.
    pub fn number(&self, what: &str) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => Err(format!("{what}: expected a number")),
        }
    }

    /// Returns the text. `what` names the item in the error.
    ///
    /// # Errors
    ///
    /// A message if the item is not a text.
    pub fn text(&self, what: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(format!("{what}: expected a text")),
        }
    }

    /// Returns the items of an array. `what` names the item in the error.
    ///
    /// # Errors
    ///
    /// A message if the item is not an array.
    pub fn array(&self, what: &str) -> Result<&[Self], String> {
        match self {
            Self::Array(items) => Ok(items),
            _ => Err(format!("{what}: expected an array")),
        }
    }

    /// Returns the pairs of a map. `what` names the item in the error.
    ///
    /// # Errors
    ///
    /// A message if the item is not a map.
    pub fn map(&self, what: &str) -> Result<&[(Self, Self)], String> {
        match self {
            Self::Map(pairs) => Ok(pairs),
            _ => Err(format!("{what}: expected a map")),
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
            _ => Err("not a number, text, array or map".to_owned()),
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

/// Decodes `bytes`, which must be one item. The order of map keys is not checked.
///
/// # Errors
///
/// A message if `bytes` are not valid CBOR, contain an item of another type, are not in the
/// shortest form, or continue after the item.
pub fn read(bytes: &[u8]) -> Result<Item, String> {
    let value = Value::decode(&mut SliceReader::new(bytes)).map_err(|error| match error {
        Error::Eof { .. } => "unexpected end".to_owned(),
        Error::RequireUtf8 { .. } => "a text that is not UTF-8".to_owned(),
        _ => "not CBOR of numbers, texts, arrays and maps".to_owned(),
    })?;
    let item = Item::try_from(value)?;
    // Both encodings have the same items, so a difference is one of form.
    let shortest = write_as_it_is(&item)?;
    if shortest == bytes {
        Ok(item)
    } else if bytes.starts_with(&shortest) {
        Err(format!("bytes after the end at offset {}", shortest.len()))
    } else {
        let offset = shortest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        Err(format!("a number or length that is indefinite or not in its shortest form, at offset {offset}"))
    }
}

/// Encodes an item, with map keys in ascending order of their encoded bytes.
///
/// # Errors
///
/// A message if there is no memory.
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

/// Encodes an item, with map keys in their current order.
///
/// # Errors
///
/// A message if there is no memory.
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
        let shortest = "a number or length that is indefinite or not in its shortest form, at offset 0";
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
    fn other_items_are_refused() {
        assert_eq!(read(b"\x20"), Err("a negative number".to_owned()));
        assert_eq!(read(b"\x00\x00"), Err("bytes after the end at offset 1".to_owned()));
        for bad in [b"\xf6".as_slice(), b"\xf5", b"\x41a", b"\xc1\0", b"\xfa\0\0\0\0"] {
            assert_eq!(read(bad), Err("not a number, text, array or map".to_owned()), "{bad:?}");
        }
        assert_eq!(read(b"\x61\xff"), Err("a text that is not UTF-8".to_owned()));
        for bad in [b"".as_slice(), b"\x61", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(read(bad), Err("unexpected end".to_owned()), "{bad:?}");
        }
        for bad in [b"\xff".as_slice(), b"\x1f", &[0x81; 70_000]] {
            assert_eq!(read(bad), Err("not CBOR of numbers, texts, arrays and maps".to_owned()), "{} bytes", bad.len());
        }
    }
}
