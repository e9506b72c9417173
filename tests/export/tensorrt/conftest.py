"""What the tests of TensorRT share: a gated file, and stand-ins for what is not installed here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capsedge.export.tensorrt import options
from capsedge.runtime.tensorrt.cuda import Device
from tests.export.tensorrt.graphs import gated, typed

# A stand-in for the classic package, which is not on the package index: it has that name and release, and where it
# has a GPU it builds with TensorRT-RTX. It shows the way through capsedge, not that classic TensorRT would build.
CLASSIC = """
from tensorrt_rtx import *
import tensorrt_rtx as _rtx
__version__ = "10.13.3.9"
del ComputeCapability
def Builder(logger):
    if {gpu}:
        return _rtx.Builder(logger)
    raise TypeError("pybind11::init(): factory function returned nullptr")
"""

Machine = Callable[..., None]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file in fp16, which every target takes, with an accepted contract."""
    file = tmp_path / "model.fp16.onnx"
    gated(typed("fp16"), file)
    return file


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Pretend that a machine has some packages, and a GPU or none."""

    def make(*packages: str, gpu: Device | None = None) -> None:
        monkeypatch.setattr(options, "_installed", lambda name: name in packages)
        monkeypatch.setattr(options, "gpu", lambda: gpu)
        monkeypatch.setattr("capsedge.export.tensorrt.build.gpu", lambda: gpu)

    options._about.cache_clear()
    yield make
    options._about.cache_clear()


@pytest.fixture
def classic(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Pretend that classic TensorRT is installed, alone."""

    def install(gpu: Device | None = None) -> None:
        package = tmp_path / "site" / "tensorrt.py"
        package.parent.mkdir()
        package.write_text(CLASSIC.format(gpu=gpu is not None))
        inherited = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(package.parent), inherited])))
        machine("tensorrt", gpu=gpu)

    return install
