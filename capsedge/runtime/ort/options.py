"""What ONNX Runtime is told when it opens a model: options of the session, and of each provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from capsedge.contract import Contract
from capsedge.runtime.providers import CPU, ORT_NAMES, Provider
from capsedge.runtime.settings import Settings

Configured = tuple[str, dict[str, str]]  # a provider and its options

FATAL, WARNING = 4, 2  # ONNX Runtime's severities

_KERNELS: ContextVar[Path | None] = ContextVar("_KERNELS", default=None)

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def session_options(ort: Any, settings: Settings) -> Any:
    """The options of a session; unless `settings` allow it, no node may go to the CPU from another provider."""
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[settings.graph])
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = FATAL  # what fails is raised as well, and said in one line
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if settings.spinning else "0")
    if settings.exact_int8:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if settings.provider not in (None, "cpu") and not settings.allow_fallback:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def provider_chain(provider: Provider, contract: Contract | None) -> list[Configured]:
    """The providers that may run a node, set to compute in the types of the file and no others. Not run on a GPU yet.

    CUDA rounds fp32 to TF32's eleven bits unless told otherwise. Its default search for a convolution's algorithm
    takes up to a second for every new shape, and may choose another one in the next process, with other last digits
    (ONNX Runtime's issues 19838 and 19822); the heuristic is reported as fast once it runs. CUDA graphs are left off:
    there they ask for one shape and one thread, and for every node on the GPU.

    TensorRT 10, which ONNX Runtime links, takes a type below fp32 only where it is switched on (ONNX Runtime's
    documentation of its execution providers). What it cannot run, CUDA may. TensorRT-RTX reads the types in the file;
    it compiles kernels when a model is opened, and keeps them in the folder that it is given.
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
    return [(ORT_NAMES[provider], {name: "1" for name, kind in switches.items() if kind in types}), cuda]


@contextmanager
def kernels_in(folder: Path) -> Iterator[None]:
    """Keep the kernels that TensorRT-RTX compiles in another folder than the user's cache.

    Args:
        folder: For the sessions that are opened meanwhile.
    """
    before = _KERNELS.set(folder)
    try:
        yield
    finally:
        _KERNELS.reset(before)


def _kernel_cache() -> dict[str, str]:
    """The user's cache folder, or nothing where it cannot be made: a slow start is better than none."""
    from capsedge.data.known import cache_folder  # only TensorRT-RTX needs it

    folder = _KERNELS.get() or cache_folder() / "tensorrt-rtx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    return {"nv_runtime_cache_path": str(folder)}
