"""Stand-ins for TensorRT and the CUDA runtime that compute in host memory and refuse names that the real ones lack.

They show that the right bytes reach the right addresses in the right order. They do not show that a GPU would agree.
"""

# ruff: noqa: N801, N802, N815 - the names are CUDA's

import ctypes
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

API = Path(__file__).parents[1] / "trt_api"
RELEASES = sorted(path.stem for path in API.glob("*.json"))


Recorded = list[Callable[[], Any]]


class Named:
    """An object whose public names are only those of the recorded class of its name."""

    api: dict[str, frozenset[str]]

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in type(self).api[type(self).__name__]:
            raise AttributeError(f"{type(self).__name__} has no {name} in this release")
        return super().__getattribute__(name)


class Status(int):
    """A status of cuda-python, which is an enumeration with a name."""

    @property
    def name(self) -> str:
        return "cudaSuccess" if self == 0 else f"cudaError{int(self)}"


class HostCuda(ModuleType):
    """The functions of cuda.bindings.runtime that capsedge calls, on host memory; `calls` keeps their order."""

    class cudaMemcpyKind:
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode:
        cudaStreamCaptureModeThreadLocal = 1

    def __init__(self, devices: int = 1, fail: str = "") -> None:
        super().__init__("cuda.bindings.runtime")
        self.memory: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.calls: list[str] = []
        self.graphs: set[int] = set()
        self.executables: dict[int, Recorded] = {}
        self.events: dict[int, int] = {}
        self.recording: Recorded | None = None
        self.last_error = Status(0)
        self._recorded: dict[int, Recorded] = {}
        self._devices, self._fail = devices, fail
        self._handles = itertools.count(100)

    def put(self, work: Callable[[], Any]) -> bool:
        """Do work of the stream now, or record it."""
        if self.recording is None:
            return work() is not False
        self.recording.append(work)
        return True

    def cudaGetDeviceCount(self) -> tuple[Status, int]:
        return self._status("cudaGetDeviceCount"), self._devices

    def cudaGetDeviceProperties(self, index: int) -> tuple[Status, Any]:
        properties = type("cudaDeviceProp", (), {"name": b"Stand-in", "major": 8, "minor": 7})
        return self._status("cudaGetDeviceProperties"), properties

    def cudaMalloc(self, size: int) -> tuple[Status, int]:
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self.memory[address] = buffer
        return self._status("cudaMalloc"), address

    def cudaFree(self, address: int) -> tuple[Status]:
        del self.memory[address]
        return (self._status("cudaFree"),)

    def cudaStreamCreate(self) -> tuple[Status, int]:
        return self._status("cudaStreamCreate"), 7

    def cudaStreamDestroy(self, stream: int) -> tuple[Status]:
        assert stream == 7
        return (self._status("cudaStreamDestroy"),)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Status]:
        assert stream == 7
        assert self.recording is None  # waiting would break the recording
        return (self._status("cudaStreamSynchronize"),)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Status]:
        assert stream == 7
        device = target if kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice else source
        assert size <= ctypes.sizeof(self.memory[device])
        host = source if device == target else target
        assert size <= ctypes.sizeof(self.pinned[host])
        self.put(lambda: ctypes.memmove(target, source, size))
        return (self._status(f"cudaMemcpyAsync {kind}"),)

    def cudaMallocHost(self, size: int) -> tuple[Status, int]:
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self.pinned[address] = buffer
        return self._status("cudaMallocHost"), address

    def cudaFreeHost(self, address: int) -> tuple[Status]:
        del self.pinned[address]
        return (self._status("cudaFreeHost"),)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Status]:
        assert (stream, mode, self.recording) == (7, 1, None)
        status = self._status("cudaStreamBeginCapture")
        self.recording = None if status else []
        return (status,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Status, int]:
        assert stream == 7
        assert self.recording is not None
        graph, status = next(self._handles), self._status("cudaStreamEndCapture")
        self._recorded[graph], self.recording = self.recording, None
        if status:
            return status, 0
        self.graphs.add(graph)
        return status, graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Status, int]:
        assert (graph in self.graphs, flags) == (True, 0)
        executable = next(self._handles)
        status = self._status("cudaGraphInstantiate")
        if status == 0:
            self.executables[executable] = self._recorded[graph]
        return status, executable

    def cudaGraphLaunch(self, executable: int, stream: int) -> tuple[Status]:
        assert stream == 7
        for work in self.executables[executable]:
            work()
        return (self._status("cudaGraphLaunch"),)

    def cudaGraphDestroy(self, graph: int) -> tuple[Status]:
        self.graphs.remove(graph)
        return (self._status("cudaGraphDestroy"),)

    def cudaGraphExecDestroy(self, executable: int) -> tuple[Status]:
        del self.executables[executable]
        return (self._status("cudaGraphExecDestroy"),)

    def cudaEventCreate(self) -> tuple[Status, int]:
        event = next(self._handles)
        self.events[event] = -1
        return self._status("cudaEventCreate"), event

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Status]:
        assert stream == 7
        self.events[event] = len(self.calls)  # the clock of these stand-ins: how many calls came before
        return (self._status("cudaEventRecord"),)

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[Status, float]:
        assert self.calls[-1] in ("cudaStreamSynchronize", "cudaEventElapsedTime")
        return self._status("cudaEventElapsedTime"), float(self.events[end] - self.events[start])

    def cudaEventDestroy(self, event: int) -> tuple[Status]:
        del self.events[event]
        return (self._status("cudaEventDestroy"),)

    def cudaGetLastError(self) -> tuple[Status]:
        self._status("cudaGetLastError")
        status, self.last_error = self.last_error, Status(0)
        return (status,)

    def _status(self, call: str) -> Status:
        self.calls.append(call)
        if call == self._fail:
            self.last_error = Status(2)
            return self.last_error
        return Status(0)


