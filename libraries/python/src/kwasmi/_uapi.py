# SPDX-License-Identifier: GPL-2.0
"""Structures and numbers of kmod/uapi/kwasmi.h, with their names there.

tests/test_layout.py compares them with the header.
"""

from ctypes import Structure, c_char, c_int32, c_uint8, c_uint32, c_uint64, sizeof

u8, u32, u64, s32 = c_uint8, c_uint32, c_uint64, c_int32

KWASMI_UNLIMITED = (1 << 64) - 1

KWASMI_LOAD_COMPILE = 0x1
KWASMI_LOAD_INTERPRET = 0x2
KWASMI_LOAD_ONCE = 0x4
KWASMI_START_SIGPIPE = 1 << 0
KWASMI_START_REACTOR = 1 << 1
KWASMI_INVOKE_NAME_MAX = 4096
KWASMI_INVOKE_MAX = 32
KWASMI_CALL_BYTES_MAX = 1 << 20

KWASMI_TYPE_I32 = 1
KWASMI_TYPE_I64 = 2
KWASMI_TYPE_F32 = 3
KWASMI_TYPE_F64 = 4

KWASMI_SERVICE_READY = 0
KWASMI_SERVICE_RUNNING = 1
KWASMI_SERVICE_ENDED = 2
KWASMI_SERVICE_REMOVED = 3


class kwasmi_info(Structure):
    _fields_ = [
        ("abi", u32),
        ("unsafe_modules", u32),
        ("features", u64),
        ("modules", u64),
        ("instances", u64),
        ("heap_bytes", u64),
        ("heap_blocks", u64),
        ("reclaimed_bytes", u64),
        ("reserve_bytes", u64),
        ("reserve_used_bytes", u64),
        ("reserve_peak_bytes", u64),
        ("engine_stack_bytes", u64),
        ("engine_stack_peak_bytes", u64),
        ("compiled", u64),
        ("machine_code_bytes", u64),
        ("version", c_char * 32),
    ]


class kwasmi_limit(Structure):
    _fields_ = [("limit", u32), ("reserved", u32), ("value", u64)]


class kwasmi_load(Structure):
    _fields_ = [
        ("wasm", u64),
        ("wasm_len", u64),
        ("limits", u64),
        ("limits_len", u32),
        ("limit", u32),
        ("limit_value", u64),
        ("log", u64),
        ("log_size", u32),
        ("log_len", u32),
        ("flags", u32),
        ("reserved", u32),
    ]


class kwasmi_fd(Structure):
    _fields_ = [
        ("fd", s32),
        ("guest_fd", u32),
        ("rights", u64),
        ("rights_inheriting", u64),
        ("name", u64),
        ("name_len", u32),
        ("flags", u32),
    ]


class kwasmi_start(Structure):
    _fields_ = [
        ("args", u64),
        ("args_len", u64),
        ("env", u64),
        ("env_len", u64),
        ("fds", u64),
        ("fds_len", u32),
        ("limits_len", u32),
        ("limits", u64),
        ("limit_value", u64),
        ("limit", u32),
        ("flags", u32),
        ("log", u64),
        ("log_size", u32),
        ("log_len", u32),
        ("invoke", u64),
        ("reserved", u64),
    ]


class kwasmi_run(Structure):
    _fields_ = [
        ("status", u32),
        ("code", u32),
        ("fuel_used", u64),
        ("memory_peak", u64),
        ("heap_peak", u64),
        ("stack_peak", u64),
        ("limit_value", u64),
        ("log", u64),
        ("log_size", u32),
        ("log_len", u32),
        ("flags", u32),
        ("reserved", u32),
    ]


class kwasmi_publish(Structure):
    _fields_ = [("name", c_char * 72), ("log", s32), ("flags", u32)]


class kwasmi_find(Structure):
    _fields_ = [("name", c_char * 72)]


class kwasmi_service(Structure):
    _fields_ = [
        ("name", c_char * 72),
        ("state", u32),
        ("status", u32),
        ("code", u32),
        ("pid", s32),
        ("uid", u32),
        ("instances", u32),
        ("since", u64),
        ("sha256", u8 * 32),
        ("module", c_char * 72),
        ("version", u32 * 3),
        ("reserved2", u32),
    ]


class kwasmi_list_services(Structure):
    _fields_ = [("services", u64), ("services_len", u32), ("reserved", u32)]


class kwasmi_wait(Structure):
    _fields_ = [("timeout", u64), ("state", u32), ("reserved", u32)]


class kwasmi_function(Structure):
    _fields_ = [
        ("name", u64),
        ("name_len", u32),
        ("function", u32),
        ("params_len", u32),
        ("results_len", u32),
        ("params", u8 * 32),
        ("results", u8 * 32),
        ("log", u64),
        ("log_size", u32),
        ("log_len", u32),
    ]


class kwasmi_call(Structure):
    _fields_ = [
        ("function", u32),
        ("args_len", u32),
        ("args", u64),
        ("results", u64),
        ("results_len", u32),
        ("input_len", u32),
        ("input", u64),
        ("output", u64),
        ("output_size", u32),
        ("output_len", u32),
        ("timeout", u64),
        ("returned", u32),
        ("status", u32),
        ("code", u32),
        ("flags", u32),
        ("limit_value", u64),
        ("log", u64),
        ("log_size", u32),
        ("log_len", u32),
    ]


class kwasmi_counter(Structure):
    _fields_ = [("counter", u32), ("index", u32), ("value", u64), ("label", c_char * 48)]


class kwasmi_counters(Structure):
    _fields_ = [("counters", u64), ("counters_len", u32), ("reserved", u32)]


def _number(direction: int, number: int, argument: type[Structure] | None) -> int:
    """Returns the number of an ioctl as the macros of <linux/ioctl.h> do."""
    size = 0 if argument is None else sizeof(argument)
    return direction << 30 | size << 16 | 0xB9 << 8 | number


_NONE, _WRITE, _READ, _BOTH = 0, 1, 2, 3

KWASMI_IOC_INFO = _number(_READ, 0x80, kwasmi_info)
KWASMI_IOC_LOAD = _number(_BOTH, 0x81, kwasmi_load)
KWASMI_IOC_START = _number(_BOTH, 0x82, kwasmi_start)
KWASMI_IOC_RUN = _number(_BOTH, 0x83, kwasmi_run)
KWASMI_IOC_KILL = _number(_NONE, 0x84, None)
KWASMI_IOC_PUBLISH = _number(_WRITE, 0x8E, kwasmi_publish)
KWASMI_IOC_FIND = _number(_WRITE, 0x8F, kwasmi_find)
KWASMI_IOC_LIST_SERVICES = _number(_BOTH, 0x90, kwasmi_list_services)
KWASMI_IOC_SERVICE = _number(_READ, 0x91, kwasmi_service)
KWASMI_IOC_WAIT = _number(_WRITE, 0x92, kwasmi_wait)
KWASMI_IOC_RESULT = _number(_BOTH, 0x93, kwasmi_run)
KWASMI_IOC_LOG = _number(_NONE, 0x94, None)
KWASMI_IOC_REMOVE = _number(_NONE, 0x95, None)
KWASMI_IOC_COUNTERS = _number(_BOTH, 0x96, kwasmi_counters)
KWASMI_IOC_FUNCTION = _number(_BOTH, 0x97, kwasmi_function)
KWASMI_IOC_CALL = _number(_BOTH, 0x98, kwasmi_call)
