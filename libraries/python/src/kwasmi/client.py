# SPDX-License-Identifier: GPL-2.0
"""The device, modules, instances and services."""

from __future__ import annotations

import ctypes
import enum
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from ctypes import addressof
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar, overload

from . import _uapi, counters, values
from .ending import Ending, Limit
from .errors import Error, NotFound, ServiceEnded, call_error

CALL_BYTES_MAX = _uapi.KWASMI_CALL_BYTES_MAX
"""Largest input, and largest output, of a call, in bytes."""

Number = int | float
"""A result of a function."""

_LOG_BYTES = 4096
_LIST_ROOM = 64

# Rights of WASI preview 1 that a stream has: fd_read, fd_fdstat_set_flags, fd_write,
# fd_filestat_get, poll_fd_readwrite.
_STREAM_RIGHTS = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 21 | 1 << 27

_ENGINES = {
    "auto": 0,
    "compiler": _uapi.KWASMI_LOAD_COMPILE,
    "interpreter": _uapi.KWASMI_LOAD_INTERPRET,
}

_Entry = TypeVar("_Entry", bound=ctypes.Structure)


class State(enum.IntEnum):
    """States of a service."""

    READY = _uapi.KWASMI_SERVICE_READY
    RUNNING = _uapi.KWASMI_SERVICE_RUNNING
    ENDED = _uapi.KWASMI_SERVICE_ENDED
    REMOVED = _uapi.KWASMI_SERVICE_REMOVED


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """Description of a service: struct kwasmi_service."""

    name: str
    state: int
    """A number of `State`."""
    pid: int | None
    """Process ID of the supervisor, if it runs and the caller can see it."""
    uid: int
    """Effective user of the supervisor when the service got its name."""
    since: int
    """Time at which the service got its name: CLOCK_BOOTTIME, in nanoseconds."""
    sha256: bytes
    """SHA-256 of the module without its signature."""
    module: str | None
    """Name of the module, if it has a manifest."""
    version: tuple[int, int, int]
    """Version of the module."""


@dataclass(frozen=True, slots=True)
class GuestFd:
    """Descriptor that a guest gets: struct kwasmi_fd."""

    fd: int
    """Descriptor of this process."""
    guest_fd: int
    """Number in the guest."""
    rights: int = _STREAM_RIGHTS
    """Rights of WASI preview 1; the default is that of a stream without position."""
    rights_inheriting: int = 0
    """Rights of descriptors that the guest opens through this one."""
    name: bytes = b""
    """Guest path of a preopened directory."""


@dataclass(frozen=True, slots=True)
class Function:
    """Exported function of a reactor."""

    name: str
    params: tuple[str, ...]
    """Types of the parameters: `i32`, `i64`, `f32` or `f64`."""
    results: tuple[str, ...]
    """Types of the results."""
    number: int
    """Number of the function in its instance."""


class _Log:
    """Log buffer of an ioctl."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_LOG_BYTES)

    def attach(self, argument: Any) -> None:
        argument.log = addressof(self.buffer)
        argument.log_size = _LOG_BYTES

    def text(self, argument: Any) -> str:
        return self.buffer.raw[: min(argument.log_len, _LOG_BYTES)].decode(errors="replace")


class _Handle:
    """A descriptor, which is closed with the last reference, and the functions found with it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.functions: dict[str, Function] = {}

    @property
    def fd(self) -> int:
        if self._fd < 0:
            raise ValueError("the object is closed")
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def _control(fd: int, request: int, argument: ctypes.Structure | None = None) -> int:
    """Calls ioctl(2). Returns its result or the negative error number."""
    try:
        if argument is None:
            return fcntl.ioctl(fd, request)
        # A Structure is a writable buffer, which receives the results.
        return fcntl.ioctl(fd, request, argument, True)  # type: ignore[no-any-return]
    except OSError as error:
        return -(error.errno or errno.EIO)


def _check(result: int, text: str = "", limit: int = 0, limit_value: int = 0) -> int:
    """Returns the result of an ioctl. Raises Error if it is an error number."""
    if result >= 0:
        return result
    message = text or os.strerror(-result)
    if limit:
        raise Error(-result, message, limit, limit_value)
    raise Error(-result, message)


def _nanoseconds(timeout: float | None) -> int:
    """Returns a timeout in seconds as the kernel takes it."""
    if timeout is None:
        return _uapi.KWASMI_UNLIMITED
    if not timeout >= 0:
        raise ValueError(f"timeout {timeout}: not a positive number")
    if timeout > 1 << 33:
        return _uapi.KWASMI_UNLIMITED
    return round(timeout * 1e9)


