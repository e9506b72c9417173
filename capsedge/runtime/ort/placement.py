"""The placement of a model's nodes by ONNX Runtime, without its silent fallback from the GPU to the CPU."""

import contextlib
import ctypes
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from capsedge.contract import Contract
from capsedge.errors import ModelError, ProviderError, install
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.compiled import refuse_compiled
from capsedge.runtime.ort.options import FATAL, WARNING, Configured, provider_chain, session_options
from capsedge.runtime.ort.wheels import wheels_text
from capsedge.runtime.providers import CPU, ORT_NAMES, OrtProvider
from capsedge.runtime.session import DeviceKind
from capsedge.runtime.settings import Settings

__all__ = ["CPU", "ORT_NAMES", "Placement", "absent", "open_on", "placement_of", "reason"]


_FOR_TENSORRT = ("bf16", "fp8")

_NODE = re.compile(r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: ")
# `FILE:LINE SIGNATURE`, and the condition that failed where words follow it.
_PLACE = re.compile(
    r"\S*[/\\]onnxruntime[/\\]\S+:\d+ (?:\S+ )*?[\w:~<>]+\([^()]*\)(?: const)?(?: \[with [^]]*\])? "
    r"(?:.{1,200}? was false\. (?=\S))?"
)

_ASSIGNMENT = "get_provider_graph_assignment_info"  # since a release after ONNX Runtime 1.22


class Placement(NamedTuple):
    """The providers of the nodes of an opened model.

    Attributes:
        provider: The providers that run at least one node, in order of preference, joined by `+`.
        device: `gpu` if one of them is not the CPU: all others of `ORT_NAMES` are those of GPUs.
        fell_back: Operators that run on the CPU though another provider was requested, sorted.
    """

    provider: str
    device: DeviceKind
    fell_back: tuple[str, ...] = ()


def open_on(ort: Any, file: Path, settings: Settings, contract: Contract | None = None) -> Any:
    """Open an `InferenceSession` on the requested provider, with no node on the CPU unless fallback is allowed.

    Args:
        ort: The module onnxruntime.
        file: An ONNX file.
        settings: Provider and other options; the number of threads is passed on unchanged.
        contract: The file's contract, if any; it selects the types that TensorRT may compute in.

    Raises:
        ModelError: ONNX Runtime cannot load the file, or it brings an engine (`refuse_compiled`).
        ProviderError: The provider is not available, or cannot run every node.
    """
    provider = settings.provider or "cpu"
    if provider == "openvino":
        raise ValueError("OpenVINO runs without ONNX Runtime: use open_session")
    if provider == "cpu":
        return _on_cpu(ort, file, settings, contract)
    return _on_gpu(ort, file, provider, settings, contract)


def placement_of(ort: Any, opened: Any, settings: Settings) -> Placement:
    """The placement that ONNX Runtime recorded for an opened model.

    An old release does not record it. Then the placement is certain only where the CPU is the only provider, or one
    other provider started without fallback to the CPU; otherwise the text says that it is not known.
    """
    nodes, started = _nodes(opened), opened.get_providers()
    device: DeviceKind = "cpu" if {*(nodes or started)} == {CPU} else "gpu"
    if nodes:
        fell_back = sorted(set(nodes.get(CPU, []))) if settings.provider not in (None, "cpu") else []
        return Placement("+".join(name for name in started if name in nodes), device, tuple(fell_back))
    others = [name for name in started if name != CPU]
    if not others or (len(others) == 1 and not settings.allow_fallback):
        return Placement(started[0], device)
    return Placement(f"{started[0]} (ONNX Runtime {ort.__version__} does not tell which nodes run there)", device)


def absent(ort: Any, provider: OrtProvider) -> str:
    """Say what to install where the installed ONNX Runtime lacks a provider; "" where it has the provider.

    Args:
        ort: The module onnxruntime.
        provider: The provider.
    """
    offered = ort.get_available_providers()
    if ORT_NAMES[provider] in offered:
        return ""
    if provider == "tensorrt-rtx":
        from capsedge.runtime.ort import plugin  # few users need it

        return "" if plugin.is_installed() else plugin.INSTALL
    return f"pip uninstall -y onnxruntime, then {install('gpu')}"


def reason(error: Exception) -> str:
    """The message of an ONNX Runtime error without codes and source locations.

    The form of an error is `[ONNXRuntimeError] : 1 : FAIL : words`.
    """
    words = " ".join(str(error).rsplit(" : ", 1)[-1].split())
    return _PLACE.sub("", _NODE.sub(r"\1 '\2': ", words)).replace(" '': ", ": ")[:300]


def _on_cpu(ort: Any, file: Path, settings: Settings, contract: Contract | None) -> Any:
    try:
        return ort.InferenceSession(str(file), session_options(ort, settings), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors have no common class
        read_onnx_file(file)  # raises a clearer error for a damaged file
        refuse_compiled(file)  # the CPU runs no engine: ONNX Runtime refused it already
        if contract is not None and contract.layers and contract.precision in _FOR_TENSORRT:
            raise ModelError(
                f"'{file}' computes in {contract.precision}, which ONNX Runtime cannot on the CPU",
                "build an engine for TensorRT (capsedge export RUN --trt), or use the model in fp32, fp16 or int8",
            ) from error
        raise ModelError(f"ONNX Runtime cannot load '{file}': {reason(error)}") from error


def _on_gpu(ort: Any, file: Path, provider: OrtProvider, settings: Settings, contract: Contract | None) -> Any:
    if advice := absent(ort, provider):
        raise ProviderError(
            f"'{provider}' was asked for, but the installed ONNX Runtime ({wheels_text()}) brings only "
            f"{', '.join(ort.get_available_providers())}",
            advice,
        )
    refuse_compiled(file)
    chain = provider_chain(provider, contract)
    with _quiet(ort):
        try:
            opened = _start(ort, file, chain, settings)
        except ProviderError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common class
            read_onnx_file(file)
            raise _why_not(ort, file, provider, chain, error) from error
    if ORT_NAMES[provider] not in opened.get_providers():
        raise _not_started(ort, provider, opened.get_providers())
    if not settings.allow_fallback and (left := _nodes(opened).get(CPU)):
        raise _left_on_the_cpu(file, provider, left)
    return opened


def _start(ort: Any, file: Path, chain: list[Configured], settings: Settings) -> Any:
    """Open the file on ONNX Runtime's own providers, or on that of a plugin."""
    options = session_options(ort, settings)
    name, configured = chain[0]
    if name == ORT_NAMES["tensorrt-rtx"] and name not in ort.get_available_providers():
        from capsedge.runtime.ort.plugin import devices_of_plugin

        options.add_provider_for_devices(devices_of_plugin(ort), configured)
        return ort.InferenceSession(str(file), options, enable_fallback=0)
    providers = [*chain, CPU] if settings.allow_fallback else chain
    return ort.InferenceSession(str(file), options, providers=providers, enable_fallback=0)


@contextlib.contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """Suppress ONNX Runtime's log and prints to stdout, and load CUDA's libraries from pip's wheels."""
    ort.set_default_logger_severity(FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            yield
    finally:
        ort.set_default_logger_severity(WARNING)


def _why_not(ort: Any, file: Path, provider: OrtProvider, chain: list[Configured], error: Exception) -> ProviderError:
    """Find out why a session without fallback failed, by opening one with fallback to the CPU."""
    try:
        lenient = _start(ort, file, chain, Settings(provider=provider, allow_fallback=True))
    except Exception:  # ONNX Runtime's errors have no common class
        return _not_started(ort, provider, [CPU], said=reason(error))
    left, recorded = _nodes(lenient).get(CPU, []), hasattr(lenient, _ASSIGNMENT)
    if ORT_NAMES[provider] not in lenient.get_providers() or (recorded and not left):
        return _not_started(ort, provider, lenient.get_providers(), said=reason(error))
    return _left_on_the_cpu(file, provider, left)


def _left_on_the_cpu(file: Path, provider: OrtProvider, left: list[str]) -> ProviderError:
    count, which = (
        (f"{len(left)} ", ", ".join(sorted(set(left)))) if left else ("", "this ONNX Runtime does not tell which")
    )
    return ProviderError(
        f"'{provider}' was asked for, but {count}nodes of '{file}' would run on the CPU ({which})",
        "choose --provider cpu or --allow-fallback, or export the model without them",
    )


def _not_started(ort: Any, provider: OrtProvider, given: list[str], said: str = "") -> ProviderError:
    missing = _missing_library(ort, provider)
    because = f", because {missing} is missing" if missing else f" ({said})" if said else ""
    return ProviderError(
        f"'{provider}' was asked for, but ONNX Runtime ({wheels_text()}) gives {', '.join(given)}{because}",
        f"it needs an NVIDIA GPU with its driver, {_NEEDS[provider]}",
    )


_CUDA = "CUDA and cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]')"
_NEEDS: dict[OrtProvider, str] = {
    "cuda": _CUDA,
    "tensorrt": f"{_CUDA} and TensorRT 10",
    "tensorrt-rtx": "of compute capability 8.6, 8.9, or 12.0 and later",
}


def _missing_library(ort: Any, provider: OrtProvider) -> str | None:
    """Name the first missing shared library of a provider; ONNX Runtime writes it to its log only."""
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
    """The operators that each provider runs; empty where this ONNX Runtime is too old to record it."""
    nodes: dict[str, list[str]] = {}
    if hasattr(opened, _ASSIGNMENT):
        for part in opened.get_provider_graph_assignment_info():
            nodes.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return nodes
