"""A tiny run on the shipped subset, its exported file, and a few of its images; nobody may change them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.robustness.subjects import MeasuredNetwork, of_run
from capsedge.data import Dataset, Split, load_dataset
from capsedge.export import RunExport
from capsedge.training import Run
from capsedge.training.batches import normalized, on_device
from tests.tiny import tiny_recipe, train_tiny


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run that has learned something, with its accepted file in fp32."""
    recipe = tiny_recipe("train.learning_rate=0.005", "train.epochs=8")
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", recipe)
    RunExport(run).export("fp32")
    return run


@pytest.fixture(scope="session")
def file(run: Run) -> Path:
    """The exported file."""
    return run.path / "model.onnx"


@pytest.fixture(scope="session")
def subject(run: Run) -> MeasuredNetwork:
    """The run's network."""
    return of_run(run)


@pytest.fixture(scope="session")
def subset() -> Dataset:
    """The images that it was trained on."""
    return load_dataset("fashion-mnist-subset")


@pytest.fixture(scope="session")
def some(subset: Dataset) -> Split:
    """40 test images."""
    return subset.test.spread(40)


@pytest.fixture(scope="session")
def images(some: Split) -> Tensor:
    """Those, as floats of 0 to 1."""
    return normalized(on_device(some, torch.device("cpu"))[0])


@pytest.fixture(scope="session")
def labels(some: Split) -> Tensor:
    """Their labels."""
    return on_device(some, torch.device("cpu"))[1]