def _control_within(fd: int, request: int, argument: Any, nanoseconds: int) -> int:
    """Calls an ioctl with the field `timeout` until no signal interrupts it."""
    argument.timeout = nanoseconds
    if nanoseconds == _uapi.KWASMI_UNLIMITED:
        while (result := _control(fd, request, argument)) == -errno.EINTR:
            pass
        return result
    begin = time.monotonic_ns()
    while (result := _control(fd, request, argument)) == -errno.EINTR:
        argument.timeout = max(0, nanoseconds - (time.monotonic_ns() - begin))
    return result


def _list(kind: type[_Entry], ask: Callable[[int, int], int]) -> list[_Entry]:
    """Returns a list whose length the kernel knows. `ask` gets the address and the capacity of an array."""
    room = _LIST_ROOM
    while True:
        entries = (kind * room)()
        length = ask(addressof(entries), room)
        if length <= room:
            return list(entries[:length])
        # The list may have grown since the call.
        room = length + _LIST_ROOM


def _limits(limits: Mapping[Limit | str, int] | None) -> ctypes.Array[_uapi.kwasmi_limit]:
    """Returns limits as the kernel takes them. A name such as "cpu-time" stands for a `Limit`."""
    given = limits or {}
    raw = (_uapi.kwasmi_limit * len(given))()
    for place, (limit, value) in zip(raw, given.items(), strict=True):
        place.limit = Limit[limit.upper().replace("-", "_")] if isinstance(limit, str) else limit
        place.value = value
    return raw


def _strings(strings: Iterable[str | bytes]) -> bytes:
    """Returns strings one after another, each with a NUL."""
    joined = []
    for string in strings:
        encoded = os.fsencode(string)
        if b"\0" in encoded:
            raise ValueError("a string with a NUL in it")
        joined.append(encoded + b"\0")
    return b"".join(joined)


def _name(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) >= 72 or b"\0" in encoded:
        raise Error(errno.EINVAL, f"{name!r}: not a name of a service")
    return encoded


def _address(data: bytes) -> int:
    """Returns the address of bytes, which the kernel only reads. The caller keeps a reference."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


class _Object:
    """An object with a descriptor."""

    def __init__(self, fd: int) -> None:
        self._handle = _Handle(fd)

    def fileno(self) -> int:
        """Returns the descriptor, which belongs to this object."""
        return self._handle.fd

    def close(self) -> None:
        """Closes the descriptor. No other thread may use the object."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Counted(_Object):
    """An object with counters."""

    def counters(self) -> dict[str, int | dict[str, int]]:
        """Returns the counters by their names in docs/stats.md.

        A counter with labels is a dictionary of its values by label.
        """
        fd = self._handle.fd

        def ask(place: int, room: int) -> int:
            argument = _uapi.kwasmi_counters(place, room)
            _check(_control(fd, _uapi.KWASMI_IOC_COUNTERS, argument))
            return int(argument.counters_len)

        found: dict[str, int | dict[str, int]] = {}
        for counter in _list(_uapi.kwasmi_counter, ask):
            # A newer kernel module may have others.
            name = counters.NAMES.get(counter.counter)
            if name is None:
                continue
            if counter.counter in counters.LABELLED:
                values_by_label = found.setdefault(name, {})
                assert isinstance(values_by_label, dict)
                values_by_label[counter.label.decode(errors="replace")] = counter.value
            else:
                found[name] = counter.value
        return found


