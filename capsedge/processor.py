"""The instruction sets of this processor, and how it computes fp32, int8 and bf16 with them.

They are read with CPUID (x86) or from the auxiliary vector of this process (Arm). /proc/cpuinfo is only the fallback:
under an emulator (QEMU, Rosetta) it lists the host's processor.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

X86 = ("sse4_1", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
ARM = ("asimd", "asimddp", "i8mm", "sve", "bf16")
"""The instruction sets to detect, by their names in Linux and lscpu."""

Unavailable = Literal["unavailable"]

# Bits of the auxiliary vector (Linux, arch/arm64/include/uapi/asm/hwcap.h): vector entry and bit of each set.
_HWCAP, _HWCAP2 = 16, 26
_ARM_BITS = {"asimd": (_HWCAP, 1), "asimddp": (_HWCAP, 20), "sve": (_HWCAP, 22), "i8mm": (_HWCAP2, 13)}
_ARM_BITS["bf16"] = (_HWCAP2, 14)

# Intel, Software Developer's Manual, volume 2, CPUID: leaf, subleaf, register (EAX, EBX, ECX, EDX) and bit.
_X86_BITS = {
    "sse4_1": (1, 0, 2, 19),
    "avx2": (7, 0, 1, 5),
    "avx512f": (7, 0, 1, 16),
    "avx_vnni": (7, 1, 0, 4),
    "avx512_vnni": (7, 0, 2, 11),
    "avx512_bf16": (7, 1, 0, 5),
    "amx_int8": (7, 0, 3, 25),
    "amx_bf16": (7, 0, 3, 22),
}
_OSXSAVE = (1, 0, 2, 27)
# The register state that the operating system must save for them, as bits of XCR0.
_STATE = {"sse": 0, "avx": 0b110, "avx512": 0b1110_0110, "amx": 0b11 << 17}

# void cpuid(leaf: edi, subleaf: esi, registers: rdx), in the calling convention of Linux and macOS.
_CPUID = bytes.fromhex("53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")
# uint64 xgetbv(): register XCR0.
_XGETBV = bytes.fromhex("31c9 0f01d0 48c1e220 4809d0 c3")


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    """The instruction sets of a processor, and which of them it uses: names of `X86` or `ARM`, "" for none.

    Attributes:
        instruction_sets: All that were found.
        fp32: The widest vectors.
        int8: Products of 8-bit integers, as ONNX Runtime chooses among them.
        int8_saturates: Whether these are added in pairs in 16 bits (VPMADDUBSW), which saturate with large weights.
        bf16: Products of bf16; "" where they are emulated in fp32, which is far slower than fp32 itself.
    """

    instruction_sets: tuple[str, ...]
    fp32: str
    int8: str
    int8_saturates: bool
    bf16: str


def this_processor() -> Processor | None:
    """The processor of this machine; None where its instruction sets cannot be read."""
    sets = instruction_sets()
    return None if sets == "unavailable" else arithmetic(sets)


@cache
def instruction_sets() -> tuple[str, ...] | Unavailable:
    """The instruction sets that programs can use on this machine, in the order of `X86` or `ARM`."""
    import platform

    machine = platform.machine().lower() if sys.maxsize > 2**32 else ""  # the kernel's, not the interpreter's
    try:
        if machine in ("x86_64", "amd64") and sys.platform != "win32":
            return _of_x86()
        if machine in ("aarch64", "arm64") and sys.platform == "linux":
            return _of_arm()
    except (OSError, ValueError):  # some hardened systems refuse executable memory
        return from_cpuinfo(Path("/proc/cpuinfo"))
    return "unavailable"


def from_cpuinfo(cpuinfo: Path) -> tuple[str, ...] | Unavailable:
    """The instruction sets that Linux lists for the host's processor.

    Args:
        cpuinfo: `/proc/cpuinfo`: a line `flags` (x86) or `Features` (Arm) for each core.
    """
    import re

    try:
        line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return "unavailable"
    listed = set(line[1].split()) if line else set()
    return tuple(name for name in (*X86, *ARM) if name in listed) if line else "unavailable"


def arithmetic(sets: tuple[str, ...]) -> Processor:
    """Which instruction sets the processor uses for each type that capsedge computes in.

    Args:
        sets: See `instruction_sets`.
    """
    vnni = _first(sets, "amx_int8", "avx512_vnni", "avx_vnni")
    return Processor(
        instruction_sets=sets,
        fp32=_first(sets, "avx512f", "avx2", "sse4_1", "sve", "asimd"),
        int8=vnni or _first(sets, "avx512f", "avx2", "sse4_1", "i8mm", "asimddp", "asimd"),
        int8_saturates=not vnni and "avx2" in sets,
        bf16=_first(sets, "amx_bf16", "avx512_bf16", "bf16"),
    )


def in_words(processor: Processor) -> str:
    """A clause for people: the instruction sets that a processor uses for fp32, int8 and bf16."""
    int8 = f"int8 by {processor.int8 or 'its plain instructions'}"
    saturates = ", whose sums saturate with weights of 8 bits" if processor.int8_saturates else ""
    bf16 = f"bf16 by {processor.bf16}" if processor.bf16 else "bf16 emulated, slower than fp32"
    return f"fp32 by {processor.fp32 or 'its plain instructions'}, {int8}{saturates}, {bf16}"


def _first(sets: tuple[str, ...], *wanted: str) -> str:
    return next((name for name in wanted if name in sets), "")


def _of_arm() -> tuple[str, ...]:
    import ctypes

    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return tuple(name for name in ARM if getauxval(_ARM_BITS[name][0]) >> _ARM_BITS[name][1] & 1)


def _of_x86() -> tuple[str, ...]:
    import ctypes
    import mmap

    assert sys.platform != "win32"  # it has another calling convention and other memory flags
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as memory:
        memory.write(_CPUID + _XGETBV)
        start = ctypes.c_char.from_buffer(memory)
        try:
            return _run_cpuid(ctypes.addressof(start))
        finally:
            del start  # the mapping cannot be closed while an object points into it


def _run_cpuid(address: int) -> tuple[str, ...]:
    import ctypes

    registers = (ctypes.c_uint32 * 4)()
    cpuid = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(address)
    xgetbv = ctypes.CFUNCTYPE(ctypes.c_uint64)(address + len(_CPUID))

    def registers_of(leaf: int, subleaf: int) -> tuple[int, ...]:
        cpuid(leaf, subleaf, registers)
        return tuple(registers)

    return from_cpuid(registers_of, xgetbv)


def from_cpuid(cpuid: Callable[[int, int], tuple[int, ...]], xgetbv: Callable[[], int]) -> tuple[str, ...]:
    """The instruction sets of an x86 processor that the operating system lets programs use.

    Args:
        cpuid: Maps leaf and subleaf to the registers EAX, EBX, ECX and EDX.
        xgetbv: Reads the register XCR0: the state that the operating system saves for each program.
    """

    def has(leaf: int, subleaf: int, register: int, bit: int) -> bool:
        known = leaf <= cpuid(0, 0)[0] and (subleaf == 0 or subleaf <= cpuid(leaf, 0)[0])
        return known and bool(cpuid(leaf, subleaf)[register] >> bit & 1)

    kept = xgetbv() if has(*_OSXSAVE) else 0
    return tuple(name for name in X86 if has(*_X86_BITS[name]) and kept & _state(name) == _state(name))


def _state(name: str) -> int:
    return next(bits for prefix, bits in reversed(_STATE.items()) if name.startswith(prefix))
