"""What a node costs at least: its operations, and the bytes that it has to touch once."""

from collections.abc import Sequence
from dataclasses import dataclass

from capsedge.measure.profile.stages import CONVERSIONS, PRODUCTS, VIEWS
from capsedge.onnx_lite.graph import Node
from capsedge.onnx_lite.tensor import Tensor

_NAMES = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64", "int8": "int8", "uint8": "int8"}

# Operations for each number of the result; a function such as exp counts as one.
_PER_OUTPUT = (
    {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Neg", "Abs", "Exp", "Log", "Reciprocal", "Erf", "Tanh", "Softplus"}
    | {"Relu", "LeakyRelu", "Clip", "Sigmoid", "Max", "Min", "Sum", "Mean", "Greater", "Less", "Equal", "Not", "And"}
    | {"Or", "QLinearAdd", "QLinearMul", "QLinearLeakyRelu", "QLinearSigmoid", "QuickGelu", "HardSigmoid"}
)
# And for each number that goes in: ReduceL2 squares and adds; softmax compares, subtracts, raises, adds, divides.
_PER_INPUT = {"ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceL2": 2, "ReduceSumSquare": 2}
_PER_INPUT |= {"ReduceL1": 2, "Softmax": 5, "LogSoftmax": 5, "ArgMax": 1, "ArgMin": 1, "QLinearSoftmax": 5}
_MOVES = {"Slice", "Concat", "Split", "Expand", "Tile", "Gather", "Where", "Shape", "Pad", "Constant", "Range"}
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}


@dataclass(frozen=True)
class Cost:
    """What a node needs, counted from shapes.

    Attributes:
        kind: The type it computes in, such as `fp32` or `int8`; None where it only moves numbers.
        flops: Operations, a multiplication and an addition counted as two (as in `contract.Layer`); None where the
            operator is not known here.
        weight_bytes: Of its constant inputs.
        activation_bytes: Of its other inputs and its outputs, each once.
    """

    kind: str | None
    flops: int | None
    weight_bytes: int
    activation_bytes: int

    @property
    def size_bytes(self) -> int:
        """The least traffic: everything it touches, once."""
        return self.weight_bytes + self.activation_bytes


def cost_of(
    node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], constant: Sequence[bool] = ()
) -> Cost:
    """Count what a node needs.

    Args:
        node: The operator with its attributes.
        inputs: In the places of `node.inputs`; None where one is left out or not known.
        outputs: What it makes.
        constant: Which inputs are the same in every run.
    """
    known = [(tensor, is_weight) for tensor, is_weight in _paired(inputs, constant) if tensor is not None]
    viewed = node.op in VIEWS  # only the axes are named anew: nothing is copied
    first = next((tensor for tensor in inputs if tensor is not None), None)
    flops = _flops(node, inputs, outputs)
    return Cost(
        kind=_NAMES.get(first.kind) if flops and first is not None else None,
        flops=flops,
        weight_bytes=0 if viewed else sum(tensor.size_bytes for tensor, is_weight in known if is_weight),
        activation_bytes=(
            0
            if viewed
            else sum(tensor.size_bytes for tensor, is_weight in known if not is_weight)
            + sum(tensor.size_bytes for tensor in outputs)
        ),
    )


def _paired(inputs: Sequence[Tensor | None], constant: Sequence[bool]) -> list[tuple[Tensor | None, bool]]:
    marks = [*constant, *[False] * (len(inputs) - len(constant))]
    return list(zip(inputs, marks, strict=False))


def _flops(node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> int | None:
    made = outputs[0].numbers if outputs else 0
    if node.op in PRODUCTS:
        depth = _depth(node, inputs)
        return None if depth is None else 2 * made * depth
    if node.op in _PER_INPUT:
        return None if not inputs or inputs[0] is None else _PER_INPUT[node.op] * inputs[0].numbers
    if node.op in _PER_OUTPUT:
        return made
    return 0 if node.op in VIEWS | CONVERSIONS | _MOVES else None


def _depth(node: Node, inputs: Sequence[Tensor | None]) -> int | None:
    """Products that are summed for one number of the result."""
    if node.op in _CONVOLUTIONS:
        place = PRODUCTS[node.op]
        weight = inputs[place] if place < len(inputs) else None
        return None if weight is None else Tensor(weight.kind, weight.shape[1:]).numbers
    left = inputs[0] if inputs else None
    if left is None or not left.shape:
        return None
    transposed = node.integers.get("transA", 0)
    # ONNX Runtime's FusedMatMul may take the first axis for the rows, in front of those of the batch.
    place = (0 if node.integers.get("transBatchA", 0) else -2) if transposed else -1
    return left.shape[place]
