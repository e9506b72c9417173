"""Conversion of an fp32 graph to each precision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from capsedge.contract import Calibration, Precision
from capsedge.export.precision.fp8 import in_fp8
from capsedge.export.precision.half import in_half
from capsedge.export.precision.quantize import METHODS, Images, Method, Quantized, Score, quantized


@dataclass(frozen=True)
class Typed:
    """A graph of one precision and its calibration; None for a graph that needs none."""

    model: onnx.ModelProto
    calibration: Calibration | None = None


class TypedGraphs:
    """Makes the graphs of one network; the int8 graph, which several precisions need, is made once.

    Args:
        model: The network's graph in fp32.
        images: Returns the calibration images; called only if a graph is quantized.
        score: Returns a candidate's error and mean length difference.
        methods: Methods of calibration to try.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        images: Callable[[], Images],
        score: Score,
        methods: Sequence[Method] = METHODS,
    ) -> None:
        self.model = model
        self.images = images
        self.score = score
        self.methods = methods

    def make(self, precision: Precision) -> Typed:
        """The graph of a precision.

        Raises:
            ModelError: A weight is out of the precision's range.
            WrongUse: There are too few calibration images.
        """
        if precision == "fp32":
            return Typed(self.model)
        if precision in ("fp16", "bf16"):
            return Typed(in_half(self.model, precision))
        int8 = self._int8
        graphs = {
            "int8": lambda: int8.model,
            "int8+fp16": lambda: in_half(int8.model, "fp16"),
            "fp8": lambda: in_fp8(int8.model, self.model),
        }
        return Typed(graphs[precision](), int8.calibration)

    @cached_property
    def _int8(self) -> Quantized:
        return quantized(self.model, self.images(), self.score, self.methods)
