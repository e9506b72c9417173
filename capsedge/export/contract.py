"""Building the contract of an exported model from its run, its graph and real images."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from capsedge.contract import Calibration, Contract, Golden, Input, Usual
from capsedge.data import Dataset, Overlaid, Split
from capsedge.export.collapse import collapsible
from capsedge.export.gate import answers_of, tolerance_of
from capsedge.export.layers import layers_of
from capsedge.export.onnx import load_graph, output_shapes
from capsedge.golden import pack_images
from capsedge.models import CapsNet
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.int8_pairs import int8_pairs
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.training import Run
from capsedge.version import __version__

GOLDEN_PER_CLASS = 2
CLEAR_MARGIN = 2.5  # times the tolerance; at 2, two capsules that each differ by the full tolerance could swap


@dataclass(frozen=True)
class Pool:
    """Candidates for the golden sample, with the trained network's lengths: [images, classes]."""

    split: Split
    lengths: NDArray[np.float32]


def build_contract(
    run: Run,
    graph: Path,
    network: CapsNet,
    pool: Pool,
    usual: Usual,
    *,
    dataset: str,
    calibration: Calibration | None = None,
) -> Contract:
    """The contract of a graph before the gate, from only its run and its bytes.

    Args:
        run: The run that is exported.
        graph: The ONNX file; its hashes and types are read back from it.
        network: The trained network.
        pool: Images for the golden sample.
        usual: Statistics of the training images.
        dataset: Title of the data set.
        calibration: How the ranges of a quantized graph were calibrated.

    Raises:
        ModelError: The graph is invalid, or computes in a type for which the gate has no limits.
    """
    record, recipe = run.read_record(), run.read_recipe()
    file, model = read_onnx_file(graph), load_graph(graph)
    height, width, channels = record.shape
    shapes = output_shapes(model)
    contract = Contract(
        name=run.path.resolve().name,
        classes=record.classes,
        labels=pool.split.labels_per_image,
        input=Input(height=height, width=width, channels=3 if channels == 3 else 1),
        batch=model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or None,
        fit=record.fit,
        dark_background=record.dark_background,
        recipe=recipe.name,
        routing=recipe.routing.kind,
        collapsed=collapsible(network),
        layers=layers_of(model),
        outputs=tuple(shapes),
        shapes=shapes,
        calibration=calibration,
        int8_pairs=int8_pairs(graph),
        scores=record.scores,
        golden=Golden(images="", labels=(), lengths=(), tolerance=0.0),
        usual=usual,
        graph_sha256=file.graph_sha256,
        weights_sha256=file.weights_sha256,
        versions={
            "capsedge": __version__,
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "onnxscript": version("onnxscript"),
            "python": platform.python_version(),
            **({"onnxruntime": load_onnxruntime().__version__} if calibration else {}),  # it quantized the graph
        },
        dataset=dataset,
        data=record.data,
    )
    tolerance = tolerance_of(contract.precision).replay
    return msgspec.structs.replace(contract, golden=golden_sample(pool, tolerance=tolerance))


def golden_pool(network: CapsNet, dataset: Dataset, lengths: NDArray[np.float32]) -> Pool:
    """The validation images, plus training images if a class has too few validation images.

    Args:
        network: The trained network.
        dataset: Its data set.
        lengths: Its lengths for the validation images, [images, classes].
    """
    validation, train = dataset.validation, dataset.train
    if np.bincount(validation.labels.ravel(), minlength=len(dataset.classes)).min() >= GOLDEN_PER_CLASS:
        return Pool(validation, lengths)
    if isinstance(train, Overlaid):
        first = _of_each_class(train.base.labels)
        train = train.take(np.array(first) * train.per_image)
    both = Split(
        images=np.concatenate([validation.images, train.images]),
        labels=np.concatenate([validation.labels, train.labels]),
    )
    return Pool(both, np.concatenate([lengths, answers_of(network, train.images).lengths]))


def golden_sample(pool: Pool, *, tolerance: float) -> Golden:
    """The first clear images of each class, with the trained network's lengths.

    An image is clear if its answer cannot change within the tolerance, since `verify` expects the same answer: the
    shortest capsule of the answer and the longest other capsule are far enough apart. A class with too few clear
    images gets its clearest others.
    """
    split = pool.split
    lacking = np.maximum(CLEAR_MARGIN * tolerance - _margin(pool.lengths, split.labels_per_image), 0)
    chosen = _of_each_class(split.labels, lacking)
    golden = Golden(
        images=pack_images(split.images[chosen]),
        labels=tuple(tuple(label) if isinstance(label, list) else label for label in split.labels[chosen].tolist()),
        lengths=(),
        tolerance=tolerance,
    )
    return golden_with(golden, pool.lengths[chosen])


def golden_with(golden: Golden, lengths: NDArray[np.float32]) -> Golden:
    """The sample with other lengths: [images, classes]."""
    # Seven digits represent a float32 of 0 to 1 far more precisely than any tolerance.
    rounded = tuple(tuple(round(value, 7) for value in row) for row in lengths.tolist())
    return msgspec.structs.replace(golden, lengths=rounded)


def _margin(lengths: NDArray[np.float32], labels: int) -> NDArray[np.float32]:
    """Length of the answer's shortest capsule less that of the longest other capsule."""
    ordered = np.sort(lengths, axis=1)[:, ::-1]
    beyond = np.pad(ordered, ((0, 0), (0, 1)), constant_values=-1)  # every class may be in the answer
    margin: NDArray[np.float32] = ordered[:, labels - 1] - beyond[:, labels]
    return margin


def _of_each_class(labels: NDArray[np.int64], last: NDArray[np.float32] | None = None) -> list[int]:
    """Positions of a few images of each class, in the order of `last`, without duplicates."""
    rows = labels.reshape(len(labels), -1)
    last = np.zeros(len(labels), np.float32) if last is None else last
    members = [np.flatnonzero((rows == label).any(1)) for label in np.unique(rows)]
    chosen = [each[np.argsort(last[each], kind="stable")[:GOLDEN_PER_CLASS]] for each in members]
    return list(dict.fromkeys(np.concatenate(chosen).tolist()))
