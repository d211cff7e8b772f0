// SPDX-License-Identifier: GPL-2.0

//! Cases for `find` and `count` of `kwasmi_bytes_1`.

use crate::{
    case::Topic,
    sys, //
};
use kwasmi_bytes::{
    count,
    find, //
};

/// Size of a buffer larger than the pieces that the host searches at a time, in bytes.
const LARGE: usize = 5 << 19;

/// Functions for calls with invalid addresses; the host checks each address.
#[allow(unsafe_code, reason = "functions of the host")]
mod wild {
    #[link(wasm_import_module = "kwasmi_bytes_1")]
    unsafe extern "C" {
        pub(super) safe fn find(bytes: usize, len: usize, byte: u32, found: usize) -> i32;
        pub(super) safe fn count(bytes: usize, len: usize, byte: u32, counted: usize) -> i32;
    }
}

fn found(bytes: &[u8], byte: u8) -> String {
    find(bytes, byte).map_or_else(|| "none".to_owned(), |offset| offset.to_string())
}

fn searches(topic: &Topic) {
    topic.is("the first of two", found(b"xayaz", b'a'), "1");
    topic.is("at the start", found(b"xayaz", b'x'), "0");
    topic.is("at the end", found(b"xayaz", b'z'), "4");
    topic.is("none", found(b"xayaz", b'b'), "none");
    topic.is("none in an empty slice", found(b"", 0), "none");
    topic.is("the count of two", count(b"xayaz", b'a'), "2");
    topic.is("a count of 0", count(b"xayaz", b'b'), "0");
    topic.is("a count in an empty slice", count(b"", 0), "0");
    let mut large = vec![0; LARGE];
    for offset in [LARGE - 1, (2 << 20) + 1, 2 << 20, (1 << 20) - 1] {
        topic.is("none in a large buffer", found(&large, 1 + (offset % 2) as u8), "none");
        large[offset] = 1 + (offset % 2) as u8;
        topic.is("the first in a large buffer", find(&large, 1 + (offset % 2) as u8).unwrap_or(0) - offset, "0");
        large[offset] = 255;
    }
    topic.is("the count in a large buffer", count(&large, 255), "4");
    topic.is("the count of the other bytes", count(&large, 0), &(LARGE - 4).to_string());
}

fn faults(topic: &Topic) {
    let mut place = 0_u32;
    let out = (&raw mut place).expose_provenance();
    for (name, function) in [("find", wild::find as extern "C" fn(_, _, _, _) -> _), ("count", wild::count)] {
        let case = |what: &str| format!("{name}: {what}");
        topic.is(&case("bytes beyond memory"), sys::done(function(usize::MAX - 7, 8, 0, out)), "fault");
        topic.is(&case("a length of all addresses"), sys::done(function(0, usize::MAX, 0, out)), "fault");
        topic.is(&case("a result beyond memory"), sys::done(function(0, 8, 0, usize::MAX - 2)), "fault");
        topic.is(&case("a value above 255"), sys::done(function(0, 8, 256, out)), "inval");
        topic.is(&case("a length of 0"), sys::done(function(0, 0, 0, out)), "ok");
    }
}

pub(crate) fn cases() {
    let topic = Topic("bytes");
    searches(&topic);
    faults(&topic);
}
