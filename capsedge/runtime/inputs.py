"""The inputs that an ONNX file declares, in the form in which every runtime for such files gives them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_metadata
from capsedge.onnx_lite.schema import BY_DTYPE, BY_NAME
from capsedge.runtime.feeds import random_array
from capsedge.runtime.session import SessionWarning


class Declared(Protocol):
    """An input, as ONNX Runtime describes it.

    Attributes:
        name: Its name.
        shape: Size of each axis; a name or None for an axis of any size.
        type: Its type, such as `tensor(float)`.
    """

    name: str
    shape: Sequence[int | str | None]
    type: str


def contract_in(file: Path) -> Contract | None:
    """The contract of an ONNX file, or None.

    Raises:
        ModelError: The file or its contract is damaged.
    """
    text = read_metadata(file).get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=str(file))


def batch_limits(inputs: Sequence[Declared]) -> tuple[int, int] | None:
    """The first axis of the inputs where it is fixed; 1 where all inputs are scalars and cannot hold a batch."""
    first = [node.shape[0] for node in inputs if node.shape]
    fixed = [size for size in first if isinstance(size, int) and size > 0]
    return (fixed[0], fixed[0]) if fixed else None if first else (1, 1)


def assumed(inputs: Sequence[Declared], limits: tuple[int, int] | None) -> Iterator[SessionWarning]:
    """Warn about the assumptions of `random_feed` on the axes of a file without a contract."""
    for node in inputs:
        free = [size or f"axis {axis}" for axis, size in enumerate(node.shape) if axis and not isinstance(size, int)]
        if free:
            yield SessionWarning(
                "assumed-size", f"of its input '{node.name}', {' and '.join(free)} can be any size, taken as 1"
            )
    if limits is not None and limits[0] > 1:
        yield SessionWarning(
            "assumed-batch",
            f"the fixed first axis of its inputs, {limits[0]}, was taken as the batch; if it is not, images/s is too "
            "high",
        )


def random_feed(model: str, node: Declared, batch: int) -> NDArray[Any]:
    """Make a random input of the declared shape, in which a free first axis is the batch, and any other is 1.

    Args:
        model: Name of the model, for errors.
        node: The declared input.
        batch: Size of a free first axis.

    Raises:
        ModelError: It is not a tensor of numbers, or holds nothing.
    """
    kind = BY_NAME.get(node.type.removeprefix("tensor(").removesuffix(")"))
    if kind is None or kind.dtype is None:
        known = ", ".join(each.name for each in BY_DTYPE.values())
        raise ModelError(
            f"'{model}' takes {node.type} as '{node.name}'; inputs can be made up for tensors of {known} only, so it "
            "cannot be timed"
        )
    free = [batch, *[1] * len(node.shape)]
    shape = tuple(size if isinstance(size, int) else free[axis] for axis, size in enumerate(node.shape))
    if 0 in shape:
        raise ModelError(f"'{model}' takes {list(shape)} as '{node.name}', which holds nothing: it cannot be timed")
    return random_array(shape, kind.dtype)
