"""Which TensorRT builds, and what the classic one says without its GPU; stand-ins for what is not installed here."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from capsedge.export import choose_package, tensorrt
from capsedge.export.engine_worker import Job, build

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with some packages, with or without a GPU."""

    def make(*packages: str, gpu: bool) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in packages else None)
        monkeypatch.setattr(tensorrt, "_has_gpu", lambda: gpu)

    return make


def test_the_classic_one_builds_where_its_gpu_is(machine: Machine) -> None:
    machine("tensorrt", "tensorrt_rtx", gpu=True)
    assert choose_package() == "tensorrt"


def test_without_a_gpu_rtx_builds(machine: Machine) -> None:
    machine("tensorrt", "tensorrt_rtx", gpu=False)
    assert choose_package() == "tensorrt_rtx"


def test_targets_go_to_rtx_because_the_classic_one_has_none(machine: Machine) -> None:
    machine("tensorrt", "tensorrt_rtx", gpu=True)
    assert choose_package(("sm86",)) == "tensorrt_rtx"


def test_the_classic_one_alone_is_taken_and_says_itself_what_it_lacks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("tensorrt", gpu=False)
    assert choose_package() == "tensorrt"

    def builder(_: object) -> None:  # as pybind raises it where CUDA does not start
        raise TypeError("pybind11::init(): factory function returned nullptr")

    classic = ModuleType("classic_tensorrt")
    vars(classic).update(
        __version__="10.13.3.9",
        Builder=builder,
        ILogger=type("ILogger", (), {"ERROR": 1}),
    )
    monkeypatch.setitem(sys.modules, "classic_tensorrt", classic)
    result = build(Job(package="classic_tensorrt", onnx="absent.onnx", engine="absent.engine", batch=(1, 1, 1)))
    assert result.errors == ("classic_tensorrt 10.13.3.9 cannot build here: it needs an NVIDIA GPU and its driver",)
