"""Models on ONNX Runtime: on the CPU, or on CUDA and TensorRT with proof that they really run there."""

import contextlib
import ctypes
import io
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.errors import ModelError, ProviderError, require
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.models import title
from capsedge.runtime.providers import Provider
from capsedge.runtime.session import Session, check_batch

CPU = "CPUExecutionProvider"
ORT_NAMES: dict[Provider, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

# Each of these installs the same import name, onnxruntime, over the others' files.
WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn")

_FATAL, _WARNING = 4, 2  # ONNX Runtime's severities

_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


class OrtSession(Session):
    """An ONNX file on ONNX Runtime; the contract is optional, so that anybody's model can be timed."""

    def __init__(self, file: Path, *, provider: Provider = "cpu", threads: int = 0) -> None:
        """Load `file`.

        Raises:
            ModelError: ONNX Runtime cannot load the file.
            ProviderError: The provider cannot run it here; ONNX Runtime's silent way to the CPU is closed.
            MissingExtra: No ONNX Runtime is installed.
        """
        ort = load_onnxruntime("cpu" if provider == "cpu" else "gpu")
        opened = _on_cpu(ort, file, threads) if provider == "cpu" else _on_gpu(ort, file, provider, threads)
        self._ort: Any = opened
        self._outputs = [output.name for output in opened.get_outputs()]
        self.name = title(file)
        self.file = file
        self.provider = "+".join(_assigned(opened) or opened.get_providers()[:1])
        self.contract = _contract(opened, file)
        self.batch_limits = _batch_limits(opened)

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`: a free first axis becomes the batch, every other free axis becomes 1."""
        check_batch(self, batch)
        return {node.name: _random_feed(self.name, node, batch) for node in self._ort.get_inputs()}

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`."""
        try:
            return dict(zip(self._outputs, self._ort.run(None, feeds), strict=True))
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise ModelError(f"'{self.name}' failed to run: {_reason(error)}") from error

    def close(self) -> None:
        """See `Session.close`; ONNX Runtime frees the model with its last reference."""
        self._ort = None


def load_onnxruntime(extra: Literal["cpu", "gpu"] = "cpu") -> Any:
    """Import ONNX Runtime, unless two of its wheels have written over each other.

    Args:
        extra: The extra of capsedge to name where it is missing.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: More than one wheel of it is installed.
    """
    wheels = installed_wheels()
    if len(wheels) > 1:
        raise ProviderError(
            f"{' and '.join(wheels)} are both installed and overwrite each other's files: "
            f"pip uninstall -y {' '.join(wheels)}, then pip install 'capsedge[cpu]' or 'capsedge[gpu]'"
        )
    return require("onnxruntime", extra=extra)


def installed_wheels() -> dict[str, str]:
    """Find which wheels of ONNX Runtime are installed, by name, with their versions.

    `importlib.metadata.packages_distributions` would find any, but reads the file list of every package: 0.1 s,
    a fifth of what `capsedge infer` takes.
    """
    found = {}
    for wheel in WHEELS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[wheel] = metadata.version(wheel)
    return found


def _options(ort: Any, threads: int) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL  # what fails is raised as well, and said in one line
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _on_cpu(ort: Any, file: Path, threads: int) -> Any:
    try:
        return ort.InferenceSession(str(file), _options(ort, threads), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors have no common class
        read_onnx_file(file)  # says it better where the file is damaged
        raise ModelError(f"ONNX Runtime cannot load '{file}': {_reason(error)}") from error


def _on_gpu(ort: Any, file: Path, provider: Provider, threads: int) -> Any:
    """Open a session that fails where a node would run on the CPU, which ONNX Runtime otherwise does in silence."""
    wanted = ORT_NAMES[provider]
    offered = ort.get_available_providers()
    if wanted not in offered:
        raise ProviderError(
            f"'{provider}' was asked for, but the installed ONNX Runtime ({_wheels_text()}) brings only "
            f"{', '.join(offered)}: pip uninstall -y onnxruntime, then pip install 'capsedge[gpu]'"
        )
    # TensorRT hands what it cannot run to CUDA; `Session.provider` then names both.
    chain = [wanted] if provider == "cuda" else [wanted, ORT_NAMES["cuda"]]
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
        raise ProviderError(_not_started(provider, opened.get_providers(), ort))
    return opened


@contextlib.contextmanager
def _quiet(ort: Any) -> Any:
    """Keep ONNX Runtime's log and its prints to stdout out of ours, and let it find CUDA in pip's wheels."""
    ort.set_default_logger_severity(_FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            yield
    finally:
        ort.set_default_logger_severity(_WARNING)


def _why_not(ort: Any, file: Path, provider: Provider, chain: list[str], error: Exception) -> ProviderError:
    """Find out why the strict session failed, by opening the one that ONNX Runtime would have given in silence."""
    try:
        lenient = ort.InferenceSession(str(file), _options(ort, 0), providers=[*chain, CPU], enable_fallback=0)
    except Exception:  # ONNX Runtime's errors have no common class
        return ProviderError(_not_started(provider, [CPU], ort, said=_reason(error)))
    if ORT_NAMES[provider] not in lenient.get_providers():
        return ProviderError(_not_started(provider, lenient.get_providers(), ort))
    left = _nodes(lenient).get(CPU, [])
    return ProviderError(
        f"'{provider}' was asked for, but {len(left)} nodes of '{file}' would run on the CPU "
        f"({', '.join(sorted(set(left)))}): choose --provider cpu, or export the model without them"
    )


def _not_started(provider: Provider, given: list[str], ort: Any, said: str = "") -> str:
    missing = _missing_library(ort, provider)
    because = f", because {missing} is missing" if missing else f" ({said})" if said else ""
    return (
        f"'{provider}' was asked for, but ONNX Runtime ({_wheels_text()}) gives {', '.join(given)}{because}: it needs an NVIDIA GPU with its driver, CUDA and "
        f"cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]'){' and TensorRT 10' if provider == 'tensorrt' else ''}"
    )


def _missing_library(ort: Any, provider: Provider) -> str | None:
    """Name the first shared library that the provider asks for in vain; the log that knows it is silenced."""
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{provider}.so"
    if sys.platform != "linux" or not library.is_file():
        return None
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        name, _, rest = str(error).partition(":")
        return name if "cannot open shared object" in rest else None
    return None


def _wheels_text() -> str:
    return ", ".join(f"{name} {version}" for name, version in installed_wheels().items()) or "built from source"


def _nodes(opened: Any) -> dict[str, list[str]]:
    """Give the operators that each provider was assigned, where this ONNX Runtime records them (1.24 and later)."""
    if not hasattr(opened, "get_provider_graph_assignment_info"):
        return {}
    nodes: dict[str, list[str]] = {}
    for part in opened.get_provider_graph_assignment_info():
        nodes.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return nodes


def _assigned(opened: Any) -> list[str]:
    """Give the providers that run at least one node, in their order of preference."""
    nodes = _nodes(opened)
    return [provider for provider in opened.get_providers() if provider in nodes]


def _contract(opened: Any, file: Path) -> Contract | None:
    text = opened.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=str(file))


def _batch_limits(opened: Any) -> tuple[int, int] | None:
    fixed = [node.shape[0] for node in opened.get_inputs() if node.shape and isinstance(node.shape[0], int)]
    return (fixed[0], fixed[0]) if fixed else None


def _random_feed(model: str, node: Any, batch: int) -> Any:
    if node.type not in _DTYPES:
        raise ModelError(
            f"'{model}' takes {node.type} as '{node.name}', and only tensors of {', '.join(_plain_types())} can be "
            "made up to time it"
        )
    free = [batch, *[1] * len(node.shape)]
    shape = tuple(size if isinstance(size, int) else free[axis] for axis, size in enumerate(node.shape))
    return random_array(shape, _DTYPES[node.type])


def _plain_types() -> list[str]:
    return [name.removeprefix("tensor(").removesuffix(")") for name in _DTYPES]


def _reason(error: Exception) -> str:
    """Give ONNX Runtime's own words without its codes: `[ONNXRuntimeError] : 1 : FAIL : words`."""
    return " ".join(str(error).rsplit(" : ", 1)[-1].split())[:300]
