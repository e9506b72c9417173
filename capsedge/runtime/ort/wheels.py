"""ONNX Runtime as pip installed it: one of several wheels that share one import name, and two are one too many."""

import sys
from pathlib import Path
from typing import Any, Literal

from capsedge.errors import ProviderError
from capsedge.runtime.loading import OVERLAPPING, load


def installed_wheels() -> dict[str, str]:
    """Find which wheels of ONNX Runtime are installed: their versions by their names.

    The package index has some twenty of them: `onnxruntime`, `onnxruntime-gpu`, `-directml`, `-openvino`, `-trt-rtx`,
    `-migraphx`, `-rocm`, `-windowsml`, `-silicon` and others. Their names all start with it, and so do those of its
    add-ons, such as `onnxruntime-genai` and the plugins, which only their lists of files tell apart.
    `importlib.metadata.packages_distributions` would read the list of every package: 0.1 s, a fifth of what
    `capsedge infer` takes.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        for info in sorted(Path(folder).glob("onnxruntime*.dist-info")):
            name, _, version = info.name.removesuffix(".dist-info").partition("-")
            if _brings_the_module(info):
                found.setdefault(name.replace("_", "-"), version)
    return dict(sorted(found.items()))


def _brings_the_module(info: Path) -> bool:
    try:
        files = (info / "RECORD").read_text(encoding="utf-8")
    except OSError:  # not installed by pip: nothing tells what it brings
        return True
    return "\nonnxruntime/__init__.py," in f"\n{files}"


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
            f"{' and '.join(wheels)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(wheels)}, then pip install 'capsedge[cpu]' or 'capsedge[gpu]'",
            code=OVERLAPPING,
        )
    bringers = {"onnxruntime": "cpu", "onnxruntime-gpu": "gpu"}  # of a wheel that is here, no other one is advised
    return load("onnxruntime", extra=next((bringers[wheel] for wheel in wheels if wheel in bringers), extra))
