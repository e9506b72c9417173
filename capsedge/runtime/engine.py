"""Models as TensorRT engines, of TensorRT-RTX or classic TensorRT, with the buffers in cuda-python's hands.

Not run on a GPU yet. Tests run this code on stand-ins that compute in host memory and have exactly the names that
five releases of TensorRT have, and on the real TensorRT-RTX as far as it goes without a GPU.
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import EngineManifest
from capsedge.errors import ModelError, ProviderError
from capsedge.runtime.cuda import Device, checked
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.manifest import ready
from capsedge.runtime.models import title
from capsedge.runtime.session import Session, check_batch
from capsedge.runtime.targets import rebuild


@dataclass(frozen=True)
class _Buffer:
    """Device memory for one tensor at the profile's largest batch."""

    address: int
    shape: tuple[int, ...]
    dtype: Any
    is_input: bool

    def __str__(self) -> str:
        return f"{np.dtype(self.dtype)} {list(self.shape)}"


class EngineSession(Session):
    """A TensorRT engine with its execution context, its stream and one buffer for each input and output."""

    def __init__(self, file: Path) -> None:
        """Check the engine against its manifest and load it.

        Raises:
            ModelError: The manifest is missing, or the engine does not fit it, this release or this GPU.
            ProviderError: There is no TensorRT or no GPU.
            MissingExtra: cuda-python is not installed.
        """
        manifest, content, trt, self._cuda, device = ready(file)
        self.name = title(file)
        self.file = file
        self.provider = _provider(manifest, trt, device)
        self.contract = manifest.contract
        self.batch_limits = (manifest.batch[0], manifest.batch[2])
        # TensorRT's objects do not keep each other alive: the logger must outlive the runtime, and so on.
        self._log = _collecting_logger(trt)
        self._runtime = trt.Runtime(self._log)
        with ExitStack() as stack:
            self._engine = _deserialize(self._runtime, content, self._log, file, manifest, device)
            _check_tensors(trt, self._engine, file, manifest)
            self._context = _context(self._engine, file)
            self._stream = checked(self._cuda.cudaStreamCreate())
            stack.callback(self._cuda.cudaStreamDestroy, self._stream)
            self._buffers = self._allocate(trt, stack)
            self._resources = stack.pop_all()

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`."""
        check_batch(self, batch)
        return {name: random_array((batch, *buffer.shape[1:]), buffer.dtype) for name, buffer in self._inputs()}

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`; the copies to the GPU and back are part of it."""
        sent = {name: self._send(name, array) for name, array in feeds.items()}
        if not self._context.execute_async_v3(int(self._stream)):
            raise ModelError(f"'{self.name}' failed to run: {_last_words(self._log)}")
        outputs = {name: self._fetch(name) for name, buffer in self._buffers.items() if not buffer.is_input}
        checked(self._cuda.cudaStreamSynchronize(self._stream))
        del sent  # the copies were asynchronous: their sources had to live until here
        return outputs

    def close(self) -> None:
        """See `Session.close`."""
        self._resources.close()
        self._context = self._engine = None

    def _allocate(self, trt: Any, stack: ExitStack) -> dict[str, _Buffer]:
        """Give every tensor of the engine device memory for the largest batch."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        for name in inputs:  # the shapes of the outputs follow from those of the inputs
            self._context.set_input_shape(
                name, (self.batch_limits[1], *tuple(self._engine.get_tensor_shape(name))[1:])
            )
        buffers = {}
        for name in names:
            shape = tuple(self._context.get_tensor_shape(name))
            dtype = trt.nptype(self._engine.get_tensor_dtype(name))
            size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
            address = int(checked(self._cuda.cudaMalloc(size_bytes)))
            stack.callback(self._cuda.cudaFree, address)
            self._context.set_tensor_address(name, address)
            buffers[name] = _Buffer(address, shape, dtype, name in inputs)
        return buffers

    def _inputs(self) -> list[tuple[str, _Buffer]]:
        return [(name, buffer) for name, buffer in self._buffers.items() if buffer.is_input]

    def _send(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        buffer = self._buffers.get(name)
        if buffer is None or array.dtype != buffer.dtype or array.shape[1:] != buffer.shape[1:]:
            takes = ", ".join(f"'{known}' as {known_buffer}" for known, known_buffer in self._inputs())
            raise ModelError(f"'{self.name}' takes {takes}, was given '{name}' as {array.dtype} {list(array.shape)}")
        check_batch(self, len(array))
        host = np.ascontiguousarray(array)
        self._context.set_input_shape(name, host.shape)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        checked(self._cuda.cudaMemcpyAsync(buffer.address, host.ctypes.data, host.nbytes, kind, self._stream))
        return host

    def _fetch(self, name: str) -> NDArray[Any]:
        buffer = self._buffers[name]
        host = np.empty(tuple(self._context.get_tensor_shape(name)), buffer.dtype)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(self._cuda.cudaMemcpyAsync(host.ctypes.data, buffer.address, host.nbytes, kind, self._stream))
        return host


def _provider(manifest: EngineManifest, trt: Any, device: Device) -> str:
    """Where the engine runs, and what is not known about it."""
    where = f"{manifest.package} {trt.__version__} on {device.name}"
    if manifest.deferred:
        return f"{where} (engine not built by capsedge: its hash and release are not recorded)"
    return where if manifest.gpu in ("", device.name) else f"{where} (built on {manifest.gpu})"


def _deserialize(runtime: Any, content: bytes, log: Any, file: Path, manifest: EngineManifest, device: Device) -> Any:
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        again = manifest.deferred or rebuild(manifest, device.target)
        raise ModelError(
            f"'{file}' does not load on {device.name} ({device.target}): {_last_words(log)}; build it again for this "
            f"GPU and this release with: {again}"
        )
    return engine


def _check_tensors(trt: Any, engine: Any, file: Path, manifest: EngineManifest) -> None:
    """Hold what goes in and out of a loaded engine against its manifest, which may be all that is known of it."""
    entry = manifest.contract.input
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    if inputs != [entry.name] or not set(manifest.contract.outputs) <= set(outputs):
        wanted = f"not {entry.name} and {', '.join(manifest.contract.outputs)}"
        raise _unlike(file, manifest, f"it takes {', '.join(inputs)} and gives {', '.join(outputs)}, {wanted}")
    image = tuple(engine.get_tensor_shape(entry.name))[1:]
    batches = tuple(next(iter(shape)) for shape in engine.get_tensor_profile_shape(entry.name, 0))
    if image != entry.shape or batches != manifest.batch:
        reason = f"it takes batches of {batches} (smallest, optimal, largest) of images of {image}"
        raise _unlike(file, manifest, f"{reason}, not {manifest.batch} of {entry.shape}")


def _unlike(file: Path, manifest: EngineManifest, reason: str) -> ModelError:
    again = manifest.deferred or rebuild(manifest)
    return ModelError(f"'{file}' is not the engine that its manifest describes: {reason}; build it with: {again}")


def _context(engine: Any, file: Path) -> Any:
    context = engine.create_execution_context()
    if context is None:
        raise ProviderError(f"'{file}' was loaded, but the GPU has no memory left to run it: free some and try again")
    return context


def _collecting_logger(trt: Any) -> Any:
    """Make a logger that keeps TensorRT's errors for our own one-line errors instead of printing them."""

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

    return Collector()


def _last_words(log: Any) -> str:
    return f"TensorRT says: {' '.join(log.errors[-1].split())[:300]}" if log.errors else "TensorRT says nothing"
