"""The files for the checks on other processors, and their reference outputs on this machine's own processor.

The model is the zoo's edge-small, from which int8 files are made here. The gate compares each file with the fp32 file
on this machine's own processor, on labelled images that the network was not trained on. In addition, the outputs of a
few images are compared with those of the same file on this machine.
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
# The method with the lowest error at Table I's width (docs/results.md, "Precision").
CALIBRATION = next(method for method in METHODS if method.name == "percentile 99.99")

MODEL = Path(__file__).parents[2] / "zoo" / "edge-small" / "model.onnx"
Kind = Literal["fp32", "int8", "wide"]  # the files, by their attributes in `JudgedFiles`


@dataclass(frozen=True)
class JudgedFiles:
    """The files to check, and the reference.

    Attributes:
        fp32: `edge-small` of the zoo, whose int8 file comes with capsedge.
        int8: Its int8 file, as `capsedge export` makes it.
        wide: Its int8 file with weights of 8 bits, whose sums can saturate on processors without VNNI.
        expected: Reference of the gate.
        here: Capsule lengths [images, classes] of the first `COMPARED` images on this machine's own processor, by
            file attribute.
    """

    fp32: Path
    int8: Path
    wide: Path
    expected: Reference
    here: dict[Kind, NDArray[np.float32]]


def make_files(folder: Path, images: int) -> JudgedFiles:
    """Make the files, and compute the reference on the real processor.

    Args:
        folder: Folder for the files.
        images: Number of test images for the gate.
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
    """Quantize as `capsedge export` does, but with one calibration method instead of the best of several."""
    return quantized(model, images, lambda *_: (0.0, 0.0), [CALIBRATION], weight_bits=weight_bits).model


def _lengths_here(file: Path, images: Images) -> NDArray[np.float32]:
    with open_session(file, Settings(threads=1, exact_int8=True)) as session:
        return lengths_of_all(session, images)


def _reference(session: Session, split: Split) -> Reference:
    """The reference of the gate: the outputs of the accepted fp32 file on this machine."""
    shape = split.images.shape[1:]
    blank = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    validation, extremes = (_answers(session, images) for images in (split.images, blank))
    return Reference(contract_needed(session), split.labels, validation, extremes)


def _answers(session: Session, images: Images) -> Answers:
    outputs = run_batches(session, images, BATCH)
    return Answers(images, outputs.lengths, outputs.poses)
