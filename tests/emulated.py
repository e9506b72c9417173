"""A Python on an emulated processor, for tests: one that is not there skips the test, and nothing is installed."""

import platform
import shutil

import pytest

from benchmarks.portable.emulators import PROCESSORS, Python, python_on


def emulated(name: str) -> Python:
    """This environment's Python on an older x86 processor.

    Args:
        name: Of `benchmarks.portable.emulators.PROCESSORS`.
    """
    if platform.machine() != "x86_64" or not (shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")):
        pytest.skip("it takes qemu-x86_64 on an x86-64 machine: apt-get install qemu-user-static")
    return python_on(next(each for each in PROCESSORS if each.name == name))
