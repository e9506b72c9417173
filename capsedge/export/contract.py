"""Building the contract of an exported model from its run, its graph and real images."""

import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch

from capsedge import __version__
from capsedge.contract import Contract, Golden, Input, pack_images
from capsedge.data import Dataset, Split
from capsedge.export.gate import CPU, TOLERANCES
from capsedge.export.onnx import layer_types
from capsedge.models import CapsNet
from capsedge.models.routing import StaticRouting
from capsedge.onnx_file import read_onnx_file
from capsedge.training import Run, lengths_of

GOLDEN_PER_CLASS = 2
CLEAR_MARGIN = 10  # times the tolerance


def build_contract(run: Run, graph: Path, network: CapsNet, dataset: Dataset) -> Contract:
    """The contract of a graph, from nothing but its run and its own bytes, before the gate saw it.

    Args:
        run: The run it comes from.
        graph: The ONNX file, whose hashes and types are read back.
        network: The trained network, for the golden sample's lengths.
        dataset: The run's images, to take the golden sample from.
    """
    record, recipe = run.read_record(), run.read_recipe()
    file = read_onnx_file(graph)
    height, width, channels = record.shape
    return Contract(
        name=run.path.resolve().name,
        classes=record.classes,
        input=Input(height=height, width=width, channels=3 if channels == 3 else 1),
        fit=record.fit,
        recipe=recipe.name,
        routing=recipe.routing.kind,
        collapsed=isinstance(network.routing, StaticRouting),
        precision=layer_types(onnx.load_model(str(graph))),
        scores=record.scores,
        golden=golden_sample(network, _golden_pool(dataset), tolerance=TOLERANCES["fp32"].length),
        graph_sha256=file.graph_sha256,
        weights_sha256=file.weights_sha256,
        versions={
            "capsedge": __version__,
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "onnxscript": version("onnxscript"),
            "python": platform.python_version(),
        },
        data=record.data,
    )


def _golden_pool(dataset: Dataset) -> Split:
    """The validation images; with the training images where a class has too few of the former."""
    validation, train = dataset.validation, dataset.train
    if np.bincount(validation.labels, minlength=len(dataset.classes)).min() >= GOLDEN_PER_CLASS:
        return validation
    return Split(
        images=np.concatenate([validation.images, train.images]),
        labels=np.concatenate([validation.labels, train.labels]),
    )


def golden_sample(network: CapsNet, split: Split, *, tolerance: float) -> Golden:
    """The first clear images of each class of a split, with the lengths that the trained network gives them.

    Clear: the two longest capsules differ by more than the tolerance could swap, since `verify` wants the same class.
    A class without enough of them gives what it has, clear ones first.
    """
    every = lengths_of(network, split, CPU).numpy()
    longest = np.sort(every, axis=1)
    unclear = longest[:, -1] - longest[:, -2] <= CLEAR_MARGIN * tolerance
    by_class = [np.flatnonzero(split.labels == label) for label in np.unique(split.labels)]
    chosen = np.concatenate(
        [members[np.argsort(unclear[members], kind="stable")[:GOLDEN_PER_CLASS]] for members in by_class]
    )
    sample = Split(images=split.images[chosen], labels=split.labels[chosen])
    lengths = every[chosen].tolist()
    return Golden(
        images=pack_images(sample.images),
        labels=tuple(sample.labels.tolist()),
        # Seven digits tell every float32 of 0 to 1 from its neighbours within the tolerance.
        lengths=tuple(tuple(round(value, 7) for value in row) for row in lengths),
        tolerance=tolerance,
    )
