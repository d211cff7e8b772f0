# SPDX-License-Identifier: GPL-2.0
"""Tests with the kernel module: the check `packages` runs them as root in Debian.

    python3 tests/vm.py FOLDER

FOLDER has the signed guest sum.wasm of qemu/checks/packages.sh.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from pathlib import Path

import kwasmi

FOLDER = Path(sys.argv.pop(1))
HOURS = 10**15


@contextlib.contextmanager
def service(guest: str = "sum") -> Iterator[kwasmi.Service]:
    """A new service."""
    subprocess.run(["kwasmi", "spawn", "test", FOLDER / f"{guest}.wasm"], check=True)
    try:
        with kwasmi.open() as device, device.find("test") as found:
            yield found
    finally:
        subprocess.run(["kwasmi", "rm", "-f", "test"], stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def busy(found: kwasmi.Service) -> Iterator[list[BaseException]]:
    """A call that runs in another thread until the service ends. The list gets its exception."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            found.call("compute", HOURS)
        except kwasmi.Error as error:
            errors.append(error)

    calls = found.counters()["calls"]
    thread = threading.Thread(target=call)
    thread.start()
    while found.counters()["calls"] == calls:
        time.sleep(0.01)
    yield errors
    thread.join()


class CallTest(unittest.TestCase):
    def test_numbers(self) -> None:
        with service() as found:
            self.assertEqual(40, found.call("add", 40))
            self.assertEqual(39, found.call("add", -1))
            self.assertEqual((1.5, -0.25, -1, 7), found.call("types", 7, (1 << 64) - 1, -0.25, 1.5))
            self.assertIsNone(found.call("nothing"))
            self.assertEqual(("i32", "i64", "f32", "f64"), found.function("types").params)
            self.assertEqual(4, found.counters()["calls"])

    def test_bytes(self) -> None:
        with service() as found:
            self.assertEqual((5, b"hello"), found.call("echo", input=b"hello", output_size=5))
            self.assertEqual((5, b""), found.call("echo", input=b"hello", output_size=4))
            self.assertEqual(5, found.call("echo", input=bytearray(b"hello")))
            self.assertEqual((0, b""), found.call("echo", output_size=0))
            for wrong in ({"input": bytes((1 << 20) + 1)}, {"output_size": (1 << 20) + 1}):
                with self.assertRaises(kwasmi.CallError) as caught:
                    found.call("echo", **wrong)
                self.assertEqual((errno.E2BIG, kwasmi.Ran.NO), (caught.exception.errno, caught.exception.ran))

    def test_unknown_names(self) -> None:
        with service() as found, kwasmi.open() as device:
            for name in ("none", "Not A Name", "a" * 80):
                with self.assertRaises(kwasmi.Error) as caught:
                    device.find(name)
                self.assertEqual(name == "none", isinstance(caught.exception, kwasmi.NotFound))
            with self.assertRaisesRegex(kwasmi.NotFound, "none"):
                found.call("none")

    def test_wrong_arguments(self) -> None:
        with service() as found:
            for args in ((), (1, 2), (1.5,), ("1",)):
                with self.assertRaises(TypeError):
                    found.call("add", *args)
            with self.assertRaises(OverflowError):
                found.call("add", 1 << 64)
            self.assertEqual(0, found.call("add", 0))

    def test_a_call_that_has_not_begun(self) -> None:
        with service() as found, busy(found) as errors:
            begin = time.monotonic()
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            with self.assertRaises(kwasmi.CallTimeout) as caught:
                found.call("add", 1000, timeout=0.3)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.assertIs(kwasmi.Ran.NO, caught.exception.ran)
            self.assertTrue(0.29 < time.monotonic() - begin < 5)
            found.kill()
        self.assertIsInstance(errors[0], kwasmi.ServiceEnded)
        self.assertEqual(kwasmi.Status.KILLED, errors[0].ending.status)

    def test_a_call_that_runs_on(self) -> None:
        with service() as found:
            with self.assertRaises(kwasmi.CallTimeout) as caught:
                found.call("compute", HOURS, timeout=0.2)
            self.assertIs(kwasmi.Ran.YES, caught.exception.ran)

    def test_interrupts_are_handled_while_a_call_waits(self) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        with service() as found, busy(found):
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with self.assertRaises(KeyboardInterrupt):
                found.call("add", 1)
            found.kill()

    def test_the_supervisor_is_killed(self) -> None:
        with service() as found:
            with busy(found) as errors:
                pid = found.info().pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            self.assertIsInstance(errors[0], kwasmi.CallError)
            self.assertIsNot(kwasmi.Ran.NO, errors[0].ran)
            found.wait(timeout=60, state=kwasmi.State.REMOVED)

    def test_a_trap_ends_the_service(self) -> None:
        with service() as found:
            with self.assertRaises(kwasmi.ServiceEnded) as caught:
                found.call("trap")
            self.assertIs(kwasmi.Ran.YES, caught.exception.ran)
            ending = caught.exception.ending
            self.assertEqual((kwasmi.Status.TRAPPED, kwasmi.Trap.UNREACHABLE), (ending.status, ending.code))
            with self.assertRaisesRegex(kwasmi.CallError, "the service has ended") as ended:
                found.call("nothing")
            self.assertIs(kwasmi.Ran.NO, ended.exception.ran)

    def test_many_threads(self) -> None:
        with service() as found:
            threads = [threading.Thread(target=lambda: [found.call("add", 1) for _ in range(25)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(100, found.call("add", 0))


class ServiceTest(unittest.TestCase):
    def test_wait_and_ending(self) -> None:
        with service() as found, kwasmi.open() as device:
            self.assertIsNone(found.ending())
            with self.assertRaises(TimeoutError):
                found.wait(timeout=0.1)
            with self.assertRaises(kwasmi.Error) as caught:
                found.remove()
            self.assertEqual(errno.EBUSY, caught.exception.errno)
            self.assertIn("test", [info.name for info in device.services()])
            self.assertEqual(kwasmi.State.RUNNING, found.info().state)
            found.kill()
            found.wait()
            self.assertEqual(kwasmi.Status.KILLED, found.ending().status)
            found.remove()
            found.wait(timeout=60, state=kwasmi.State.REMOVED)
            with self.assertRaises(kwasmi.NotFound):
                device.find("test")

    def test_this_process_is_the_supervisor(self) -> None:
        with kwasmi.open() as device, device.load(FOLDER / "sum.wasm") as module:
            with self.assertRaisesRegex(kwasmi.Error, "_start"):
                module.start()
            with module.start(reactor=True) as instance:
                instance.publish("mine")
                endings: list[kwasmi.Ending] = []
                thread = threading.Thread(target=lambda: endings.append(instance.run()))
                thread.start()
                with device.find("mine") as found:
                    self.assertEqual(40, found.call("add", 40))
                    self.assertEqual(42, instance.call("add", 2))
                    self.assertEqual(os.getpid(), found.info().pid)
                    found.kill()
                thread.join()
                self.assertEqual(kwasmi.Status.KILLED, endings[0].status)
                self.assertGreater(endings[0].heap_peak, 0)
            self.assertEqual({"killed": 1}, module.counters()["ends"])

    def test_a_program_with_arguments_and_a_stream(self) -> None:
        with kwasmi.open() as device, tempfile.TemporaryFile() as output:
            module = device.load((FOLDER / "arguments.wasm").read_bytes(), engine="interpreter")
            with self.assertRaises(kwasmi.Error) as caught:
                module.start(limits={"memory": 1 << 62})
            self.assertEqual((errno.EDQUOT, kwasmi.Limit.MEMORY), (caught.exception.errno, caught.exception.limit))
            ending = module.start(args=["program", "größe"], streams={1: output}).run()
            self.assertEqual("exited with 0", str(ending))
            output.seek(0)
            self.assertEqual("program|größe|\n", output.read().decode())

    def test_a_file_that_is_not_a_module(self) -> None:
        with kwasmi.open() as device, self.assertRaises(kwasmi.Error):
            device.load(b"text")


if __name__ == "__main__":
    unittest.main(verbosity=2)
