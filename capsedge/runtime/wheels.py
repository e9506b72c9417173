"""ONNX Runtime as pip installed it: one of several wheels that share one import name, and two are one too many."""

import contextlib
from importlib import metadata
from typing import Any, Literal

from capsedge.errors import ProviderError
from capsedge.runtime.loading import load

# Each of these installs the import name onnxruntime, over the others' files.
WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)


def installed_wheels() -> dict[str, str]:
    """Find which wheels of ONNX Runtime are installed: their versions by their names.

    `importlib.metadata.packages_distributions` would find any, but reads the file list of every package: 0.1 s,
    a fifth of what `capsedge infer` takes.
    """
    found = {}
    for wheel in WHEELS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[wheel] = metadata.version(wheel)
    return found


def wheels_text() -> str:
    """Name what is installed, for a sentence."""
    return ", ".join(f"{name} {version}" for name, version in installed_wheels().items()) or "built from source"


def load_onnxruntime(extra: Literal["cpu", "gpu"] = "cpu") -> Any:
    """Import ONNX Runtime, unless two of its wheels have written over each other.

    Args:
        extra: The extra of capsedge to name where it is missing.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: More than one wheel of it is installed, or the one does not load.
    """
    wheels = installed_wheels()
    if len(wheels) > 1:
        raise ProviderError(
            f"{' and '.join(wheels)} are both installed and overwrite each other's files: "
            f"pip uninstall -y {' '.join(wheels)}, then pip install 'capsedge[cpu]' or 'capsedge[gpu]'"
        )
    return load("onnxruntime", extra=extra)
