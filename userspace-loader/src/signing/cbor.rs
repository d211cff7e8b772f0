// SPDX-License-Identifier: GPL-2.0

//! Deterministically encoded CBOR ([RFC 8949,
//! 4.2.1](https://www.rfc-editor.org/rfc/rfc8949#section-4.2.1)), as far as manifests use it.
//!
//! cbor4ii encodes and decodes; it accepts each form of a number or length, so [`read`] compares the
//! bytes with the shortest form.

use cbor4ii::core::{
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

pub use cbor4ii::core::Value;

/// Returns a number. `what` names the value in the error.
///
/// # Errors
///
/// A message if the value is not an unsigned integer.
pub fn number(value: &Value, what: &str) -> Result<u64, String> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
    .ok_or_else(|| format!("{what}: expected a number"))
}

/// Returns a text. `what` names the value in the error.
///
/// # Errors
///
/// A message if the value is not a text.
pub fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(format!("{what}: expected a text")),
    }
}

/// Returns the items of an array. `what` names the value in the error.
///
/// # Errors
///
/// A message if the value is not an array.
pub fn array<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], String> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(format!("{what}: expected an array")),
    }
}

/// Returns the pairs of a map. `what` names the value in the error.
///
/// # Errors
///
/// A message if the value is not a map.
pub fn map<'a>(value: &'a Value, what: &str) -> Result<&'a [(Value, Value)], String> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        _ => Err(format!("{what}: expected a map")),
    }
}

/// Decodes `bytes`, which must be one data item of unsigned integers, texts, arrays and maps. The
/// order of map keys is not checked.
///
/// # Errors
///
/// A message if `bytes` are not valid CBOR, contain an item of another type, are not in the
/// shortest form, or continue after the item.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let value = Value::decode(&mut SliceReader::new(bytes)).map_err(|error| match error {
        Error::Eof { .. } => "unexpected end".to_owned(),
        Error::RequireUtf8 { .. } => "a text that is not UTF-8".to_owned(),
        _ => "not CBOR of numbers, texts, arrays and maps".to_owned(),
    })?;
    check_types(&value)?;
    // Both encodings have the same items, so a difference is one of form.
    let shortest = write(&value)?;
    if shortest == bytes {
        Ok(value)
    } else if bytes.starts_with(&shortest) {
        Err(format!("bytes after the end at offset {}", shortest.len()))
    } else {
        let offset = shortest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        Err(format!("a number or length that is indefinite or not in its shortest form, at offset {offset}"))
    }
}

fn check_types(value: &Value) -> Result<(), String> {
    match value {
        Value::Integer(..0) => Err("a negative number".to_owned()),
        Value::Integer(_) | Value::Text(_) => Ok(()),
        Value::Array(items) => items.iter().try_for_each(check_types),
        Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).try_for_each(check_types),
        _ => Err("not a number, text, array or map".to_owned()),
    }
}

/// Encodes a data item in the shortest form. Map keys are in the order of `value`.
///
/// # Errors
///
/// A message if there is no memory.
pub fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut writer = BufWriter::new(Vec::new());
    value.encode(&mut writer).map_err(|error| error.to_string())?;
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
