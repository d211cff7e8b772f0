# SPDX-License-Identifier: GPL-2.0
"""Limits, and how guests end."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Limit(enum.IntEnum):
    """Limits: KWASMI_LIMIT_*. docs/security.md describes them."""

    MODULE_SIZE = 1
    FUNCTIONS = 2
    FUNCTION_SIZE = 3
    LOCALS = 4
    ARITY = 5
    GLOBALS = 6
    DATA_SEGMENTS = 7
    ELEMENT_SEGMENTS = 8
    STACK = 9
    CODE = 10
    MEMORY = 11
    TABLE = 12
    HEAP = 13
    FDS = 14
    FUEL = 15
    TIME = 16
    CPU_TIME = 17
    TOTAL_HEAP = 18
    TOTAL_MODULES = 19
    TOTAL_INSTANCES = 20
    TOTAL_RUNNING = 21
    USER_INSTANCES = 22
    USER_RUNNING = 23


class Status(enum.IntEnum):
    """Kinds of endings: `status` of struct kwasmi_run."""

    EXITED = 0
    TRAPPED = 1
    LIMITED = 2
    KILLED = 3
    OUT_OF_MEMORY = 4
    ENGINE_FAULT = 5


class Trap(enum.IntEnum):
    """Traps: KWASMI_TRAP_*."""

    UNREACHABLE = 1
    MEMORY_BOUNDS = 2
    TABLE_BOUNDS = 3
    NULL_ELEMENT = 4
    DIVIDE_BY_ZERO = 5
    INTEGER_OVERFLOW = 6
    BAD_CONVERSION = 7
    BAD_SIGNATURE = 8
    OTHER = 9


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guest ended: struct kwasmi_run."""

    status: int
    """Kind of the ending, a number of `Status`."""
    code: int
    """Exit status, a number of `Trap`, or a number of `Limit`."""
    limit_value: int
    """Value of the limit that was reached."""
    text: str
    """Explanation by the kernel; may be empty."""
    fuel_used: int = 0
    """Fuel. 0 if the ending is that of a call, as the following."""
    memory_peak: int = 0
    """Peak size of the linear memories, in bytes."""
    heap_peak: int = 0
    """Peak memory of the instance, in bytes."""
    stack_peak: int = 0
    """Peak use of the engine stack, in bytes."""

    def __str__(self) -> str:
        if self.status == Status.EXITED:
            return f"exited with {self.code}"
        try:
            name = Status(self.status).name.lower().replace("_", " ")
        except ValueError:
            name = f"status {self.status}"
        return f"{name}: {self.text}" if self.text else name
