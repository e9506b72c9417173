"""Options of an ONNX Runtime session and of each execution provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from capsedge.contract import Contract
from capsedge.runtime.providers import CPU, ORT_NAMES, OrtProvider
from capsedge.runtime.settings import Settings

Configured = tuple[str, dict[str, str]]  # a provider and its options

FATAL, WARNING = 4, 2  # ONNX Runtime's severities

_KERNELS: ContextVar[Path | None] = ContextVar("_KERNELS", default=None)

# Given although it is the default: without any option, ONNX Runtime reads environment variables in their place.
_ENGINE_CACHE = "trt_engine_cache_enable"

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def session_options(ort: Any, settings: Settings) -> Any:
    """The options of a session; they forbid the fallback to the CPU unless `settings` allow it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[settings.graph])
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = FATAL  # errors are raised too, and reported in one line
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if settings.spinning else "0")
    if settings.exact_int8:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if settings.provider not in (None, "cpu") and not settings.allow_fallback:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def provider_chain(provider: OrtProvider, contract: Contract | None) -> list[Configured]:
    """The providers that may run nodes, configured to compute in the file's types only. Not run on a GPU yet.

    By default, CUDA rounds fp32 to TF32's eleven bits. Its default search for a convolution algorithm takes up to a
    second for each new shape, and may choose another algorithm in the next process, with other last digits (ONNX
    Runtime's issues 19838 and 19822); the heuristic is reported to run as fast. CUDA graphs stay off: they require
    one shape, one thread, and every node on the GPU.

    TensorRT 10, which ONNX Runtime links, uses a type below fp32 only where it is enabled (ONNX Runtime's
    documentation of its execution providers). It builds its engines anew for each session: the cache of engines is
    switched off, because it loads what is in the working directory. CUDA may run nodes that TensorRT cannot.
    TensorRT-RTX uses the types in the file; it compiles kernels when a model is opened, and caches them in the user's
    cache folder (`kernels_in`).
    """
    cuda = (ORT_NAMES["cuda"], {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
    if provider == "cuda":
        return [cuda]
    if provider == "tensorrt-rtx":
        return [(ORT_NAMES[provider], _kernel_cache())]
    if provider == "cpu":
        return [(CPU, {})]
    types = {kind for layer in contract.layers for kind in (layer.type, layer.output)} if contract else set()
    switches = {"trt_fp16_enable": "fp16", "trt_bf16_enable": "bf16", "trt_int8_enable": "int8"}
    enabled = {name: "1" for name, kind in switches.items() if kind in types}
    return [(ORT_NAMES[provider], {_ENGINE_CACHE: "0", **enabled}), cuda]


@contextmanager
def kernels_in(folder: Path) -> Iterator[None]:
    """Cache the kernels that TensorRT-RTX compiles in another folder than the user's cache.

    Args:
        folder: Cache of the sessions opened within the `with` block.
    """
    before = _KERNELS.set(folder)
    try:
        yield
    finally:
        _KERNELS.reset(before)


def _kernel_cache() -> dict[str, str]:
    """The option for the user's cache folder; none where it cannot be created, so that the session starts slowly."""
    from capsedge.data.known import cache_folder  # only TensorRT-RTX needs it

    folder = _KERNELS.get() or cache_folder() / "tensorrt-rtx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    return {"nv_runtime_cache_path": str(folder)}