def tensorrt(
    release: str,
    model: Path,
    cuda: HostCuda,
    *,
    loads: bool = True,
    memory_for: int = 100,
    profile: tuple[int, int, int] = (1, 1, 16),
    records: bool = True,
    kernels: bytes = b"compiled kernels",
) -> ModuleType:
    """Build a stand-in of one release whose every engine computes `model`.

    Args:
        release: A name out of `RELEASES`.
        model: An ONNX file with uint8 images in, and lengths and poses out.
        cuda: Whose addresses the engine reads and writes.
        loads: Whether deserializing succeeds.
        memory_for: How many execution contexts there is memory for.
        profile: Smallest, optimal and largest batch that every engine was built for.
        records: Whether an execution can be recorded as a part of a CUDA graph.
        kernels: What TensorRT-RTX has compiled when an engine is closed.
    """
    names = json.loads((API / f"{release}.json").read_text())
    api = {name: frozenset(members) for name, members in names.items()}
    module = ModuleType(release.split("-", maxsplit=1)[0])
    graph = onnx.load(model).graph
    shapes = {
        value.name: tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.output)
    }
    tensors: list[str] = list(shapes)
    dtypes = {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.output)
    }

    class ILogger:
        ERROR = 1

        def log(self, severity: int, message: str) -> None:
            raise NotImplementedError

    class TensorIOMode:
        INPUT, OUTPUT = 1, 2

    class IProfiler:
        def report_layer_time(self, layer_name: str, ms: float) -> None:
            raise NotImplementedError

    class CudaGraphStrategy:
        DISABLED, WHOLE_GRAPH_CAPTURE = 0, 1

    class IRuntimeCache(Named):
        def __init__(self) -> None:
            self._content = b""

        def deserialize(self, blob: bytes) -> bool:
            module.loaded_kernels.append(blob)
            return blob == kernels

        def serialize(self) -> bytes:
            return kernels

    class IRuntimeConfig(Named):
        cuda_graph_strategy: int = CudaGraphStrategy.DISABLED

        def create_runtime_cache(self) -> IRuntimeCache:
            return IRuntimeCache()

        def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
            assert isinstance(cache, IRuntimeCache)
            return True

    class IExecutionContext(Named):
        profiler: IProfiler | None = None

        def __init__(self) -> None:
            self._addresses: dict[str, int] = {}
            self._batch = -1
            self._batch_of_graph: int | None = None
            self._ran = -1

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            assert tuple(shape)[1:] == shapes[name][1:]
            assert self._batch_of_graph in (None, shape[0])  # a graph breaks where its context is changed
            self._batch = shape[0]
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (self._batch, *shapes[name][1:])

        def set_tensor_address(self, name: str, address: int) -> bool:
            assert isinstance(address, int)
            self._addresses[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            assert isinstance(stream, int)
            cuda.calls.append("execute")
            if (
                self._batch == 13 or cuda.last_error
            ):  # the unlucky one; a launch that finds an error takes it as its own
                return False
            if cuda.recording is not None:
                assert self._ran == self._batch  # TensorRT settles a shape in a plain run
                self._batch_of_graph = self._batch
                if not records:
                    cuda.last_error = Status(900)
                    return False
            self._ran = self._batch
            return cuda.put(self._compute)

        def _compute(self) -> None:
            image = self._view("image")
            for name, value in zip(
                ("lengths", "poses"), ReferenceEvaluator(onnx.load(model)).run(None, {"image": image}), strict=True
            ):
                self._view(name)[...] = value
            if self.profiler is not None:
                module.profiled.append(self)
                for layer, ms in (("conv1", 2.0), ("classes", 1.0), ("conv1", 0.5)):
                    self.profiler.report_layer_time(layer, ms * len(module.profiled))

        def _view(self, name: str) -> Any:
            shape = self.get_tensor_shape(name)
            size = int(np.prod(shape)) * dtypes[name].itemsize
            memory = (ctypes.c_uint8 * size).from_address(self._addresses[name])
            return np.ctypeslib.as_array(memory).view(dtypes[name]).reshape(shape)

    class ICudaEngine(Named):
        num_io_tensors = len(shapes)

        def get_tensor_name(self, index: int) -> str:
            return tensors[index]

        def get_tensor_mode(self, name: str) -> int:
            return TensorIOMode.INPUT if name == "image" else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return dtypes[name]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return shapes[name]

        def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
            assert (name, index) == ("image", 0)
            return [(batch, *shapes[name][1:]) for batch in profile]

        def create_execution_context(self, config: IRuntimeConfig | None = None) -> IExecutionContext | None:
            module.contexts.append(None if config is None else config.cuda_graph_strategy)
            return IExecutionContext() if len(module.contexts) <= memory_for else None

        def create_runtime_config(self) -> IRuntimeConfig:
            config = IRuntimeConfig()
            module.configs.append(config)
            return config

    class Runtime(Named):
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, ILogger)
            self._logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> ICudaEngine | None:
            assert isinstance(content, bytes)
            if not loads:
                self._logger.log(3, "Loaded engine size: 0 MiB")
                self._logger.log(ILogger.ERROR, "Serialization assertion\nfailed.")
                return None
            return ICudaEngine()

    stand_ins = [ILogger, TensorIOMode, IProfiler, IExecutionContext, ICudaEngine, Runtime]
    if "CudaGraphStrategy" in names:
        stand_ins += [CudaGraphStrategy, IRuntimeConfig, IRuntimeCache]
    else:
        del ICudaEngine.create_runtime_config
    for stand_in in stand_ins:
        assert {name for name in vars(stand_in) if not name.startswith("_")} <= api[stand_in.__name__]
        setattr(module, stand_in.__name__, stand_in)
    for named in (IExecutionContext, ICudaEngine, Runtime, IRuntimeConfig, IRuntimeCache):
        named.api = api
    assert "nptype" in names
    vars(module).update(__version__=release.split("-")[1], nptype=lambda dtype: dtype.type)
    vars(module).update(contexts=[], configs=[], loaded_kernels=[], profiled=[])  # what was done with it
    return module
