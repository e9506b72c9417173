"""One step after the other: what a failure, a fault and an interruption leave of the others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.prove.__main__ import main
from benchmarks.prove.place import Place
from benchmarks.prove.record import Failed, Found, NotPossible, Proof
from tests.benchmarks.prove.places import passing, step


def failing(place: Place) -> Iterator[Found]:
    yield Found("the first half", what="half")
    raise Failed("the second\nhalf is wrong")


def faulty(place: Place) -> Iterator[Found]:
    raise ZeroDivisionError("one over nothing")


def impossible(place: Place) -> Iterator[Found]:
    raise NotPossible("it takes a | GPU")


def interrupted(place: Place) -> Iterator[Found]:
    raise KeyboardInterrupt


def proved(folder: Path, *runs: Any) -> tuple[int, Proof]:
    steps = [step(f"step {number}", run) for number, run in enumerate(runs, 1)]
    code = main([str(folder)], lambda _: steps)
    return code, msgspec.json.decode((folder / "proof.json").read_bytes(), type=Proof)


def test_a_failed_step_is_exit_code_1_and_leaves_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, proof = proved(tmp_path / "out", passing, failing, passing)
    assert code == 1
    assert [(record.name, record.status, record.detail) for record in proof.records] == [
        ("step 1", "passed", "all is well"),
        ("step 2: half", "passed", "the first half"),
        ("step 2", "failed", "the second half is wrong"),
        ("step 3", "passed", "all is well"),
    ]
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed, 0 not possible here"


def test_a_fault_of_the_proof_itself_is_a_failed_record(tmp_path: Path) -> None:
    code, proof = proved(tmp_path / "out", faulty, passing)
    assert code == 1
    assert proof.records[0].detail == "the step broke: ZeroDivisionError: one over nothing"
    assert proof.records[1].status == "passed"


def test_what_is_not_possible_is_no_failure_and_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, proof = proved(tmp_path / "out", impossible, passing)
    assert code == 0
    assert proof.records[0].status == "not possible here"
    page = (tmp_path / "out" / "proof.md").read_text()
    assert "| tests: step 1 | not possible here | it takes a &#124; GPU |" in page
    assert "- tests: step 1 (`capsedge`): it takes a | GPU" in page
    assert "  capsedge: tests: step 1\n" in capsys.readouterr().out


def test_an_interruption_keeps_what_is_there_and_names_what_was_not_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, proof = proved(tmp_path / "out", passing, interrupted, passing)
    assert code == 130
    assert [record.name for record in proof.records] == ["step 1"]
    assert proof.unreached == ("tests: step 2", "tests: step 3")
    assert "- tests: step 3: the proof was interrupted before" in (tmp_path / "out" / "proof.md").read_text()
    assert "interrupted: 2 steps were not reached" in capsys.readouterr().out


def test_the_proof_is_on_the_disk_before_the_next_step_begins(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def looking(place: Place) -> Iterator[Found]:
        seen.append((place.out / "proof.json").read_bytes())
        yield Found("looked")

    proved(tmp_path / "out", passing, looking)
    assert [record.name for record in msgspec.json.decode(seen[0], type=Proof).records] == ["step 1"]


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)], lambda _: [step("never", passing)])
    assert "OUT must be a new or an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_that_is_none_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "out"), "--run", str(tmp_path)], lambda _: [step("never", passing)])
    assert "--run wants the folder of a run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_out_each_proof_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        main([], lambda _: [step("one", passing)])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["proof", "proof-2"]
