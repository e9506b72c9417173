"""Memory for one tensor of an engine: on the GPU, and page-locked on the host for direct copies by CUDA.

Not run on a GPU yet.
"""

import ctypes
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from capsedge.runtime.tensorrt.cuda import checked


@dataclass(frozen=True)
class Buffer:
    """A tensor at the largest batch of the engine's profile.

    Attributes:
        address: Address on the GPU.
        host: The page-locked memory on the host, as a flat array.
        shape: Shape at the largest batch.
        is_input: Whether the tensor is an input of the engine.
    """

    address: int
    host: NDArray[Any]
    shape: tuple[int, ...]
    is_input: bool

    def __str__(self) -> str:
        return f"{self.host.dtype} {list(self.shape)}"

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The start of the host's memory in a smaller shape; not a copy, the next run overwrites it."""
        return self.host[: math.prod(shape)].reshape(shape)


def allocate(cuda: Any, shape: tuple[int, ...], dtype: DTypeLike, stack: ExitStack, *, is_input: bool) -> Buffer:
    """Allocate the memory of a tensor on the GPU and the host; `stack` frees it.

    Args:
        cuda: The module cuda.bindings.runtime.
        shape: Shape at the largest batch.
        dtype: Type of the tensor.
        stack: Closed together with the engine.
        is_input: Whether the tensor is an input of the engine.

    Raises:
        ProviderError: There is not enough memory.
    """
    kind = np.dtype(dtype)
    size_bytes = math.prod(shape) * kind.itemsize
    device = int(checked(cuda.cudaMalloc(size_bytes)))
    stack.callback(cuda.cudaFree, device)
    pinned = int(checked(cuda.cudaMallocHost(size_bytes)))
    stack.callback(cuda.cudaFreeHost, pinned)
    host = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(pinned)).view(kind)
    return Buffer(device, host, shape, is_input)
