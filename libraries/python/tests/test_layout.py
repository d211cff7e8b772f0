# SPDX-License-Identifier: GPL-2.0
"""Compares structures and numbers of the package with kmod/uapi/kwasmi.h, by a C program.

The programs cc and Python's unittest are needed:

    PYTHONPATH=src python3 -m unittest discover tests
"""

import ctypes
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from kwasmi import _uapi, counters, ending

TOP = Path(__file__).resolve().parents[3]
HEADER = Path(os.environ.get("KWASMI_HEADER", TOP / "kmod/uapi/kwasmi.h"))

STRUCTURES = {name: kind for name, kind in vars(_uapi).items() if name.startswith("kwasmi_")}
CONSTANTS = {name: value for name, value in vars(_uapi).items() if name.startswith("KWASMI_")}
ENUMS = {"KWASMI_LIMIT_": ending.Limit, "KWASMI_TRAP_": ending.Trap, "KWASMI_": ending.Status}


def expected() -> dict[str, int]:
    """Returns the values of C expressions as the package has them."""
    found = dict(CONSTANTS)
    for prefix, enum in ENUMS.items():
        found |= {prefix + member.name: member.value for member in enum}
    for name, kind in STRUCTURES.items():
        found[f"sizeof(struct {name})"] = ctypes.sizeof(kind)
        for field, _ in kind._fields_:
            found[f"offsetof(struct {name}, {field})"] = getattr(kind, field).offset
            found[f"sizeof(((struct {name} *)0)->{field})"] = getattr(kind, field).size
    return found


def compiled(expressions: list[str]) -> dict[str, int]:
    """Returns the values of C expressions with the header, from a program that prints them."""
    lines = [f'\tprintf("%llu\\n", (unsigned long long)({expression}));' for expression in expressions]
    source = "\n".join(
        [f'#include "{HEADER}"', "#include <stddef.h>", "#include <stdio.h>", "int main(void) {", *lines, "}", ""]
    )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        subprocess.run(["cc", "-x", "c", "-o", program, "-"], input=source, text=True, check=True)
        printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return dict(zip(expressions, map(int, printed.split()), strict=True))


class LayoutTest(unittest.TestCase):
    def test_structures_and_numbers_are_those_of_the_header(self) -> None:
        self.assertGreater(len(STRUCTURES), 10)
        wanted = expected()
        self.assertEqual(wanted, compiled(list(wanted)))

    def test_structures_have_all_fields(self) -> None:
        for name, kind in STRUCTURES.items():
            self.assertEqual(ctypes.sizeof(kind), sum(getattr(kind, field).size for field, _ in kind._fields_), name)

    def test_no_limit_trap_or_ending_is_missing(self) -> None:
        text = HEADER.read_text()
        for prefix in ("KWASMI_LIMIT_", "KWASMI_TRAP_"):
            names = set(re.findall(rf"^#define {prefix}(\w+)", text, re.MULTILINE))
            self.assertEqual(names, set(ENUMS[prefix].__members__))
        between = text.partition("/* Values of `status` of struct kwasmi_run")[2].partition("/* Traps of")[0]
        self.assertEqual(re.findall(r"^#define KWASMI_(\w+)", between, re.MULTILINE), list(ending.Status.__members__))

    def test_counters_are_those_of_the_table(self) -> None:
        table = (TOP / "kmod/watch/counter_table.rs").read_text()
        rows = re.findall(r'= (\d+): KWASMI_COUNTER_\w+, "(\w+)", \w+, \w+, "(\w*)"', table)
        self.assertEqual({int(number): name for number, name, _ in rows}, counters.NAMES)
        self.assertEqual({int(number) for number, _, label in rows if label}, counters.LABELLED)


if __name__ == "__main__":
    unittest.main()
