"""Sessions of TensorRT engines, of TensorRT-RTX or classic TensorRT, with buffers allocated by cuda-python.

Not run on a GPU yet. Tests run this code on stand-ins that compute in host memory and have exactly the names of five
releases of TensorRT, and on the real TensorRT-RTX as far as possible without a GPU.
"""

import threading
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from msgspec.structs import replace

from capsedge.contract import EngineManifest
from capsedge.errors import CapsedgeError, ModelError, ProviderError, WrongUse
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.models import title
from capsedge.runtime.session import (
    DeviceKind,
    QueryBreakdown,
    Session,
    SessionCode,
    SessionWarning,
    check_batch,
    closed,
)
from capsedge.runtime.settings import DEFAULTS, Settings
from capsedge.runtime.tensorrt.buffers import Buffer, allocate
from capsedge.runtime.tensorrt.cuda import Device, checked
from capsedge.runtime.tensorrt.graph import capture
from capsedge.runtime.tensorrt.log import collecting_logger, last_words, layer_profiler
from capsedge.runtime.tensorrt.manifest import ready
from capsedge.runtime.tensorrt.rtx import KernelCache, records_graphs, runtime_config
from capsedge.runtime.tensorrt.targets import rebuild

# Each graph needs an execution context with its own memory.
MOST_GRAPHS = 4


