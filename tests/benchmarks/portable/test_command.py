"""The command: its options, its table, and its exit code where a processor cannot be emulated."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.portable.__main__ import Result, main, table
from benchmarks.portable.checks import CHECKS, Checked, CheckMeasurement
from capsedge.processor import arithmetic


def test_a_processor_that_cannot_be_emulated_is_skipped_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")

    code = main(["--only", "arm-max", "--images", "10", "--json", str(tmp_path / "result.json")])

    said = capsys.readouterr()
    assert code == 0
    assert said.out.count("skipped: the package qemu-user-static is missing") == len(CHECKS)
    assert f"0 passed, 0 failed, {len(CHECKS)} skipped" in said.err
    result = msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=Result)
    assert [each.status for each in result.checks] == ["skipped"] * len(CHECKS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "haswell,pentium"], "got 'pentium'"),
        (["--images", "0"], "must be 1 or more"),
        (["--jobs", "0"], "must be 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_table_has_a_row_for_each_processor_and_a_column_for_each_check() -> None:
    found = CheckMeasurement(
        passed=False,
        said="a length differs",
        images=400,
        largest_length_difference=0.25,
        same_answer=0.865,
        processor=arithmetic(("sse4_1", "avx2")),
    )
    checks = [Checked(processor="haswell", check=name, status="failed", found=found) for name in CHECKS]
    checks += [Checked(processor="nehalem", check=name, status="skipped", reason="no QEMU") for name in CHECKS]

    heads, _, nehalem, haswell = table(checks)

    assert heads == f"| emulated processor | instruction sets | {' | '.join(CHECKS)} |"
    assert nehalem == f"| Intel Nehalem | - | {' | '.join(['skipped: no QEMU'] * len(CHECKS))} |"
    cell = "**failed**: 86.5 %, 2.5e-01, a length differs"
    assert haswell == f"| Intel Haswell | sse4_1, avx2 | {' | '.join([cell] * len(CHECKS))} |"
