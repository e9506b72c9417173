"""The shared libraries that a library needs and this machine lacks, read out of its ELF file (man 5 elf)."""

import ctypes
import struct
import sys
from pathlib import Path
from typing import BinaryIO

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_TYPE, _OFFSET, _SIZE, _LINK = 1, 4, 5, 6  # places in a section's header
_DYNAMIC, _NEEDED = 6, 1  # the section's type, and the tag of its entries that name a library

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


def absent(library: Path) -> list[str]:
    """Name the libraries that `library` asks for itself and that the loader does not find; none off Linux."""
    return [name for name in needed(library) if not _loads(name)] if sys.platform == "linux" else []


def needed(library: Path) -> list[str]:
    """Name the libraries that `library` asks for, in order; none where it is not a library of a 64-bit Linux."""
    try:
        with library.open("rb") as file:
            return _needed(file)
    except (OSError, struct.error, IndexError, ValueError):
        return []


def advice(libraries: list[str]) -> str:
    """Say what to install for the libraries that are absent."""
    found = (next((what for start, what in _BRINGERS.items() if name.startswith(start)), "") for name in libraries)
    return ", then ".join(filter(None, dict.fromkeys(found)))


def _needed(file: BinaryIO) -> list[str]:
    header = file.read(64)
    if not header.startswith(_ELF64_LITTLE):
        return []
    (offset,) = struct.unpack_from("<Q", header, 40)
    size, count = struct.unpack_from("<HH", header, 58)
    file.seek(offset)
    table = file.read(size * count)
    sections = [struct.unpack_from("<IIQQQQIIQQ", table, size * index) for index in range(count)]
    dynamic = next((section for section in sections if section[_TYPE] == _DYNAMIC), None)
    if dynamic is None:
        return []
    entries, strings = _content(file, dynamic), _content(file, sections[dynamic[_LINK]])
    tags = struct.iter_unpack("<qQ", entries[: len(entries) // 16 * 16])
    return [strings[value : strings.index(b"\0", value)].decode() for tag, value in tags if tag == _NEEDED]


def _content(file: BinaryIO, section: tuple[int, ...]) -> bytes:
    file.seek(section[_OFFSET])
    return file.read(section[_SIZE])


def _loads(name: str) -> bool:
    """Whether the loader finds a library, or has it already."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return "cannot open shared object" not in str(error)
    return True
