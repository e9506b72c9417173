"""A tiny run on the shipped subset, another of its recipe, and its card; nobody may change them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.card.make import make
from benchmarks.card.record import Card, read_card
from capsedge.export import RunExport
from capsedge.training import Run
from tests.tiny import tiny_recipe, train_tiny


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with its accepted files in fp32 and int8."""
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", tiny_recipe("train.epochs=2"))
    exporter = RunExport(run, max_error_increase=0.1)  # of so few images and epochs some answers hang on a hair
    exporter.export("fp32")
    exporter.export("int8")
    return run


@pytest.fixture(scope="session")
def sibling(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What is read of a finished run of the same recipe with another seed: its recipe and its record."""
    other = Run(tmp_path_factory.mktemp("siblings") / "tiny-seed-7")
    recipe, record = run.read_recipe(), run.read_record()
    scores = tuple(replace(score, error=score.error + 0.01) for score in record.scores)
    other.create(replace(recipe, train=replace(recipe.train, seed=7)), replace(record, scores=scores, best_epoch=1))
    return other


@pytest.fixture(scope="session")
def zoo(run: Run, sibling: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of one model, `edge-tiny`."""
    folder = tmp_path_factory.mktemp("zoo")
    make(run, folder / "edge-tiny", others=[sibling])
    return folder


@pytest.fixture(scope="session")
def folder(zoo: Path) -> Path:
    """The model's folder."""
    return zoo / "edge-tiny"


@pytest.fixture(scope="session")
def card(folder: Path) -> Card:
    """Its card, as it was read back."""
    return read_card(folder)
