// SPDX-License-Identifier: GPL-2.0

//! Cases for arguments and environment.

use crate::{
    case::Topic,
    sys, //
};

fn joined(strings: sys::Result<Vec<Vec<u8>>>) -> sys::Result<Vec<u8>> {
    strings.map(|strings| strings.join(&b'|'))
}

pub(crate) fn cases() {
    let topic = Topic("args");
    let expected = r"wasi.wasm|all|one|two words||\xc3\xbcn\xc3\xafcode";
    topic.is("all arguments", joined(sys::args()), expected);
    topic.is("all arguments a second time", joined(sys::args()), expected);

    let topic = Topic("environ");
    topic.is("all variables", joined(sys::environ()), "A=1|EMPTY=|SPACES= a b ");
}
