"""What TensorRT-RTX can be told when an engine is loaded: to record CUDA graphs itself, and to keep its kernels.

It compiles kernels for the GPU at hand when a model is loaded and when a new shape comes, which takes seconds, and
can store them (docs.nvidia.com/deeplearning/tensorrt-rtx: Working with Runtime Cache, Working with RTX CUDA Graphs).
As it goes over from general kernels to those for a shape in its own time, only it knows when to record a graph.

Not run on a GPU yet: tests hold the names against the real library.
"""

import contextlib
from pathlib import Path
from typing import Any

from capsedge.files import write_atomically


def records_graphs(trt: Any) -> bool:
    """Whether this TensorRT records CUDA graphs itself."""
    return hasattr(trt, "CudaGraphStrategy")


class KernelCache:
    """Compiled kernels in a file beside the engine; where they cannot be read or written, they are compiled again."""

    def __init__(self, engine_file: Path) -> None:
        """Look for the file; nothing is loaded yet."""
        self.file = engine_file.with_name(f"{engine_file.name}.kernels")
        self._cache: Any = None
        self._stored = b""
        with contextlib.suppress(OSError):
            self._stored = self.file.read_bytes()

    def attach(self, config: Any) -> None:
        """Let the execution contexts of a runtime configuration share the kernels."""
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            if self._stored:  # of another GPU, driver or release, they are refused and compiled again
                self._cache.deserialize(self._stored)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the kernels down, if there are others than before."""
        serialized = None if self._cache is None else self._cache.serialize()
        kernels = self._stored if serialized is None else bytes(serialized)
        if kernels != self._stored:
            with contextlib.suppress(OSError):  # a read-only folder
                write_atomically(self.file, kernels)
            self._stored = kernels

    def close(self) -> None:
        """Let go of the kernels: after the configurations that use them, and before the engine."""
        self._cache = None


def runtime_config(trt: Any, engine: Any, cache: KernelCache, *, graphs: bool) -> Any:
    """Make a configuration for execution contexts.

    Args:
        trt: The module tensorrt_rtx.
        engine: A loaded engine.
        cache: Where its kernels are kept.
        graphs: Whether runs are recorded as CUDA graphs.
    """
    config = engine.create_runtime_config()
    strategies = trt.CudaGraphStrategy
    config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE if graphs else strategies.DISABLED
    cache.attach(config)
    return config
