# SPDX-License-Identifier: GPL-2.0
"""Exceptions of the package."""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ending import Ending


class Ran(enum.Enum):
    """Whether the function of a failed call ran."""

    NO = "no"
    """It did not begin, so that the call can be repeated."""
    YES = "yes"
    """It began, and ran to its end, to that of the guest, or still runs."""
    PERHAPS = "perhaps"
    """It may have run, wholly or in part."""


class Error(OSError):
    """A failed operation. `errno` is the error number, see kmod/uapi/kwasmi.h."""

    limit: int | None
    """Number of the limit that was exceeded, as in `Limit`."""
    limit_value: int | None
    """Value of this limit."""
    ran: Ran = Ran.NO
    """Whether a function ran: `Ran.NO`, except for a `CallError`."""

    def __init__(self, number: int, message: str, limit: int | None = None, limit_value: int | None = None) -> None:
        super().__init__(number, message)
        self.limit = limit
        self.limit_value = limit_value

    def __str__(self) -> str:
        return str(self.strerror)


class NotFound(Error, LookupError):
    """No service, or no exported function, has the name."""


class CallError(Error):
    """A failed call of a function. Attribute `ran` tells whether the function ran."""

    def __init__(self, number: int, message: str, ran: Ran) -> None:
        super().__init__(number, message)
        self.ran = ran


class CallTimeout(CallError, TimeoutError):
    """The timeout of a call has passed.

    `ran` is `Ran.NO` if the function has not begun. It is `Ran.YES` if the function has begun: it
    runs to its end, and its results are lost.
    """


class ServiceEnded(CallError):
    """The guest ended during the call, by a trap, an exit, a limit or because it was killed."""

    ending: Ending
    """How the guest ended."""

    def __init__(self, message: str, ending: Ending) -> None:
        super().__init__(errno.ESHUTDOWN, message, Ran.YES)
        self.ending = ending


# Errors of KWASMI_IOC_CALL after which the function has not run.
_NOT_RUN = frozenset(
    {
        errno.EBADF,
        errno.ENOTTY,
        errno.EOPNOTSUPP,
        errno.EINVAL,
        errno.E2BIG,
        errno.EDQUOT,
        errno.ESHUTDOWN,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EINTR,
        errno.EFAULT,
        errno.ENOMEM,
    }
)

_MESSAGES = {
    errno.ETIMEDOUT: "the call has not begun within the timeout",
    errno.EINPROGRESS: "the function has not returned within the timeout, and runs on",
    errno.ECONNRESET: "the service was killed during the call",
    errno.ESHUTDOWN: "the service has ended",
    errno.ESTALE: "another instance has taken over the name of the service",
    errno.E2BIG: "the input or the output is too large",
    errno.EDQUOT: "too many calls run",
    errno.EOPNOTSUPP: "the service is not a reactor",
}


def call_error(number: int) -> CallError:
    """Returns the exception for an error of KWASMI_IOC_CALL."""
    if number in _NOT_RUN:
        ran = Ran.NO
    elif number == errno.EINPROGRESS:
        ran = Ran.YES
    else:
        ran = Ran.PERHAPS
    kind = CallTimeout if number in (errno.ETIMEDOUT, errno.EINPROGRESS) else CallError
    return kind(number, _MESSAGES.get(number) or os.strerror(number), ran)
