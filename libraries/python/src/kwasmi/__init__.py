# SPDX-License-Identifier: GPL-2.0
"""Client of kwasmi: loads and runs WebAssembly in the Linux kernel, and calls functions of services.

    with kwasmi.open() as device:
        total = device.find("sum").call("add", 40, timeout=1)

Objects hold descriptors and are context managers. Several threads may use one object at once.
"""

from .client import (
    CALL_BYTES_MAX,
    Device,
    Function,
    GuestFd,
    Instance,
    Module,
    Number,
    Service,
    ServiceInfo,
    State,
    open,
)
from .ending import Ending, Limit, Status, Trap
from .errors import CallError, CallTimeout, Error, NotFound, Ran, ServiceEnded

__all__ = [
    "CALL_BYTES_MAX",
    "CallError",
    "CallTimeout",
    "Device",
    "Ending",
    "Error",
    "Function",
    "GuestFd",
    "Instance",
    "Limit",
    "Module",
    "NotFound",
    "Number",
    "Ran",
    "Service",
    "ServiceEnded",
    "ServiceInfo",
    "State",
    "Status",
    "Trap",
    "open",
]
