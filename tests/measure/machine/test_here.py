"""The description of the machine that goes with every measurement."""

import os
import platform
from importlib import metadata

import msgspec

from capsedge.cores import usable_cores
from capsedge.measure.machine import Machine, conditions, this_machine


def test_the_machine_is_described_by_what_a_latency_depends_on() -> None:
    machine = this_machine()

    assert machine.cpu
    assert machine.cores == usable_cores() <= len(os.sched_getaffinity(0))
    assert machine.system == f"{platform.system()} {platform.machine()}"
    assert machine.python == platform.python_version()
    assert all(metadata.version(name) == version for name, version in machine.onnxruntime.items())
    assert machine.versions["numpy"] == metadata.version("numpy")


def test_a_machine_that_was_written_down_with_its_load_is_still_read() -> None:
    """Reports once had the load among what does not change; null where it was not known."""
    told = msgspec.json.encode(msgspec.to_builtins(this_machine()) | {"load_average": None})
    assert msgspec.json.decode(told, type=Machine) == this_machine()


def test_no_reading_of_this_machine_is_zero_but_its_load() -> None:
    now = conditions()

    assert now.load_average != "unavailable"
    others = (now.cpu_mhz, now.cpu_temperature_c, now.gpu_mhz, now.gpu_power_w, now.board_power_w)
    assert all(reading == "unavailable" or reading > 0 for reading in others)
