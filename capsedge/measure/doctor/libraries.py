"""The shared libraries that a library needs and this machine lacks, as the system's `ldd` tells them (man 1 ldd)."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

_TENSORRT_10 = "install TensorRT 10 (pip install 'tensorrt-cu13<11', or NVIDIA's package libnvinfer10)"

# What brings a library, by the start of its name.
_BRINGERS = {
    "libcuda.so": "install NVIDIA's driver",
    "libnvidia-ml.so": "install NVIDIA's driver",
    "libnvinfer": _TENSORRT_10,
    "libnvonnxparser": _TENSORRT_10,
    "libcu": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "libnvrtc": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
}


_MISSED = re.compile(r"^(\S+): cannot open shared object file")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


def absent(library: Path) -> list[str]:
    """Name the libraries that `library` needs, itself or by another, and that are not found; none off Linux."""
    if sys.platform != "linux":
        return []
    command = ["ldd", str(library.absolute())]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=os.environ | {"LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):  # a system without ldd, such as a container with little in it
        return _first_absent(library)
    # Of those, this process may have loaded some itself, as ONNX Runtime does with CUDA's wheels.
    return [name for name in dict.fromkeys(_NOT_FOUND.findall(told.stdout)) if not _loads(name)]


def _first_absent(library: Path) -> list[str]:
    """The library that the loader itself misses: it stops at the first."""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return [name for name in _MISSED.findall(str(error)) if name != str(library)]
    return []


def advice(libraries: list[str]) -> str:
    """Say what to install for the libraries that are absent."""
    found = (next((what for start, what in _BRINGERS.items() if name.startswith(start)), "") for name in libraries)
    return ", then ".join(filter(None, dict.fromkeys(found)))


def _loads(name: str) -> bool:
    """Whether the loader finds a library, or has it already."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return "cannot open shared object" not in str(error)
    return True
