"""An int8 graph: ranges are calibrated on training images, by the method with the lowest validation error.

The graph has QuantizeLinear and DequantizeLinear around each product (QDQ), symmetric, with int8 weights (one scale
for each channel) and activations: ONNX Runtime has fast kernels for it, and TensorRT reads the same file. Weights
have 7 bits (-64 to 64), so that sums of products saturate on no processor (`capsedge.runtime.int8_pairs`); the cost
is in docs/precision.md.
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
FEWEST_IMAGES = 100  # fewer do not represent the range of the activations
_CHUNK = 128  # images whose activations are in memory together

Images = NDArray[np.uint8]
WeightBits = Literal[7, 8]
# Maps a candidate and its method's name to its error and mean length difference on the validation images.
Score = Callable[[onnx.ModelProto, str], tuple[float, float]]


@dataclass(frozen=True)
class Method:
    """A method of calibration for the range of an activation."""

    name: str
    method: CalibrationMethod
    options: dict[str, Any]


METHODS = (
    Method("min-max", CalibrationMethod.MinMax, {}),
    *(
        Method(f"percentile {percentile:g}", CalibrationMethod.Percentile, {"percentile": percentile})
        for percentile in (99.9, 99.99, 99.999)
    ),
    # ONNX Runtime's default of 128 bins for 128 levels leaves no range to choose.
    Method("entropy", CalibrationMethod.Entropy, {"num_bins": 2048, "num_quantized_bins": 128}),
)


@dataclass(frozen=True)
class Quantized:
    """An int8 graph and the calibration of its ranges."""

    model: onnx.ModelProto
    calibration: Calibration


def calibration_images(dataset: Dataset, count: int = CALIBRATION_IMAGES) -> Images:
    """`count` calibration images, or all training images if there are fewer, evenly spaced in the training set.

    Raises:
        WrongUse: There are too few images.
    """
    check_calibration(dataset, count)
    return dataset.train.spread(count).images


def check_calibration(dataset: Dataset, count: int = CALIBRATION_IMAGES) -> None:
    """Refuse too few calibration images.

    Raises:
        WrongUse: There are too few images.
    """
    available = min(count, len(dataset.train))
    if available < FEWEST_IMAGES:
        raise WrongUse(
            f"int8 and fp8 need at least {FEWEST_IMAGES} training images for calibration, and "
            f"{available} were {'requested' if available == count else 'found'}",
            "use more images, or --precision fp32",
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
    """Quantize the layers that have weights with every method, and keep the best result.

    Args:
        model: A graph in fp32.
        images: uint8 [count, height, width, channels], of the training set.
        score: Returns a candidate's error and mean length difference; of equal errors the smaller difference wins.
        methods: Methods of calibration to try.
        weight_bits: 8 for comparison only: such a file saturates on x86 processors without VNNI, and the gate rejects
            it.
        nearest: Round each weight to the nearest code, for comparison only.
    """
    most = 2 ** (weight_bits - 1) - (weight_bits == 8)  # 64 or 127
    weights = rounded(model, images[:0] if nearest else images, most)
    candidates = [with_pairs(model, _ranges(model, images, method), weights) for method in methods]
    scores = [score(candidate, method.name) for candidate, method in zip(candidates, methods, strict=True)]
    best = min(range(len(methods)), key=scores.__getitem__)
    return Quantized(candidates[best], Calibration(methods[best].name, len(images)))


def _ranges(model: onnx.ModelProto, images: Images, method: Method) -> dict[str, float]:
    """The calibrated largest magnitude of each activation."""
    with _folder() as folder, contextlib.redirect_stdout(io.StringIO()):  # the calibrator prints its settings
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
        # Negative values before a ReLU become zero, so its input needs only the range of its result.
        node.input[0]: ranges[node.output[0]]
        for node in model.graph.node
        if node.op_type == "Relu" and node.output[0] in ranges
    }


class _CalibrationReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds images to ONNX Runtime's calibration one by one: its histograms need batches of equal size."""

    def __init__(self, images: Images) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, Images] | None:
        image = next(self.images, None)
        return None if image is None else {"image": image[np.newaxis]}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        yield Path(folder)
