"""What starts a Python on another processor, and the sentences where there is none."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.portable import emulators
from benchmarks.portable.emulators import HOST, PROCESSORS, NotPossible, Python, python_on, run_quietly


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: processor.name)
def test_without_qemu_and_apt_the_sentence_says_what_to_install(
    processor: emulators.EmulatedProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(NotPossible, match=r"apt-get install qemu-user-static$|needs Linux"):
        python_on(processor)


def test_no_variable_chooses_kernels_of_the_real_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    assert not {"OPENBLAS_CORETYPE", "OMP_NUM_THREADS"} & HOST.environment.keys()


def test_own_variables_come_before_the_usual_ones() -> None:
    python = Python(("python",), variables={"PYTHONPATH": "elsewhere"})

    assert python.environment["PYTHONPATH"] == "elsewhere"
    assert python.command("-m", "capsedge") == ["python", "-m", "capsedge"]


def test_a_program_that_fails_is_told_of_by_its_last_line() -> None:
    with pytest.raises(NotPossible, match=r"failed with exit code 100: no mirror answers$"):
        run_quietly(
            [sys.executable, "-c", "import sys; print('first\\nno mirror answers', file=sys.stderr); sys.exit(100)"]
        )


def test_a_folder_takes_its_name_when_it_is_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(emulators, "KEPT", tmp_path)

    with suppress(NotPossible), emulators._filled(tmp_path / "half") as new:
        (new / "file").touch()
        run_quietly([sys.executable, "-c", "raise SystemExit('no network')"])
    with emulators._filled(tmp_path / "whole") as new:
        (new / "file").touch()

    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [Path("whole"), Path("whole/file")]


def test_linux_lists_the_emulated_arm_processor_once_a_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(emulators, "KEPT", tmp_path)
    debian = tmp_path / "debian"
    (debian / "usr/bin").mkdir(parents=True)
    arm = next(each for each in PROCESSORS if each.name == "cortex-a72")

    for _ in range(2):
        root = emulators._view(arm, debian)

    listed = (root / "proc/cpuinfo").read_text(encoding="utf-8")
    assert listed.count("CPU implementer\t: 0x41\n") == listed.count("CPU part\t: 0xd08\n") == os.cpu_count()
    assert (root / "usr/bin").is_dir()
