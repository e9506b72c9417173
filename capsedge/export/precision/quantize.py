"""An int8 graph: ranges from training images, by the method with the lowest validation error.

The graph holds QuantizeLinear and DequantizeLinear around each product (QDQ), symmetric, int8 for weights (one scale
a channel) and activations: so one file is fast in ONNX Runtime and is what TensorRT reads. Weights have 7 bits (-64
to 64), so that no processor's sums of products saturate (`capsedge.runtime.int8_pairs`); docs/precision.md has what
that costs.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    create_calibrator,
)

from capsedge.contract import Calibration
from capsedge.data import Dataset
from capsedge.errors import WrongUse
from capsedge.export.layers import LAYER_OPS
from capsedge.export.precision.qdq import with_pairs
from capsedge.export.precision.rounding import rounded

CALIBRATION_IMAGES = 512
FEWEST_IMAGES = 100  # fewer say too little of how large activations get
_CHUNK = 128  # images whose activations are in memory together

Images = NDArray[np.uint8]
WeightBits = Literal[7, 8]
# From a candidate and its method's name to its error and mean length difference on the validation images.
Score = Callable[[onnx.ModelProto, str], tuple[float, float]]


@dataclass(frozen=True)
class Method:
    """A way to find the range of an activation."""

    name: str
    method: CalibrationMethod
    options: dict[str, Any]


METHODS = (
    Method("min-max", CalibrationMethod.MinMax, {}),
    *(
        Method(f"percentile {percentile:g}", CalibrationMethod.Percentile, {"percentile": percentile})
        for percentile in (99.9, 99.99, 99.999)
    ),
    # ONNX Runtime's 128 bins for 128 levels leave nothing to choose.
    Method("entropy", CalibrationMethod.Entropy, {"num_bins": 2048, "num_quantized_bins": 128}),
)


@dataclass(frozen=True)
class Quantized:
    """An int8 graph, and how its ranges were found."""

    model: onnx.ModelProto
    calibration: Calibration


def calibration_images(dataset: Dataset, count: int = CALIBRATION_IMAGES) -> Images:
    """`count` training images to calibrate on, or all there are, evenly spread over the training set.

    Raises:
        WrongUse: They are too few.
    """
    check_calibration(dataset, count)
    return dataset.train.spread(count).images


def check_calibration(dataset: Dataset, count: int = CALIBRATION_IMAGES) -> None:
    """Refuse too few images to calibrate on.

    Raises:
        WrongUse: They are too few.
    """
    available = min(count, len(dataset.train))
    if available < FEWEST_IMAGES:
        raise WrongUse(
            f"int8 and fp8 are calibrated on at least {FEWEST_IMAGES} training images, and "
            f"{available} were {'asked for' if available == count else 'found'}: give more, or choose fp16"
        )


def quantized(
    model: onnx.ModelProto,
    images: Images,
    score: Score,
    methods: Sequence[Method] = METHODS,
    *,
    weight_bits: WeightBits = 7,
    nearest: bool = False,
) -> Quantized:
    """Quantize the layers that have weights, with every method, and keep the best.

    Args:
        model: A graph in fp32.
        images: uint8 [count, height, width, channels], of the training set.
        score: Judges a candidate; of two that err alike, the one with the smaller length difference wins.
        methods: Those to try.
        weight_bits: 8 for comparison only: such a file saturates on x86 processors without VNNI, and the gate rejects
            it.
        nearest: Round each weight on its own, for comparison only.
    """
    most = 2 ** (weight_bits - 1) - (weight_bits == 8)  # 64 or 127
    weights = rounded(model, images[:0] if nearest else images, most)
    candidates = [with_pairs(model, _ranges(model, images, method), weights) for method in methods]
    scores = [score(candidate, method.name) for candidate, method in zip(candidates, methods, strict=True)]
    best = min(range(len(methods)), key=scores.__getitem__)
    return Quantized(candidates[best], Calibration(methods[best].name, len(images)))


def _ranges(model: onnx.ModelProto, images: Images, method: Method) -> dict[str, float]:
    """The largest magnitude that each activation shall have."""
    with _folder() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        onnx.save(model, folder / "model.onnx")
        calibrator = create_calibrator(
            folder / "model.onnx",
            LAYER_OPS,
            str(folder / "augmented.onnx"),
            method.method,
            extra_options={"symmetric": True, **method.options},
        )
        for start in range(0, len(images), _CHUNK):
            calibrator.collect_data(_CalibrationReader(images[start : start + _CHUNK]))
        found = calibrator.compute_data().items()
    ranges = {name: float(np.abs(tensor.range_value).max()) for name, tensor in found}
    return ranges | {
        # What is negative before a ReLU is zero behind it: its range need not be kept.
        node.input[0]: ranges[node.output[0]]
        for node in model.graph.node
        if node.op_type == "Relu" and node.output[0] in ranges
    }


class _CalibrationReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds images to ONNX Runtime's calibration, one by one: its histograms want batches of one size."""

    def __init__(self, images: Images) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, Images] | None:
        image = next(self.images, None)
        return None if image is None else {"image": image[np.newaxis]}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        yield Path(folder)