class _Callable(_Counted):
    """An instance or a service."""

    def _renew(self, handle: _Handle) -> bool:
        """Replaces the descriptor after ESTALE. Returns False if that is not possible."""
        return False

    def _find(self, handle: _Handle, name: str) -> Function:
        """Looks up an exported function, at most once for each descriptor."""
        found = handle.functions.get(name)
        if found is not None:
            return found
        encoded = name.encode()
        log = _Log()
        argument = _uapi.kwasmi_function(_address(encoded), len(encoded))
        log.attach(argument)
        result = _control(handle.fd, _uapi.KWASMI_IOC_FUNCTION, argument)
        text = log.text(argument)
        if result == -errno.ENOENT:
            raise NotFound(errno.ENOENT, text or f"no function {name} is exported")
        if result in (-errno.ESHUTDOWN, -errno.ESTALE):
            raise call_error(-result)
        if result == -errno.EOPNOTSUPP and not text:
            text = "not a reactor: its functions cannot be called"
        _check(result, text)
        kinds = [
            tuple(values.TYPES[kind] for kind in raw[:length])
            for raw, length in ((argument.params, argument.params_len), (argument.results, argument.results_len))
        ]
        found = Function(name, kinds[0], kinds[1], argument.function)
        handle.functions[name] = found
        return found

    def function(self, name: str) -> Function:
        """Returns an exported function with its types.

        Raises NotFound if the module does not export it, and Error if the guest is not a reactor or
        the function has a parameter or result that is not a number.
        """
        while True:
            handle = self._handle
            try:
                return self._find(handle, name)
            except Error as error:
                if error.errno != errno.ESTALE or not self._renew(handle):
                    raise

    @overload
    def call(
        self, name: str, /, *args: Number, input: bytes = b"", output_size: None = None, timeout: float | None = None
    ) -> Any: ...

    @overload
    def call(
        self, name: str, /, *args: Number, input: bytes = b"", output_size: int, timeout: float | None = None
    ) -> tuple[Any, bytes]: ...

    def call(
        self,
        name: str,
        /,
        *args: Number,
        input: bytes = b"",
        output_size: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Calls an exported function.

        Returns None if the function has no result, a number if it has one, otherwise a tuple of
        numbers. With `output_size` it returns this and the bytes that the function has written, of
        which there are at most `output_size`. `input` has the bytes that the function can read.
        `timeout` is in seconds, from the beginning of the call to its result.

        The first call of a function looks it up. Each further call is one ioctl, which is repeated
        only if the function has certainly not begun: after a signal, or if another instance has
        taken over the name of the service. A KeyboardInterrupt during a function that runs is raised
        when the function has returned.

        Raises

        - NotFound if the module does not export the function, and TypeError or OverflowError if the
          arguments do not fit its parameters: it has not run.
        - CallTimeout if the timeout has passed, ServiceEnded if the guest ended during the call, and
          CallError otherwise. Their attribute `ran` tells whether the function ran.
        """
        begin = time.monotonic_ns()
        whole = rest = _nanoseconds(timeout)
        data = bytes(input)
        # ctypes would truncate larger numbers.
        if len(data) > CALL_BYTES_MAX or not 0 <= (output_size or 0) <= CALL_BYTES_MAX:
            raise call_error(errno.E2BIG)
        while True:
            handle = self._handle
            try:
                return self._call(handle, name, args, data, output_size, rest)
            except Error as error:
                if error.errno != errno.ESTALE or not self._renew(handle):
                    raise
            if whole != _uapi.KWASMI_UNLIMITED:
                rest = max(0, whole - (time.monotonic_ns() - begin))

    def _call(
        self, handle: _Handle, name: str, args: tuple[Number, ...], data: bytes, output_size: int | None, rest: int
    ) -> Any:
        function = self._find(handle, name)
        if len(args) != len(function.params):
            raise TypeError(f"function {name}: {len(args)} arguments given, {len(function.params)} needed")
        words = (ctypes.c_uint64 * len(args))(*map(values.to_word, args, function.params))
        results = (ctypes.c_uint64 * len(function.results))()
        output = ctypes.create_string_buffer(output_size) if output_size else None
        log = _Log()
        argument = _uapi.kwasmi_call(
            function=function.number,
            args_len=len(args),
            args=addressof(words),
            results=addressof(results),
            results_len=len(function.results),
            input_len=len(data),
            input=_address(data),
            output=addressof(output) if output else 0,
            output_size=output_size or 0,
        )
        log.attach(argument)
        result = _control_within(handle.fd, _uapi.KWASMI_IOC_CALL, argument, rest)
        if result < 0:
            raise call_error(-result)
        if not argument.returned:
            ending = Ending(argument.status, argument.code, argument.limit_value, log.text(argument))
            raise ServiceEnded(f"the guest ended during the call: {ending}", ending)
        numbers = tuple(map(values.from_word, results, function.results))
        value = numbers if len(numbers) > 1 else numbers[0] if numbers else None
        if output_size is None:
            return value
        return value, ctypes.string_at(output, argument.output_len) if output else b""

    def kill(self) -> None:
        """Ends the guest, which may still run when this method returns.

        Raises Error with EPERM if the service belongs to another user, and with ESTALE if the service
        was upgraded: find it again.
        """
        _check(_control(self._handle.fd, _uapi.KWASMI_IOC_KILL))


def _ending(handle: _Handle, request: int) -> Ending:
    """Calls KWASMI_IOC_RUN or KWASMI_IOC_RESULT."""
    log = _Log()
    while True:
        argument = _uapi.kwasmi_run()
        log.attach(argument)
        # The kernel continues a guest whose run a signal has interrupted.
        result = _control(handle.fd, request, argument)
        if result != -errno.EINTR:
            break
    limit = argument.code if result == -errno.EDQUOT else 0
    _check(result, limit=limit, limit_value=argument.limit_value)
    return Ending(
        argument.status,
        argument.code,
        argument.limit_value,
        log.text(argument),
        argument.fuel_used,
        argument.memory_peak,
        argument.heap_peak,
        argument.stack_peak,
    )


class Instance(_Callable):
    """An instance of a module."""

    def publish(self, name: str, log: int | IO[Any] | None = None) -> None:
        """Makes an instance that has not run a service. `log` is a regular file, which `Service.log` returns.

        The service ends with this process. The command `kwasmi spawn` starts services with a process
        of their own. Raises Error with the errors of KWASMI_IOC_PUBLISH.
        """
        fd = -1 if log is None else log if isinstance(log, int) else log.fileno()
        _check(_control(self._handle.fd, _uapi.KWASMI_IOC_PUBLISH, _uapi.kwasmi_publish(_name(name), fd)))

    def run(self) -> Ending:
        """Runs the guest in this thread until the guest ends.

        A reactor waits for calls until `kill` or proc_exit ends it. Raises Error with the errors of
        KWASMI_IOC_RUN.
        """
        return _ending(self._handle, _uapi.KWASMI_IOC_RUN)


class Module(_Counted):
    """A loaded module."""

    def start(
        self,
        args: Iterable[str | bytes] = (),
        env: Mapping[str, str] | None = None,
        streams: Mapping[int, int | IO[Any]] | None = None,
        fds: Iterable[GuestFd] = (),
        limits: Mapping[Limit | str, int] | None = None,
        reactor: bool = False,
        sigpipe: bool = False,
    ) -> Instance:
        """Creates an instance that is ready to run.

        `streams` are files that the guest gets, by their numbers in the guest; `fds` are descriptors
        with rights. A module without `_start` needs `reactor`. With `sigpipe` a write to a pipe
        without a reader ends the guest.

        Raises Error with the errors of KWASMI_IOC_START.
        """
        files = list(fds)
        for guest_fd, file in (streams or {}).items():
            files.append(GuestFd(file if isinstance(file, int) else file.fileno(), guest_fd))
        raw_fds = (_uapi.kwasmi_fd * len(files))()
        for place, guest in zip(raw_fds, files, strict=True):
            place.fd, place.guest_fd = guest.fd, guest.guest_fd
            place.rights, place.rights_inheriting = guest.rights, guest.rights_inheriting
            place.name, place.name_len = _address(guest.name), len(guest.name)
        raw_args, raw_limits = _strings(args), _limits(limits)
        raw_env = _strings(f"{name}={value}" for name, value in (env or {}).items())
        log = _Log()
        argument = _uapi.kwasmi_start(
            args=_address(raw_args),
            args_len=len(raw_args),
            env=_address(raw_env),
            env_len=len(raw_env),
            fds=addressof(raw_fds),
            fds_len=len(files),
            limits=addressof(raw_limits),
            limits_len=len(raw_limits),
            flags=_uapi.KWASMI_START_REACTOR * reactor | _uapi.KWASMI_START_SIGPIPE * sigpipe,
        )
        log.attach(argument)
        result = _control(self._handle.fd, _uapi.KWASMI_IOC_START, argument)
        return Instance(_check(result, log.text(argument), argument.limit, argument.limit_value))


class Service(_Callable):
    """A service.

    If another instance takes over its name (`kwasmi upgrade`), calls go to that instance.
    """

    def __init__(self, device: Device, name: str, fd: int) -> None:
        super().__init__(fd)
        self.name = name
        self._device = device
        self._lock = threading.Lock()

    def _renew(self, handle: _Handle) -> bool:
        with self._lock:
            if self._handle is handle:
                # Other threads may use the old descriptor: it is closed with its last reference.
                self._handle = _Handle(self._device._find_fd(self.name))
        return True

    def info(self) -> ServiceInfo:
        """Describes the service."""
        service = _uapi.kwasmi_service()
        _check(_control(self._handle.fd, _uapi.KWASMI_IOC_SERVICE, service))
        return _info(service)

    def wait(self, timeout: float | None = None, state: State = State.ENDED) -> None:
        """Waits until the guest has ended, or with `State.REMOVED` until the service has lost its name.

        Raises TimeoutError if `timeout`, in seconds, has passed. With `State.ENDED`, raises Error with
        ESTALE if the service is upgraded meanwhile: find it again.
        """
        argument = _uapi.kwasmi_wait(state=state)
        result = _control_within(self._handle.fd, _uapi.KWASMI_IOC_WAIT, argument, _nanoseconds(timeout))
        if result == -errno.ETIMEDOUT:
            raise TimeoutError(errno.ETIMEDOUT, f"service {self.name}: not within {timeout} s")
        _check(result)

    def ending(self) -> Ending | None:
        """Returns how the guest ended; None if it has not ended."""
        try:
            return _ending(self._handle, _uapi.KWASMI_IOC_RESULT)
        except Error as error:
            if error.errno == errno.EAGAIN:
                return None
            raise

    def log(self) -> int:
        """Returns a descriptor of the file with the output of the guest. The caller closes it."""
        return _check(_control(self._handle.fd, _uapi.KWASMI_IOC_LOG))

    def remove(self) -> None:
        """Removes the name of a service that has ended.

        Raises Error with EBUSY if the guest has not ended, with EPERM if the service belongs to
        another user, and with ESTALE if the service was upgraded.
        """
        _check(_control(self._handle.fd, _uapi.KWASMI_IOC_REMOVE))


def _info(service: Any) -> ServiceInfo:
    return ServiceInfo(
        name=service.name.decode(),
        state=service.state,
        pid=service.pid or None,
        uid=service.uid,
        since=service.since,
        sha256=bytes(service.sha256),
        module=service.module.decode() or None,
        version=(service.version[0], service.version[1], service.version[2]),
    )


class Device(_Object):
    """The device of the kernel module."""

    def version(self) -> tuple[str, int]:
        """Returns the version of the kernel module and that of its interface, KWASMI_ABI."""
        info = _uapi.kwasmi_info()
        _check(_control(self._handle.fd, _uapi.KWASMI_IOC_INFO, info))
        return info.version.decode(), info.abi

    def load(self, wasm: bytes | Path, limits: Mapping[Limit | str, int] | None = None, engine: str = "auto") -> Module:
        """Loads a module in the binary format from bytes or from the file of a path.

        `engine` is `"auto"`, `"compiler"` or `"interpreter"`. The caller needs CAP_SYS_ADMIN. Raises
        Error with the errors of KWASMI_IOC_LOAD.
        """
        data = wasm.read_bytes() if isinstance(wasm, Path) else bytes(wasm)
        raw_limits = _limits(limits)
        log = _Log()
        argument = _uapi.kwasmi_load(
            wasm=_address(data),
            wasm_len=len(data),
            limits=addressof(raw_limits),
            limits_len=len(raw_limits),
            flags=_ENGINES[engine],
        )
        log.attach(argument)
        result = _control(self._handle.fd, _uapi.KWASMI_IOC_LOAD, argument)
        return Module(_check(result, log.text(argument), argument.limit, argument.limit_value))

    def _find_fd(self, name: str) -> int:
        result = _control(self._handle.fd, _uapi.KWASMI_IOC_FIND, _uapi.kwasmi_find(_name(name)))
        if result == -errno.ENOENT:
            raise NotFound(errno.ENOENT, f"{name}: no service has this name")
        return _check(result)

    def find(self, name: str) -> Service:
        """Finds a service by its name. Raises NotFound if no service has the name."""
        return Service(self, name, self._find_fd(name))

    def services(self) -> list[ServiceInfo]:
        """Describes all services, in the order of their names."""
        fd = self._handle.fd

        def ask(place: int, room: int) -> int:
            argument = _uapi.kwasmi_list_services(place, room)
            _check(_control(fd, _uapi.KWASMI_IOC_LIST_SERVICES, argument))
            return int(argument.services_len)

        return [_info(service) for service in _list(_uapi.kwasmi_service, ask)]


def open(path: str = "/dev/kwasmi") -> Device:
    """Opens the device. Raises FileNotFoundError or PermissionError as open(2) does."""
    return Device(os.open(path, os.O_RDWR | os.O_CLOEXEC))
