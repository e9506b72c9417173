"""The minimum cost of a node: its operations, and the bytes that it must read or write once."""

from collections.abc import Sequence
from dataclasses import dataclass

from capsedge.measure.profile.stages import CONVERSIONS, PRODUCTS, VIEWS
from capsedge.onnx_lite.graph import Node
from capsedge.onnx_lite.tensor import Tensor

_NAMES = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64", "int8": "int8", "uint8": "int8"}

# Operations per element of the output; a function such as exp counts as one.
_PER_OUTPUT = (
    {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Neg", "Abs", "Exp", "Log", "Reciprocal", "Erf", "Tanh", "Softplus"}
    | {"Relu", "LeakyRelu", "Clip", "Sigmoid", "Max", "Min", "Sum", "Mean", "Greater", "Less", "Equal", "Not", "And"}
    | {"Or", "QLinearAdd", "QLinearMul", "QLinearLeakyRelu", "QLinearSigmoid", "QuickGelu", "HardSigmoid"}
)
# Operations per element of the input: ReduceL2 squares and adds; softmax compares, subtracts, raises, adds, divides.
_PER_INPUT = {"ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceL2": 2, "ReduceSumSquare": 2}
_PER_INPUT |= {"ReduceL1": 2, "Softmax": 5, "LogSoftmax": 5, "ArgMax": 1, "ArgMin": 1, "QLinearSoftmax": 5}
_MOVES = {"Slice", "Concat", "Split", "Expand", "Tile", "Gather", "Where", "Shape", "Pad", "Constant", "Range"}
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}


@dataclass(frozen=True)
class NodeCost:
    """The cost of a node, computed from shapes.

    Attributes:
        kind: The type it computes in, such as `fp32` or `int8`; None where it only moves numbers.
        flops: Operations; a multiply-accumulate counts as two (as in `contract.Layer`). None for an operator without
            a rule here.
        weight_bytes: Bytes of its constant inputs.
        activation_bytes: Bytes of its other inputs and its outputs, each counted once.
    """

    kind: str | None
    flops: int | None
    weight_bytes: int
    activation_bytes: int

    @property
    def size_bytes(self) -> int:
        """The minimum memory traffic: all inputs and outputs once."""
        return self.weight_bytes + self.activation_bytes


def cost_of(
    node: Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], constant: Sequence[bool] = ()
) -> NodeCost:
    """Compute the cost of a node.

    Args:
        node: The operator with its attributes.
        inputs: In the order of `node.inputs`; None where one is omitted or not known.
        outputs: Its outputs.
        constant: Which inputs are constant.
    """
    known = [(tensor, is_weight) for tensor, is_weight in _paired(inputs, constant) if tensor is not None]
    viewed = node.op in VIEWS  # only the shape changes: nothing is copied
    first = next((tensor for tensor in inputs if tensor is not None), None)
    flops = _flops(node, inputs, outputs)
    return NodeCost(
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
    """Number of products that are summed for one element of the output."""
    if node.op in _CONVOLUTIONS:
        place = PRODUCTS[node.op]
        weight = inputs[place] if place < len(inputs) else None
        return None if weight is None else Tensor(weight.kind, weight.shape[1:]).numbers
    left = inputs[0] if inputs else None
    if left is None or not left.shape:
        return None
    transposed = node.integers.get("transA", 0)
    # With transBatchA, ONNX Runtime's FusedMatMul has the rows in the first axis, before the batch axes.
    place = (0 if node.integers.get("transBatchA", 0) else -2) if transposed else -1
    return left.shape[place]