class EngineSession(Session):
    """A TensorRT engine with its stream and its buffers; threads that share it run it one at a time."""

    device: DeviceKind = "gpu"

    def __init__(self, file: Path, settings: Settings = DEFAULTS) -> None:
        """Check the engine against its manifest and load it.

        Raises:
            ModelError: The manifest is missing, or the engine does not match it, this release or this GPU.
            ProviderError: There is no TensorRT or no GPU.
            MissingExtra: cuda-python is not installed.
        """
        manifest, content, read_ms, self._trt, self._cuda, device = ready(file)
        start = perf_counter_ns()
        self.name = title(file)
        self.file = file
        self.settings = settings
        self.provider = _provider(manifest, self._trt, device)
        self.contract = manifest.contract
        self.batch_limits = (manifest.batch[0], manifest.batch[2])
        self._one_at_a_time = threading.Lock()  # there is one set of buffers
        self._kernels = KernelCache(file)
        self._configs: dict[bool, Any] = {}
        self._graphs: dict[int, Any] = {}
        self._graph_contexts: list[Any] = []
        self._plain_runs: Counter[int] = Counter()
        self._may_record = settings.cuda_graph and not records_graphs(self._trt)
        # TensorRT's objects hold no references to each other: the logger must outlive the runtime, and so on.
        self._log = collecting_logger(self._trt)
        self._runtime = self._trt.Runtime(self._log)
        with ExitStack() as stack:
            self._engine = _deserialize(self._runtime, content, self._log, file, manifest, device)
            _check_tensors(self._trt, self._engine, file, manifest)
            self._context = self._new_context(graphs=settings.cuda_graph)
            self._stream = checked(self._cuda.cudaStreamCreate())
            stack.callback(self._cuda.cudaStreamDestroy, self._stream)
            self._buffers = self._allocate(stack)
            self._connect(self._context)
            self._resources = stack.pop_all()
        self.load_ms = read_ms + (perf_counter_ns() - start) / 1e6

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`."""
        check_batch(self, batch)
        self._must_be_open()
        return {name: random_array((batch, *each.shape[1:]), each.host.dtype) for name, each in self._inputs()}

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`; includes the copies to the GPU and back, and gives new arrays."""
        with self._one_at_a_time:
            batch = self._fill(feeds)
            if graph := self._graphs.get(batch):
                checked(self._cuda.cudaGraphLaunch(graph, self._stream))
            else:
                self._enqueue(self._context)
            checked(self._cuda.cudaStreamSynchronize(self._stream))
            outputs = self._taken()
            if graph is None:
                self._record(batch)
            return outputs

    def run_with_breakdown(self, feeds: Arrays) -> QueryBreakdown:
        """See `Session.run_with_breakdown`: timed by CUDA events, without a CUDA graph, which runs as one unit.

        Copies go through page-locked memory in two steps; the step on the host is timed by the host's clock.
        """
        with self._one_at_a_time:
            return self._breakdown(feeds)

    def _breakdown(self, feeds: Arrays) -> QueryBreakdown:
        start = perf_counter_ns()
        self._fill(feeds)
        fill_ms = (perf_counter_ns() - start) / 1e6
        with ExitStack() as stack:
            events = [checked(self._cuda.cudaEventCreate()) for _ in range(4)]
            for event in events:
                stack.callback(self._cuda.cudaEventDestroy, event)
            checked(self._cuda.cudaEventRecord(events[0], self._stream))
            for step, event in zip((self._copy_in, self._execute, self._copy_out), events[1:], strict=True):
                step(self._context)
                checked(self._cuda.cudaEventRecord(event, self._stream))
            checked(self._cuda.cudaStreamSynchronize(self._stream))
            copy_in, compute, copy_out = (
                float(checked(self._cuda.cudaEventElapsedTime(before, after))) for before, after in pairwise(events)
            )
        start = perf_counter_ns()
        self._taken()
        take_ms = (perf_counter_ns() - start) / 1e6
        return QueryBreakdown(fill_ms + copy_in, compute, copy_out + take_ms)

    def layer_times(self, feeds: Arrays, runs: int) -> list[tuple[str, float]]:
        """Time each layer with TensorRT's profiler, without CUDA graphs, which run as one unit.

        Args:
            feeds: Inputs by name, as for `run_raw`.
            runs: Number of measured runs, after one warm-up run.

        Returns:
            Name and mean time in milliseconds of each layer, in the order of execution. The names are numbers where
            the engine was built with the profiling verbosity NONE.

        Raises:
            WrongUse: `runs` is below 1.
            ModelError: See `run_raw`.
        """
        if runs < 1:
            raise WrongUse(f"runs: expected 1 or more, got {runs}")
        with self._one_at_a_time:
            return self._layer_times(feeds, runs)

    def _layer_times(self, feeds: Arrays, runs: int) -> list[tuple[str, float]]:
        self._fill(feeds)
        context, profiler = self._new_context(graphs=False), layer_profiler(self._trt)
        self._connect(context)
        self._shape_like(context, feeds)
        context.profiler = profiler
        for run in range(runs + 1):
            if run == 1:
                profiler.times_ms.clear()
            self._enqueue(context)
            checked(self._cuda.cudaStreamSynchronize(self._stream))
        return [(name, total_ms / runs) for name, total_ms in profiler.times_ms.items()]

    def close(self) -> None:
        """See `Session.close`."""
        self._kernels.save()
        self._resources.close()
        self._buffers.clear()  # their memory is freed already
        self._graphs.clear()
        self._graph_contexts.clear()
        self._context = None
        self._configs.clear()
        self._kernels.close()
        self._engine = None

    def _new_context(self, *, graphs: bool) -> Any:
        """Make an execution context; `graphs` enables TensorRT-RTX's own CUDA graphs."""
        if records_graphs(self._trt):
            if graphs not in self._configs:
                self._configs[graphs] = runtime_config(self._trt, self._engine, self._kernels, graphs=graphs)
            context = self._engine.create_execution_context(self._configs[graphs])
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise ProviderError(
                f"'{self.file}' was loaded, but the GPU has no memory left to run it", "free some and try again"
            )
        return context

    def _allocate(self, stack: ExitStack) -> dict[str, Buffer]:
        """Allocate memory for every tensor of the engine at the largest batch."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT]
        for name in inputs:  # TensorRT infers the output shapes from these
            self._context.set_input_shape(
                name, (self.batch_limits[1], *tuple(self._engine.get_tensor_shape(name))[1:])
            )
        return {
            name: allocate(
                self._cuda,
                tuple(self._context.get_tensor_shape(name)),
                self._trt.nptype(self._engine.get_tensor_dtype(name)),
                stack,
                is_input=name in inputs,
            )
            for name in names
        }

    def _connect(self, context: Any) -> None:
        for name, each in self._buffers.items():
            context.set_tensor_address(name, each.address)

    def _inputs(self) -> list[tuple[str, Buffer]]:
        return [(name, each) for name, each in self._buffers.items() if each.is_input]

    def _outputs(self) -> list[tuple[str, Buffer]]:
        return [(name, each) for name, each in self._buffers.items() if not each.is_input]

    def _fill(self, feeds: Arrays) -> int:
        """Check the inputs, copy them into page-locked memory, and set their shapes; gives the batch."""
        self._must_be_open()
        given = {name: (array.dtype, array.shape[1:]) for name, array in feeds.items()}
        if given != {name: (each.host.dtype, each.shape[1:]) for name, each in self._inputs()}:
            takes = ", ".join(f"'{name}' as {each}" for name, each in self._inputs())
            was = ", ".join(f"'{name}' as {array.dtype} {list(array.shape)}" for name, array in feeds.items())
            raise ModelError(f"'{self.name}': expected {takes}, got {was or 'nothing'}")
        for name, array in feeds.items():
            check_batch(self, len(array))
            self._buffers[name].view(array.shape)[...] = array
        self._shape_like(self._context, feeds)
        return len(next(iter(feeds.values())))

    def _taken(self) -> Arrays:
        """Copies of the outputs in page-locked memory after a run."""
        return {name: each.view(tuple(self._context.get_tensor_shape(name))).copy() for name, each in self._outputs()}

    def _must_be_open(self) -> None:
        if not self._buffers:
            raise closed(self)

    def _shape_like(self, context: Any, feeds: Arrays) -> None:
        for name, array in feeds.items():
            context.set_input_shape(name, array.shape)

    def _enqueue(self, context: Any) -> None:
        self._copy_in(context)
        self._execute(context)
        self._copy_out(context)

    def _copy_in(self, context: Any) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        for name, each in self._inputs():
            host = each.view(tuple(context.get_tensor_shape(name)))
            checked(self._cuda.cudaMemcpyAsync(each.address, host.ctypes.data, host.nbytes, kind, self._stream))

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(int(self._stream)):
            raise ModelError(f"'{self.name}' failed to run: {last_words(self._log)}")

    def _copy_out(self, context: Any) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for name, each in self._outputs():
            host = each.view(tuple(context.get_tensor_shape(name)))
            checked(self._cuda.cudaMemcpyAsync(host.ctypes.data, each.address, host.nbytes, kind, self._stream))

    def _record(self, batch: int) -> None:
        """After the second run of a batch size, record it as a CUDA graph for the third.

        A graph needs an execution context that does not change any more, not even in the shape of its input, and that
        has run once in that shape (NVIDIA's best practice: one context for each graph, TensorRT's issue 3798).
        Engines with loops or data-dependent shapes cannot be recorded, and run without a graph.
        """
        self._plain_runs[batch] += 1
        if not self._may_record or self._plain_runs[batch] != 2:
            return
        if len(self._graphs) == MOST_GRAPHS:
            self._warn(
                "graph-limit",
                f"batches of {batch} run without a CUDA graph: {MOST_GRAPHS} other sizes have one already",
            )
            return
        try:
            context = self._new_context(graphs=False)
        except ProviderError as error:
            self._give_up(error)
            return
        self._connect(context)
        self._shape_like(context, {name: each.view((batch, *each.shape[1:])) for name, each in self._inputs()})
        self._enqueue(context)  # an error here is not about graphs
        checked(self._cuda.cudaStreamSynchronize(self._stream))
        try:
            graph = capture(self._cuda, self._stream, lambda: self._enqueue(context))
        except CapsedgeError as error:
            self._give_up(error)
            return
        self._resources.callback(self._cuda.cudaGraphExecDestroy, graph)
        self._graph_contexts.append(context)
        self._graphs[batch] = graph

    def _give_up(self, error: CapsedgeError) -> None:
        """Stop recording, with a warning and `settings` that show it."""
        self._may_record = False
        self.settings = replace(self.settings, cuda_graph=bool(self._graphs))
        self._warn("graph-failed", f"runs cannot be recorded as a CUDA graph ({error})")
        self._log.errors.clear()

    def _warn(self, code: SessionCode, text: str) -> None:
        self.warnings += (SessionWarning(code, text),)


def _provider(manifest: EngineManifest, trt: Any, device: Device) -> str:
    """The package, release and GPU that run the engine, and what the manifest says about its build."""
    where = f"{manifest.package} {trt.__version__} on {device.name}"
    if manifest.deferred:
        return f"{where} (engine not built by capsedge: its hash and release are not recorded)"
    return where if manifest.gpu in ("", device.name) else f"{where} (built on {manifest.gpu})"


def _deserialize(runtime: Any, content: bytes, log: Any, file: Path, manifest: EngineManifest, device: Device) -> Any:
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        again = manifest.deferred or rebuild(manifest, device.target)
        raise ModelError(
            f"'{file}' does not load on {device.name} ({device.target}): {last_words(log)}",
            f"build it again for this GPU and this release with: {again}",
        )
    return engine


def _check_tensors(trt: Any, engine: Any, file: Path, manifest: EngineManifest) -> None:
    """Compare the inputs and outputs of a loaded engine with its manifest."""
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
    return ModelError(f"'{file}' is not the engine that its manifest describes: {reason}", f"build it with: {again}")
