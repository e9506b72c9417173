"""Sessions of OpenVINO, on the CPU."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np

from capsedge.errors import ModelError, WrongUse
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.onnx_lite.schema import BY_DTYPE
from capsedge.runtime.compiled import refuse_compiled
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.inputs import assumed, batch_limits, contract_in, random_feed
from capsedge.runtime.models import title
from capsedge.runtime.openvino.library import load_openvino
from capsedge.runtime.ort.threads import with_threads
from capsedge.runtime.session import Session, check_batch, closed
from capsedge.runtime.settings import DEFAULTS, Settings

DEVICE = "CPU"

# Types in which the CPU computes; the others are those of indices and shapes.
_COMPUTED = ("f32", "bf16", "f16", "i8")


@dataclass
class _Declared:
    """An input in the form of ONNX Runtime: see `inputs.Declared`."""

    name: str
    shape: Sequence[int | str | None]
    type: str
    dtype: np.dtype[Any]


class OpenVinoSession(Session):
    """An ONNX file on OpenVINO's CPU plugin; the contract is optional.

    OpenVINO computes fp32 graphs in bf16 by itself where the processor has instructions for it. The session asks for
    fp32 (`INFERENCE_PRECISION_HINT`), and `provider` has the types that the compiled model really computes in.
    """

    def __init__(self, file: Path, settings: Settings = DEFAULTS) -> None:
        """Load `file`; of the settings, `threads` and `batch` have an effect.

        Raises:
            WrongUse: A setting is given that has an effect on other runtimes only.
            ModelError: OpenVINO cannot load the file.
            ProviderError: OpenVINO is installed but does not load.
            MissingExtra: OpenVINO is not installed.
        """
        _refuse_without_effect(settings)
        openvino = load_openvino()
        start = perf_counter_ns()
        self.contract = contract_in(file)
        self.settings = msgspec.structs.replace(with_threads(settings, self.contract), io_binding=False)
        self.name, self.file = title(file), file
        self._compiled = _compiled(openvino, file, self.settings)
        self._inputs = [_declared(node) for node in self._compiled.inputs]
        self._outputs = [node.get_any_name() for node in self._compiled.outputs]
        self._requests = threading.local()  # a request serves one thread at a time
        self.provider = f"OpenVINO {DEVICE} ({'+'.join(computed_types(self._compiled)) or 'no computation'})"
        self.batch_limits = batch_limits(self._inputs)
        self.warnings = () if self.contract else tuple(assumed(self._inputs, self.batch_limits))
        self.load_ms = (perf_counter_ns() - start) / 1e6

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`: a dynamic first axis becomes the batch, every other dynamic axis becomes 1."""
        check_batch(self, batch)
        if self._compiled is None:
            raise closed(self)
        return {node.name: random_feed(self.name, node, batch) for node in self._inputs}

    def axes(self) -> dict[str, tuple[int | None, ...]]:
        """See `Session.axes`."""
        if self._compiled is None:
            raise closed(self)
        return {
            node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape) for node in self._inputs
        }

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`."""
        if self._compiled is None:
            raise closed(self)
        given = [self._fitting(node, feeds) for node in self._inputs]
        try:
            request = getattr(self._requests, "own", None)
            if request is None:
                request = self._requests.own = self._compiled.create_infer_request()
            results = request.infer(given)
        except RuntimeError as error:  # OpenVINO's errors
            raise ModelError(f"'{self.name}' failed to run: {_reason(error)}") from error
        return {name: results[index] for index, name in enumerate(self._outputs)}

    def close(self) -> None:
        """See `Session.close`; OpenVINO frees the model when its last reference is gone."""
        self._compiled = None
        self._requests = threading.local()

    def _fitting(self, node: _Declared, feeds: Arrays) -> Any:
        """An input of the declared type and shape: OpenVINO converts or reinterprets another one without a word."""
        if node.name not in feeds:
            raise ModelError(f"'{self.name}' failed to run: it takes '{node.name}', which was not given")
        array = feeds[node.name]
        same = len(array.shape) == len(node.shape) and all(
            wanted in (None, given) for wanted, given in zip(node.shape, array.shape, strict=True)
        )
        if array.dtype != node.dtype or not same:
            wanted = ", ".join("any" if axis is None else str(axis) for axis in node.shape)
            raise ModelError(
                f"'{self.name}' failed to run: expected {node.dtype} [{wanted}] as '{node.name}', got {array.dtype} "
                f"{list(array.shape)}"
            )
        return array


def computed_types(compiled: Any) -> list[str]:
    """Types in which a compiled model computes, the most frequent first, such as `f32` and `i8`.

    They come from the graph that OpenVINO executes (`runtimePrecision` of its operations), not from the hint that it
    was given.
    """
    graph = compiled.get_runtime_model()
    types = Counter(operation.get_rt_info()["runtimePrecision"].astype(str) for operation in graph.get_ordered_ops())
    return [name for name, _ in types.most_common() if name in _COMPUTED]


def _refuse_without_effect(settings: Settings) -> None:
    """Refuse options of ONNX Runtime and of engines; `io_binding` false is what OpenVINO does."""
    given = {
        "--graph": settings.graph != DEFAULTS.graph,
        "--io-binding": settings.io_binding is True,
        "--no-spinning": not settings.spinning,
        "--no-cuda-graph": not settings.cuda_graph,
        "--allow-fallback": settings.allow_fallback,
        "exact_int8": settings.exact_int8 is not None,  # of Python only
    }
    if names := ", ".join(name for name, differs in given.items() if differs):
        raise WrongUse(f"{names}: expected options that OpenVINO has, got those of other runtimes", "leave them out")


def _compiled(openvino: Any, file: Path, settings: Settings) -> Any:
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    if settings.threads:
        options["INFERENCE_NUM_THREADS"] = settings.threads
    try:
        core = openvino.Core()
        return core.compile_model(core.read_model(str(file)), DEVICE, options)
    except RuntimeError as error:
        read_onnx_file(file)  # raises a clearer error for a damaged file
        refuse_compiled(file)
        raise ModelError(f"OpenVINO cannot load '{file}': {_reason(error)}") from error


def _declared(node: Any) -> _Declared:
    shape = [axis.get_length() if axis.is_static else None for axis in node.get_partial_shape()]
    dtype = np.dtype(node.get_element_type().to_dtype())
    kind = BY_DTYPE[dtype].name if dtype in BY_DTYPE else str(dtype)
    return _Declared(node.get_any_name(), shape, f"tensor({kind})", dtype)


def _reason(error: Exception) -> str:
    """The last sentences of an error, without the places in OpenVINO's source code before them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check '", "While ", "at "))]
    return " ".join((told or lines)[-2:])[:300]
