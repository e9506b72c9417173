"""Stand-ins for TensorRT and the CUDA runtime that compute in host memory and refuse names that the real ones lack.

They show that the right bytes reach the right addresses in the right order. They do not show that a GPU would agree.
"""

# ruff: noqa: N801, N802, N815 - the names are CUDA's

import ctypes
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

API = Path(__file__).parents[1] / "trt_api"
RELEASES = sorted(path.stem for path in API.glob("*.json"))


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

    def __init__(self, devices: int = 1, fail: str = "") -> None:
        super().__init__("cuda.bindings.runtime")
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self._devices, self._fail = devices, fail

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
        return (self._status("cudaStreamSynchronize"),)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Status]:
        assert stream == 7
        device = target if kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice else source
        assert size <= ctypes.sizeof(self.memory[device])
        ctypes.memmove(target, source, size)
        return (self._status(f"cudaMemcpyAsync {kind}"),)

    def _status(self, call: str) -> Status:
        self.calls.append(call)
        return Status(2 if call == self._fail else 0)


def tensorrt(
    release: str,
    model: Path,
    cuda: HostCuda,
    *,
    loads: bool = True,
    has_memory: bool = True,
    profile: tuple[int, int, int] = (1, 1, 16),
) -> ModuleType:
    """Build a stand-in of one release whose every engine computes `model`.

    Args:
        release: A name out of `RELEASES`.
        model: An ONNX file with uint8 images in, and lengths and poses out.
        cuda: Whose addresses the engine reads and writes.
        loads: Whether deserializing succeeds.
        has_memory: Whether there is memory for an execution context.
        profile: Smallest, optimal and largest batch that every engine was built for.
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

    class IExecutionContext(Named):
        def __init__(self) -> None:
            self._addresses: dict[str, int] = {}
            self._batch = -1

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            assert tuple(shape)[1:] == shapes[name][1:]
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
            if self._batch == 13:  # the unlucky one
                return False
            image = self._view("image")
            for name, value in zip(
                ("lengths", "poses"), ReferenceEvaluator(onnx.load(model)).run(None, {"image": image}), strict=True
            ):
                self._view(name)[...] = value
            return True

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

        def create_execution_context(self) -> IExecutionContext | None:
            return IExecutionContext() if has_memory else None

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

    for stand_in in (ILogger, TensorIOMode, IExecutionContext, ICudaEngine, Runtime):
        assert {name for name in vars(stand_in) if not name.startswith("_")} <= api[stand_in.__name__]
        setattr(module, stand_in.__name__, stand_in)
    for named in (IExecutionContext, ICudaEngine, Runtime):
        named.api = api
    assert "nptype" in names
    vars(module).update(__version__=release.split("-")[1], nptype=lambda dtype: dtype.type)
    return module
