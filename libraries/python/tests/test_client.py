# SPDX-License-Identifier: GPL-2.0
"""Tests of the parts that need no device."""

import ctypes
import errno
import math
import os
import unittest
from typing import Any
from unittest import mock

from kwasmi import CallError, CallTimeout, Ran, _uapi, client, errors, values


class ValuesTest(unittest.TestCase):
    def test_integers_are_signed_or_unsigned(self) -> None:
        self.assertEqual(0xFFFFFFFF, values.to_word(-1, "i32"))
        self.assertEqual(0xFFFFFFFF, values.to_word(0xFFFFFFFF, "i32"))
        self.assertEqual(-1, values.from_word(0xFFFFFFFF, "i32"))
        self.assertEqual(1 << 63, values.to_word(-(1 << 63), "i64"))
        self.assertEqual(-(1 << 63), values.from_word(1 << 63, "i64"))

    def test_floats_keep_their_bits(self) -> None:
        self.assertEqual(0x3FC00000, values.to_word(1.5, "f32"))
        self.assertEqual(1.5, values.from_word(0x3FC00000, "f32"))
        self.assertEqual(0xBFD0000000000000, values.to_word(-0.25, "f64"))
        self.assertEqual(7.0, values.from_word(values.to_word(7, "f64"), "f64"))
        self.assertTrue(math.isnan(values.from_word(values.to_word(math.nan, "f32"), "f32")))

    def test_other_arguments_are_refused(self) -> None:
        for value, kind, error in (
            (1 << 32, "i32", OverflowError),
            (-(1 << 31) - 1, "i32", OverflowError),
            (1 << 64, "i64", OverflowError),
            (1e300, "f32", OverflowError),
            (1.5, "i32", TypeError),
            ("1", "i64", TypeError),
            ("1", "f64", TypeError),
            (None, "f32", TypeError),
        ):
            with self.subTest(value=value, kind=kind), self.assertRaises(error):
                values.to_word(value, kind)  # type: ignore[arg-type]


class ErrorsTest(unittest.TestCase):
    def test_ran_follows_from_the_error(self) -> None:
        self.assertIs(Ran.NO, errors.call_error(errno.ETIMEDOUT).ran)
        self.assertIs(Ran.YES, errors.call_error(errno.EINPROGRESS).ran)
        self.assertIs(Ran.NO, errors.call_error(errno.ESHUTDOWN).ran)
        for number in (errno.ECONNRESET, errno.EIO, errno.EPROTO):
            self.assertIs(Ran.PERHAPS, errors.call_error(number).ran)

    def test_timeouts_are_those_of_python(self) -> None:
        error = errors.call_error(errno.ETIMEDOUT)
        self.assertIsInstance(error, CallTimeout)
        self.assertIsInstance(error, TimeoutError)
        self.assertEqual("the call has not begun within the timeout", str(error))
        self.assertNotIsInstance(errors.call_error(errno.EIO), TimeoutError)
        self.assertIsInstance(errors.call_error(errno.EIO), CallError)


class TimeoutTest(unittest.TestCase):
    def test_seconds_become_nanoseconds(self) -> None:
        self.assertEqual(1_500_000_000, client._nanoseconds(1.5))
        self.assertEqual(0, client._nanoseconds(0))
        self.assertEqual((1 << 64) - 1, client._nanoseconds(None))
        self.assertEqual((1 << 64) - 1, client._nanoseconds(math.inf))
        for timeout in (-1, math.nan):
            with self.assertRaises(ValueError):
                client._nanoseconds(timeout)


class ReplacedServiceTest(unittest.TestCase):
    """A service `sum` whose function `add` returns its argument plus the number of the function."""

    def setUp(self) -> None:
        self.requests: list[int] = []
        self.fds: list[int] = []
        self.stale = 1
        patch = mock.patch.object(client, "_control", self.control)
        patch.start()
        self.addCleanup(patch.stop)

    def control(self, fd: int, request: int, argument: Any = None) -> int:
        self.requests.append(request)
        if request == _uapi.KWASMI_IOC_FIND:
            self.fds.append(os.open(os.devnull, os.O_RDWR))
            return self.fds[-1]
        generation = self.fds.index(fd) + 1
        if request == _uapi.KWASMI_IOC_FUNCTION:
            argument.function, argument.params_len, argument.results_len = generation, 1, 1
            argument.params[0] = argument.results[0] = _uapi.KWASMI_TYPE_I64
            return 0
        self.assertEqual(generation, argument.function)
        if generation <= self.stale:
            return -errno.ESTALE
        word = ctypes.c_uint64.from_address(argument.args).value + generation
        ctypes.c_uint64.from_address(argument.results).value = word
        argument.returned = 1
        return 0

    def test_a_call_goes_to_the_instance_that_has_the_name(self) -> None:
        device = client.Device(os.open(os.devnull, os.O_RDWR))
        with device, device.find("sum") as service:
            self.assertEqual(42, service.call("add", 40, timeout=5))
            first = [_uapi.KWASMI_IOC_FIND, _uapi.KWASMI_IOC_FUNCTION, _uapi.KWASMI_IOC_CALL]
            self.assertEqual(first * 2, self.requests)
            self.assertEqual(43, service.call("add", 41))
            self.assertEqual([_uapi.KWASMI_IOC_CALL], self.requests[6:])
            with self.assertRaises(OSError):
                os.fstat(self.fds[0])


if __name__ == "__main__":
    unittest.main()
