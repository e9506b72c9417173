"""The instruction sets of this processor, of texts as Linux writes them, and of processors that QEMU emulates."""

import os
import platform
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from capsedge.processor import (
    ARM,
    X86,
    Processor,
    arithmetic,
    from_cpuid,
    from_cpuinfo,
    instruction_sets,
    this_processor,
)
from tests.emulated import emulated

CPUINFO = Path("/proc/cpuinfo")
# By thread, since QEMU shows a process its own list under /proc/self, and not there.
COMMAND = Path(f"/proc/self/task/{os.getpid()}/cmdline")

RASPBERRY_PI_4 = """\
processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU architecture: 8

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
JETSON_ORIN = """\
processor\t: 0
model name\t: ARMv8 Processor rev 1 (v8l)
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat
CPU implementer\t: 0x41
"""
ZEN_3 = """\
processor\t: 0
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu vme sse sse2 ht syscall nx ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt avx f16c rdrand avx2 bmi2 vaes
bugs\t\t: sysret_ss_attrs null_seg spectre_v1 spectre_v2
"""


def cpuinfo(folder: Path, text: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        (ZEN_3, ("sse4_1", "avx2")),
        (RASPBERRY_PI_4, ("asimd",)),
        (JETSON_ORIN, ("asimd", "asimddp")),
        ("flags : avx512_bf16 avx2 sse4_1 avx512f\n", ("sse4_1", "avx2", "avx512f", "avx512_bf16")),
        ("flags\t: avx2x xavx2\n", ()),  # no part of another word
        ("processor\t: 0\ncpu\t\t: POWER9\n", "unavailable"),
        ("", "unavailable"),
    ],
    ids=["Zen 3", "Raspberry Pi 4", "Jetson Orin", "the order of X86", "words", "POWER", "empty"],
)
def test_linux_lists_the_sets_in_its_own_words(text: str, sets: object, tmp_path: Path) -> None:
    assert from_cpuinfo(cpuinfo(tmp_path, text)) == sets


def test_a_system_without_the_list_does_not_tell(tmp_path: Path) -> None:
    assert from_cpuinfo(tmp_path / "cpuinfo") == "unavailable"


# Sets whose names older kernels do not know: Linux lists them from 5.3, 5.12, 5.16 and (on Arm) 5.10 on.
YOUNG = {"avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "i8mm", "bf16"}


def test_the_processor_says_what_the_kernel_lists() -> None:
    """CPUID (x86) or the auxiliary vector (Arm) against the words of /proc/cpuinfo, cut here a second time."""
    if not CPUINFO.exists() or platform.machine().lower() not in ("x86_64", "aarch64"):
        pytest.skip("Linux on x86-64 or Arm64 alone lists them")
    if b"qemu" in COMMAND.read_bytes():
        pytest.skip("/proc/cpuinfo is of another processor than the emulated one")
    words = {word for line in CPUINFO.read_text().splitlines() for word in line.partition(":")[2].split()}
    known = X86 if platform.machine().lower() == "x86_64" else ARM
    sets = instruction_sets()
    assert {name for name in known if name in words} <= set(sets)
    assert set(sets) <= words | YOUNG
    assert sets == tuple(name for name in known if name in sets)
    found = this_processor()
    assert found is not None
    assert found.instruction_sets == sets


def test_a_system_that_does_not_tell_has_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsedge.processor.instruction_sets", lambda: "unavailable")
    assert this_processor() is None


@pytest.mark.parametrize(
    ("sets", "fp32", "int8", "saturates", "bf16"),
    [
        ((), "", "", False, ""),
        (("sse4_1",), "sse4_1", "sse4_1", False, ""),
        (("sse4_1", "avx2"), "avx2", "avx2", True, ""),
        (("sse4_1", "avx2", "avx512f"), "avx512f", "avx512f", True, ""),
        (("sse4_1", "avx2", "avx512f", "avx512_vnni"), "avx512f", "avx512_vnni", False, ""),
        (("sse4_1", "avx2", "avx_vnni"), "avx2", "avx_vnni", False, ""),
        (
            ("sse4_1", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
            "avx512f",
            "amx_int8",
            False,
            "amx_bf16",
        ),
        (("sse4_1", "avx2", "avx512f", "avx512_vnni", "avx512_bf16"), "avx512f", "avx512_vnni", False, "avx512_bf16"),
        (("asimd",), "asimd", "asimd", False, ""),
        (("asimd", "asimddp"), "asimd", "asimddp", False, ""),
        (("asimd", "asimddp", "i8mm", "sve", "bf16"), "sve", "i8mm", False, "bf16"),
    ],
    ids=[
        "none", "Nehalem", "Haswell, Zen 3", "Skylake-X", "Cascade Lake", "Alder Lake", "Sapphire Rapids", "Zen 4",
        "Cortex-A72", "Cortex-A78AE", "Neoverse V1",
    ],
)  # fmt: skip
def test_what_the_sets_compute(sets: tuple[str, ...], fp32: str, int8: str, saturates: bool, bf16: str) -> None:
    assert arithmetic(sets) == Processor(
        instruction_sets=sets, fp32=fp32, int8=int8, int8_saturates=saturates, bf16=bf16
    )


@pytest.mark.parametrize(("name", "sets"), [("nehalem", ("sse4_1",)), ("haswell", ("sse4_1", "avx2"))])
def test_an_emulated_processor_is_asked_and_not_the_machine_s(name: str, sets: tuple[str, ...]) -> None:
    """QEMU runs this Python on an older processor; /proc/cpuinfo goes on to show the machine's own."""
    python = emulated(name)
    words = python.command("-c", "from capsedge.processor import instruction_sets; print(*instruction_sets())")
    done = subprocess.run(words, env=python.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert tuple(done.stdout.split()) == sets


def cpuid_with(*found: tuple[int, int, int, int], largest: int = 7) -> Callable[[int, int], tuple[int, ...]]:
    """CPUID of a processor with these bits, each as leaf, subleaf, register and bit, and OSXSAVE."""
    registers = {(0, 0): [largest, 0, 0, 0], (7, 0): [1, 0, 0, 0]}
    for leaf, subleaf, register, bit in (*found, (1, 0, 2, 27)):
        registers.setdefault((leaf, subleaf), [0, 0, 0, 0])[register] |= 1 << bit
    return lambda leaf, subleaf: tuple(registers.get((leaf, subleaf), [0, 0, 0, 0]))


# Intel's manual, volume 2A, table 3-8: where CPUID tells a set, and of XCR0 what it needs (volume 1, chapter 13).
EAX, EBX, ECX, EDX = range(4)
XMM, YMM, ZMM, TILES = 1 << 1, 1 << 2, 0b111 << 5, 0b11 << 17


@pytest.mark.parametrize(
    ("name", "bit", "needs"),
    [
        ("avx2", (7, 0, EBX, 5), XMM | YMM),
        ("avx512f", (7, 0, EBX, 16), XMM | YMM | ZMM),
        ("avx_vnni", (7, 1, EAX, 4), XMM | YMM),
        ("avx512_vnni", (7, 0, ECX, 11), XMM | YMM | ZMM),
        ("avx512_bf16", (7, 1, EAX, 5), XMM | YMM | ZMM),
        ("amx_bf16", (7, 0, EDX, 22), TILES),
        ("amx_int8", (7, 0, EDX, 25), TILES),
    ],
)
def test_a_set_is_told_by_its_bit_and_only_where_the_system_keeps_its_state(
    name: str, bit: tuple[int, int, int, int], needs: int
) -> None:
    everything = 1 | XMM | YMM | ZMM | TILES
    assert from_cpuid(cpuid_with(bit), lambda: everything) == (name,)
    assert from_cpuid(cpuid_with(bit), lambda: needs) == (name,)
    for part in (XMM, YMM, 1 << 5, 1 << 6, 1 << 7, 1 << 17, 1 << 18):
        if needs & part:
            assert from_cpuid(cpuid_with(bit), partial(int, everything & ~part)) == ()


def test_sse_needs_no_state_and_leaves_that_a_processor_lacks_are_not_asked() -> None:
    sse = (1, 0, ECX, 19)
    assert from_cpuid(cpuid_with(sse, (7, 0, EBX, 5), largest=6), lambda: 0b111) == ("sse4_1",)
    assert from_cpuid(cpuid_with(sse), lambda: 0) == ("sse4_1",)
