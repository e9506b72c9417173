"""Runtime options of TensorRT-RTX: its own CUDA graphs, and its cache of compiled kernels.

TensorRT-RTX compiles kernels for the GPU when a model is loaded and for each new shape, which takes seconds, and can
store them (docs.nvidia.com/deeplearning/tensorrt-rtx: Working with Runtime Cache, Working with RTX CUDA Graphs). It
replaces general kernels by kernels for a shape in the background, so only it knows when a graph can be recorded.

Not run on a GPU yet: tests check the names of the real library.
"""

import contextlib
from pathlib import Path
from typing import Any

from capsedge.files import write_atomically
from capsedge.runtime.tensorrt.manifest import kernels_path


def records_graphs(trt: Any) -> bool:
    """Whether this TensorRT records CUDA graphs itself."""
    return hasattr(trt, "CudaGraphStrategy")


class KernelCache:
    """Compiled kernels in a file beside the engine; kernels that cannot be read or written are compiled again."""

    def __init__(self, engine_file: Path) -> None:
        """Read the file; nothing is loaded into TensorRT yet."""
        self.file = kernels_path(engine_file)
        self._cache: Any = None
        self._stored = b""
        with contextlib.suppress(OSError):
            self._stored = self.file.read_bytes()

    def attach(self, config: Any) -> None:
        """Let the execution contexts of a runtime configuration share the kernels."""
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            if self._stored:  # TensorRT refuses kernels of another GPU, driver or release, and compiles them again
                self._cache.deserialize(self._stored)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the kernels to the file if they have changed."""
        serialized = None if self._cache is None else self._cache.serialize()
        kernels = self._stored if serialized is None else bytes(serialized)
        if kernels != self._stored:
            with contextlib.suppress(OSError):  # a read-only folder
                write_atomically(self.file, kernels)
            self._stored = kernels

    def close(self) -> None:
        """Free the kernels: after the configurations that use them, and before the engine."""
        self._cache = None


def runtime_config(trt: Any, engine: Any, cache: KernelCache, *, graphs: bool) -> Any:
    """Make a configuration for execution contexts.

    Args:
        trt: The module tensorrt_rtx.
        engine: A loaded engine.
        cache: Cache of its kernels.
        graphs: Whether runs are recorded as CUDA graphs.
    """
    config = engine.create_runtime_config()
    strategies = trt.CudaGraphStrategy
    config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE if graphs else strategies.DISABLED
    cache.attach(config)
    return config
