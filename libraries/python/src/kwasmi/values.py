# SPDX-License-Identifier: GPL-2.0
"""Arguments and results of functions: numbers and their 64-bit words."""

from __future__ import annotations

import operator
import struct
from typing import SupportsFloat, SupportsIndex

from . import _uapi

TYPES = {
    _uapi.KWASMI_TYPE_I32: "i32",
    _uapi.KWASMI_TYPE_I64: "i64",
    _uapi.KWASMI_TYPE_F32: "f32",
    _uapi.KWASMI_TYPE_F64: "f64",
}
"""Names of the types by their numbers."""

_BITS = {"i32": 32, "i64": 64}


def to_word(value: SupportsIndex | SupportsFloat, kind: str) -> int:
    """Returns the word of an argument of the type `kind`.

    An integer may be given as a signed or as an unsigned number.

    Raises TypeError if `value` is not an integer or not a number, and OverflowError if it is out of
    range.
    """
    bits = _BITS.get(kind)
    if bits is None:
        if not isinstance(value, SupportsFloat):
            raise TypeError(f"{value!r} is not an {kind}")
        if kind == "f32":
            return int(struct.unpack("=I", struct.pack("=f", float(value)))[0])
        return int(struct.unpack("=Q", struct.pack("=d", float(value)))[0])
    number = operator.index(value)  # type: ignore[arg-type]
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise OverflowError(f"{number} is not an {kind}")
    return number & (1 << bits) - 1


def from_word(word: int, kind: str) -> int | float:
    """Returns the number of a result of the type `kind`. Integers are signed."""
    match kind:
        case "i32":
            return int(struct.unpack("=i", struct.pack("=I", word & 0xFFFFFFFF))[0])
        case "i64":
            return int(struct.unpack("=q", struct.pack("=Q", word))[0])
        case "f32":
            return float(struct.unpack("=f", struct.pack("=I", word & 0xFFFFFFFF))[0])
        case _:
            return float(struct.unpack("=d", struct.pack("=Q", word))[0])
