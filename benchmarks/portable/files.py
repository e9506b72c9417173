"""The files that are checked on other processors, and what this machine's own processor says of them.

The model is the zoo's edge-small, and int8 files are made of it here. The gate holds each file against
the file in fp32 as this machine's own processor runs it, on labelled images that the network was not trained on; and
a few images are held against what the same file gives here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.portable.worker import LARGEST_BATCH
from capsedge.data import Split, load_dataset
from capsedge.export.gate import Answers, Reference
from capsedge.export.onnx import load_graph
from capsedge.export.precision import METHODS, calibration_images
from capsedge.export.precision.quantize import Images, WeightBits, quantized
from capsedge.export.trial import lengths_of_all
from capsedge.runtime.batches import run_batches
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session, contract_needed
from capsedge.runtime.settings import Settings

DATA = "fashion-mnist-subset"
BATCH = 100
COMPARED = LARGEST_BATCH
# It had the lowest error at Table I's width (docs/results.md, "Precision").
CALIBRATION = next(method for method in METHODS if method.name == "percentile 99.99")

MODEL = Path(__file__).parents[2] / "zoo" / "edge-small" / "model.onnx"
Kind = Literal["fp32", "int8", "wide"]  # the files, by their attributes in `JudgedFiles`


@dataclass(frozen=True)
class JudgedFiles:
    """What is judged, and what it is held against.

    Attributes:
        fp32: `edge-small` of the zoo, whose file in int8 comes with capsedge.
        int8: Its file in int8, as `capsedge export` makes it.
        wide: Its file in int8 with weights of 8 bits, whose sums can saturate on processors without VNNI.
        expected: What they must say.
        here: What each of them says on this machine's own processor of the first `COMPARED` images, by its attribute:
            [images, classes].
    """

    fp32: Path
    int8: Path
    wide: Path
    expected: Reference
    here: dict[Kind, NDArray[np.float32]]


def make_files(folder: Path, images: int) -> JudgedFiles:
    """Make the files, and ask the real processor for its answers.

    Args:
        folder: Where the files go.
        images: How many of the data set's test images the gate shall see.
    """
    dataset = load_dataset(DATA)
    fp32 = MODEL
    graph, calibration = load_graph(fp32), calibration_images(dataset)
    files: dict[Kind, Path] = {"fp32": fp32, "int8": folder / "int8.onnx", "wide": folder / "int8-wide.onnx"}
    onnx.save(_int8(graph, calibration), files["int8"])
    onnx.save(_int8(graph, calibration, weight_bits=8), files["wide"])
    with open_session(fp32) as session:
        expected = _reference(session, dataset.test.spread(images))
    few = expected.validation.images[:COMPARED]
    here = {kind: _lengths_here(file, few) for kind, file in files.items()}
    return JudgedFiles(**files, expected=expected, here=here)


def _int8(model: onnx.ModelProto, images: Images, weight_bits: WeightBits = 7) -> onnx.ModelProto:
    """As `capsedge export` makes it, but with one method of calibration: which is best is no question here."""
    return quantized(model, images, lambda *_: (0.0, 0.0), [CALIBRATION], weight_bits=weight_bits).model


def _lengths_here(file: Path, images: Images) -> NDArray[np.float32]:
    with open_session(file, Settings(threads=1, exact_int8=True)) as session:
        return lengths_of_all(session, images)


def _reference(session: Session, split: Split) -> Reference:
    """What a file must say: the answers of one that was accepted when it was exported, as they are computed here."""
    shape = split.images.shape[1:]
    blank = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    validation, extremes = (_answers(session, images) for images in (split.images, blank))
    return Reference(contract_needed(session), split.labels, validation, extremes)


def _answers(session: Session, images: Images) -> Answers:
    outputs = run_batches(session, images, BATCH)
    return Answers(images, outputs.lengths, outputs.poses)
