"""The installed wheels of ONNX Runtime; several share one import name, and only one may be installed."""

import sys
from pathlib import Path
from typing import Any, Literal

from capsedge.errors import ProviderError, install
from capsedge.runtime.loading import OVERLAPPING, load


def installed_wheels() -> dict[str, str]:
    """Versions of the installed wheels of ONNX Runtime by name.

    The package index has about twenty of them: `onnxruntime`, `onnxruntime-gpu`, `-directml`, `-openvino`,
    `-trt-rtx`, `-migraphx`, `-rocm`, `-windowsml`, `-silicon` and others. All names start with `onnxruntime`, and so
    do those of add-ons such as `onnxruntime-genai` and the plugins; only their lists of files distinguish them.
    `importlib.metadata.packages_distributions` would read the list of every package: 0.1 s, a fifth of the time of
    `capsedge infer`.
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
    except OSError:  # not installed by pip: there is no list of its files
        return True
    return "\nonnxruntime/__init__.py," in f"\n{files}"


def wheels_text() -> str:
    """Names and versions of the installed wheels, for a sentence."""
    return ", ".join(f"{name} {version}" for name, version in installed_wheels().items()) or "built from source"


def load_onnxruntime(extra: Literal["cpu", "gpu"] = "cpu") -> Any:
    """Import ONNX Runtime; refuse two of its wheels, which overwrite each other's files.

    Args:
        extra: The extra of capsedge to advise where it is missing.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: More than one of its wheels is installed, or it does not load.
    """
    wheels = installed_wheels()
    if len(wheels) > 1:
        raise ProviderError(
            f"{' and '.join(wheels)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(wheels)}, then {install('cpu')} or {install('gpu')}",
            code=OVERLAPPING,
        )
    extras = {"onnxruntime": "cpu", "onnxruntime-gpu": "gpu"}  # where a wheel is installed, advise its own extra
    own = next((wheel for wheel in wheels if wheel in extras), "")
    return load("onnxruntime", extra=extras.get(own, extra), wheel=own)
