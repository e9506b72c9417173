"""The description of the machine that goes with every measurement."""

import os
import platform
from importlib import metadata

from capsedge.runtime.machine import this_machine


def test_the_machine_is_described_by_what_a_latency_depends_on() -> None:
    machine = this_machine()

    assert machine.cpu
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.load_average is not None
    assert machine.load_average >= 0
    assert machine.system == f"{platform.system()} {platform.machine()}"
    assert machine.python == platform.python_version()
    assert all(metadata.version(name) == version for name, version in machine.onnxruntime.items())
