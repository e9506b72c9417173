"""Building the contract of an exported model from its run, its graph and real images."""

import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from capsedge import __version__
from capsedge.contract import Contract, Golden, Input, pack_images
from capsedge.data import Dataset, Overlaid, Split
from capsedge.export.collapse import collapsible
from capsedge.export.gate import CPU, TOLERANCES
from capsedge.export.onnx import layer_types
from capsedge.models import CapsNet
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
        labels=dataset.labels_per_image,
        input=Input(height=height, width=width, channels=3 if channels == 3 else 1),
        fit=record.fit,
        recipe=recipe.name,
        routing=recipe.routing.kind,
        collapsed=collapsible(network),
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
    """The validation images; with training images where a class has too few of the former."""
    validation, train = dataset.validation, dataset.train
    if np.bincount(validation.labels.ravel(), minlength=len(dataset.classes)).min() >= GOLDEN_PER_CLASS:
        return validation
    if isinstance(train, Overlaid):
        first = _of_each_class(train.base.labels)
        train = train.take(np.array(first) * train.per_image)
    return Split(
        images=np.concatenate([validation.images, train.images]),
        labels=np.concatenate([validation.labels, train.labels]),
    )


def golden_sample(network: CapsNet, split: Split, *, tolerance: float) -> Golden:
    """The first clear images of each class of a split, with the lengths that the trained network gives them.

    Clear: the last capsule of the answer and the first beyond it differ by more than the tolerance could swap, since
    `verify` wants the same answer. A class without enough of them gives what it has, clear ones first.
    """
    every = lengths_of(network, split, CPU).numpy()
    unclear = _margin(every, split.labels_per_image) <= CLEAR_MARGIN * tolerance
    chosen = _of_each_class(split.labels, unclear)
    sample = Split(images=split.images[chosen], labels=split.labels[chosen])
    lengths = every[chosen].tolist()
    return Golden(
        images=pack_images(sample.images),
        labels=tuple(tuple(label) if isinstance(label, list) else label for label in sample.labels.tolist()),
        # Seven digits tell every float32 of 0 to 1 from its neighbours within the tolerance.
        lengths=tuple(tuple(round(value, 7) for value in row) for row in lengths),
        tolerance=tolerance,
    )


def _margin(lengths: NDArray[np.float32], labels: int) -> NDArray[np.float32]:
    """By how much the answer's shortest capsule is longer than the longest of the others."""
    ordered = np.sort(lengths, axis=1)[:, ::-1]
    beyond = np.pad(ordered, ((0, 0), (0, 1)), constant_values=-1)  # every class may be in the answer
    margin: NDArray[np.float32] = ordered[:, labels - 1] - beyond[:, labels]
    return margin


def _of_each_class(labels: NDArray[np.int64], unclear: NDArray[np.bool_] | None = None) -> list[int]:
    """Positions of a few images of each class, clear ones first; an image that shows two classes comes once."""
    rows = labels.reshape(len(labels), -1)
    last = np.zeros(len(labels), bool) if unclear is None else unclear
    members = [np.flatnonzero((rows == label).any(1)) for label in np.unique(rows)]
    chosen = [each[np.argsort(last[each], kind="stable")[:GOLDEN_PER_CLASS]] for each in members]
    return list(dict.fromkeys(np.concatenate(chosen).tolist()))
