"""Where ONNX Runtime really runs a model: its silent way from the GPU to the CPU is closed."""

import contextlib
import ctypes
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsedge.contract import contract_of
from capsedge.errors import ModelError, ProviderError
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.providers import Provider
from capsedge.runtime.wheels import wheels_text

CPU = "CPUExecutionProvider"
ORT_NAMES: dict[Provider, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

Configured = tuple[str, dict[str, str]]  # a provider and its options

_FATAL, _WARNING = 4, 2  # ONNX Runtime's severities


def open_on(ort: Any, file: Path, provider: Provider, threads: int) -> Any:
    """Open an `InferenceSession` on the CPU, or wholly off it.

    Args:
        ort: The module onnxruntime.
        file: An ONNX file.
        provider: Where it shall run. TensorRT may hand to CUDA what it cannot run.
        threads: Threads on the CPU; 0 is ONNX Runtime's choice.

    Raises:
        ModelError: ONNX Runtime cannot load the file.
        ProviderError: The provider is not there, or cannot run every node.
    """
    return _on_cpu(ort, file, threads) if provider == "cpu" else _on_gpu(ort, file, provider, threads)


def placed_on(opened: Any) -> str:
    """Name the providers that run a node of the opened model, as ONNX Runtime recorded it, joined by `+`."""
    nodes = _nodes(opened)
    known: list[str] = opened.get_providers()
    return "+".join([provider for provider in known if provider in nodes] or known[:1])


def reason(error: Exception) -> str:
    """Give ONNX Runtime's own words without its codes: `[ONNXRuntimeError] : 1 : FAIL : words`."""
    return " ".join(str(error).rsplit(" : ", 1)[-1].split())[:300]


def _on_cpu(ort: Any, file: Path, threads: int) -> Any:
    try:
        return ort.InferenceSession(str(file), _options(ort, threads), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors have no common class
        read_onnx_file(file)  # says it better where the file is damaged
        raise ModelError(f"ONNX Runtime cannot load '{file}': {reason(error)}") from error


def _on_gpu(ort: Any, file: Path, provider: Provider, threads: int) -> Any:
    wanted = ORT_NAMES[provider]
    offered = ort.get_available_providers()
    if wanted not in offered:
        raise ProviderError(
            f"'{provider}' was asked for, but the installed ONNX Runtime ({wheels_text()}) brings only "
            f"{', '.join(offered)}: pip uninstall -y onnxruntime, then pip install 'capsedge[gpu]'"
        )
    chain = _chain(file, provider)
    options = _options(ort, threads)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with _quiet(ort):
        try:
            opened = ort.InferenceSession(str(file), options, providers=chain, enable_fallback=0)
        except Exception as error:  # ONNX Runtime's errors have no common class
            read_onnx_file(file)
            raise _why_not(ort, file, provider, chain, error) from error
    opened.disable_fallback()
    if opened.get_providers()[0] != wanted:
        raise ProviderError(_not_started(ort, provider, opened.get_providers()))
    return opened


def _chain(file: Path, provider: Provider) -> list[Configured]:
    """The providers that may run a node, set to compute in the types of the file and no others. Not run on a GPU yet.

    CUDA rounds fp32 to TF32's eleven bits unless told otherwise. TensorRT 10, which ONNX Runtime links, takes a type
    below fp32 only where it is switched on (ONNX Runtime's documentation of its execution providers).
    """
    cuda = (ORT_NAMES["cuda"], {"use_tf32": "0"})
    if provider == "cuda":
        return [cuda]
    contract = contract_of(read_onnx_file(file), source=str(file))
    types = {kind for layer in contract.layers for kind in (layer.type, layer.output)} if contract else set()
    switches = {"trt_fp16_enable": "fp16", "trt_bf16_enable": "bf16", "trt_int8_enable": "int8"}
    return [(ORT_NAMES[provider], {name: "1" for name, kind in switches.items() if kind in types}), cuda]


def _options(ort: Any, threads: int) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL  # what fails is raised as well, and said in one line
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


@contextlib.contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """Keep ONNX Runtime's log and its prints to stdout out of ours, and let it find CUDA in pip's wheels."""
    ort.set_default_logger_severity(_FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            yield
    finally:
        ort.set_default_logger_severity(_WARNING)


def _why_not(ort: Any, file: Path, provider: Provider, chain: list[Configured], error: Exception) -> ProviderError:
    """Find out why the strict session failed, by opening the one that ONNX Runtime would have given in silence."""
    try:
        lenient = ort.InferenceSession(str(file), _options(ort, 0), providers=[*chain, CPU], enable_fallback=0)
    except Exception:  # ONNX Runtime's errors have no common class
        return ProviderError(_not_started(ort, provider, [CPU], said=reason(error)))
    if ORT_NAMES[provider] not in lenient.get_providers():
        return ProviderError(_not_started(ort, provider, lenient.get_providers()))
    left = _nodes(lenient).get(CPU, [])
    return ProviderError(
        f"'{provider}' was asked for, but {len(left)} nodes of '{file}' would run on the CPU "
        f"({', '.join(sorted(set(left)))}): choose --provider cpu, or export the model without them"
    )


def _not_started(ort: Any, provider: Provider, given: list[str], said: str = "") -> str:
    missing = _missing_library(ort, provider)
    because = f", because {missing} is missing" if missing else f" ({said})" if said else ""
    return (
        f"'{provider}' was asked for, but ONNX Runtime ({wheels_text()}) gives {', '.join(given)}{because}: it needs "
        "an NVIDIA GPU with its driver, CUDA and cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]')"
        f"{' and TensorRT 10' if provider == 'tensorrt' else ''}"
    )


def _missing_library(ort: Any, provider: Provider) -> str | None:
    """Name the first shared library that the provider asks for in vain; ONNX Runtime tells it to its log only."""
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{provider}.so"
    if sys.platform != "linux" or not library.is_file():
        return None
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        name, _, rest = str(error).partition(":")
        return name if "cannot open shared object" in rest else None
    return None


def _nodes(opened: Any) -> dict[str, list[str]]:
    """Give the operators that each provider runs; nothing where this ONNX Runtime is too old to tell."""
    nodes: dict[str, list[str]] = {}
    if hasattr(opened, "get_provider_graph_assignment_info"):
        for part in opened.get_provider_graph_assignment_info():
            nodes.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return nodes
