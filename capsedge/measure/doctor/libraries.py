"""Missing shared libraries that a library depends on, listed by the system's `ldd` (man 1 ldd)."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

_TENSORRT_10 = "install TensorRT 10 (pip install 'tensorrt-cu13<11', or NVIDIA's package libnvinfer10)"

# How to install a library, by the start of its name.
_SOURCES = {
    "libcuda.so": "install NVIDIA's driver",
    "libnvidia-ml.so": "install NVIDIA's driver",
    "libnvinfer": _TENSORRT_10,
    "libnvonnxparser": _TENSORRT_10,
    "libcu": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "libnvrtc": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
}


_CANNOT_OPEN = re.compile(r"^(\S+): cannot open shared object file")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


def absent(library: Path) -> list[str]:
    """Names of the missing libraries that `library` depends on, directly or not; always empty outside Linux."""
    if sys.platform != "linux":
        return []
    command = ["ldd", str(library.absolute())]
    try:
        listed = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=os.environ | {"LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):  # a system without ldd, such as a minimal container
        return _first_absent(library)
    # This process may have loaded some of them, as ONNX Runtime does with those of CUDA's wheels.
    return [name for name in dict.fromkeys(_NOT_FOUND.findall(listed.stdout)) if not _loads(name)]


def _first_absent(library: Path) -> list[str]:
    """The missing library that the loader reports, which is only the first."""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return [name for name in _CANNOT_OPEN.findall(str(error)) if name != str(library)]
    return []


def advice(libraries: list[str]) -> str:
    """How to install the missing libraries."""
    found = (next((what for start, what in _SOURCES.items() if name.startswith(start)), "") for name in libraries)
    return ", then ".join(filter(None, dict.fromkeys(found)))


def _loads(name: str) -> bool:
    """Whether the loader finds a library or has loaded it."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return "cannot open shared object" not in str(error)
    return True
