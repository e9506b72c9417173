"""One run of each sort, trained on the shipped subset and exported once for all tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from capsedge.export import RunExport
from capsedge.training import Run
from tests.export.exact import patchwork
from tests.export.graphs import graph_of, random_network
from tests.in_process import Capsedge, in_this_process
from tests.tiny import tiny_recipe, train_tiny


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished L2 run, not exported."""
    return train_tiny(tmp_path_factory.mktemp("trained") / "tiny", tiny_recipe())


@pytest.fixture(scope="session")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with dynamic routing, not exported."""
    recipe = tiny_recipe("train.epochs=1", base="fashion-mnist-dynamic-small")
    return train_tiny(tmp_path_factory.mktemp("dynamic") / "tiny-dynamic", recipe)


@pytest.fixture(scope="session")
def exported_once(trained: Run) -> Run:
    """The L2 run with its accepted files in fp32, fp16 and int8."""
    exporter = RunExport(trained)
    for precision in ("fp32", "fp16", "int8"):
        exporter.export(precision)
    return trained


@pytest.fixture
def exported(exported_once: Run, tmp_path: Path) -> Run:
    """A copy of the exported run, to be corrupted at will."""
    shutil.copytree(exported_once.path, tmp_path / "tiny")
    return Run(tmp_path / "tiny")


@pytest.fixture
def capsedge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """The command line in this process."""
    return in_this_process(capsys, monkeypatch)


@pytest.fixture(scope="session")
def graph() -> onnx.ModelProto:
    """The fp32 graph of a collapsed network; nobody may change it."""
    return graph_of(random_network())


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Forty images of random patches, the first black, the second white."""
    return patchwork(40, 28, 1, seed=0)


@pytest.fixture(scope="session")
def run() -> Callable[[onnx.ModelProto, NDArray[np.uint8]], NDArray[np.float32]]:
    """Lengths by ONNX Runtime on the CPU."""
    import onnxruntime

    def lengths(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        result: NDArray[np.float32] = session.run(["lengths"], {"image": images})[0]
        return result

    return lengths
