"""The two studies from the command line, on a tiny network and one epoch."""

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks.ablation.__main__ import main
from benchmarks.ablation.record import Study, read_report
from capsedge.data import Dataset
from capsedge.errors import ModelError
from capsedge.training import Run
from capsedge.training.metrics import read_metrics
from tests.benchmarks.ablation.conftest import DATA, TINY

Say = pytest.CaptureFixture[str]
SETTINGS = [word for each in TINY for word in ("--set", each)]


def arguments(study: Study, folder: Path, *more: str) -> list[str]:
    common = ["--data", DATA, "--epochs", "1", "--device", "cpu", *SETTINGS]
    return [study, *common, "--output", str(folder / "runs"), "--json", str(folder / f"{study}.json"), *more]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of parts of two seeds, in which only one variant was asked for."""
    folder = tmp_path_factory.mktemp("parts")
    assert main(arguments("parts", folder, "--seeds", "0,1", "--only", "no-decay")) == 0
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of heads of one seed."""
    folder = tmp_path_factory.mktemp("heads")
    assert main(arguments("heads", folder, "--seeds", "0")) == 0
    return folder


def test_each_part_is_compared_with_the_base_on_the_same_validation_images(parts: Path, subset: Dataset) -> None:
    report = read_report(parts / "parts.json", "parts")

    base, variant = report.rows
    assert (base.name, base.changes, base.validation_change) == ("base", (), None)
    assert (variant.name, variant.changes) == ("no-decay", ("train.weight_decay=0",))
    assert [each.seed for each in variant.trainings] == [0, 1]
    assert variant.validation_change is not None
    gap = variant.validation_error.mean - base.validation_error.mean
    assert variant.validation_change.mean == pytest.approx(gap)
    assert variant.validation_change.low <= gap + 1e-9
    assert gap - 1e-9 <= variant.validation_change.high
    for row in report.rows:
        for each in row.trainings:
            run = Run(parts / "runs" / f"{row.name}-seed{each.seed}")
            record = run.read_record()
            (score,) = record.scores
            assert score.split == "validation"
            assert score.error == pytest.approx(each.validation_error)
            assert (record.best_epoch, record.seconds) == (each.best_epoch, each.seconds)
    assert report.validation_images == len(subset.validation)


def test_the_test_images_are_not_used_for_parts(parts: Path) -> None:
    report = read_report(parts / "parts.json", "parts")

    assert report.test_images == 0
    for row in report.rows:
        assert (row.test_error, row.test_change) == (None, None)
        assert {each.test_error for each in row.trainings} == {None}
    for run in (parts / "runs").iterdir():
        assert {row["kind"] for row in read_metrics(run / "metrics.jsonl")} == {"training", "validation"}


def test_what_is_finished_is_not_trained_again_and_an_interrupted_run_goes_on(
    parts: Path, capsys: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (parts / "parts.json").read_bytes()
    assert main(arguments("parts", parts, "--seeds", "0,1", "--only", "no-decay")) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert (parts / "parts.json").read_bytes() == before

    run = Run(parts / "runs" / "no-decay-seed1")
    whole = run.best.read_bytes()
    run.write_record(msgspec.structs.replace(run.read_record(), status="training"))  # as if killed at the very end
    assert main(arguments("parts", parts, "--seeds", "0,1", "--only", "no-decay")) == 0
    assert "no-decay-seed1 (1 of 1)" in capsys.readouterr().err
    assert run.best.read_bytes() == whole


def test_a_redrawn_table_is_the_printed_one(parts: Path, capsys: Say) -> None:
    main(arguments("parts", parts, "--seeds", "0,1", "--only", "no-decay"))
    printed = capsys.readouterr().out

    assert main(["parts", "--redraw", "--json", str(parts / "parts.json")]) == 0

    assert capsys.readouterr().out == printed
    assert printed.startswith(f"`python -m benchmarks.ablation parts --network edge-nano --data {DATA} --epochs 1")


def test_the_record_says_what_measured_it_and_holds_no_path(parts: Path, heads: Path) -> None:
    for folder, study in ((parts, "parts"), (heads, "heads")):
        text = (folder / f"{study}.json").read_text()
        found = json.loads(text)
        assert str(folder) not in text
        assert {"capsedge", "torch", "numpy", "python"} <= found["versions"].keys()
        assert "instruction_sets" in found["processor"]
        assert "--only" not in found["command"]


def test_a_run_of_another_setting_is_refused_before_anything_is_trained(parts: Path, capsys: Say) -> None:
    given = arguments("parts", parts, "--epochs", "2", "--only", "erase")

    assert main(given) == 2

    assert "has another recipe (train.epochs: expected 2, got 1): give another folder by --runs" in (
        capsys.readouterr().err
    )
    assert not (parts / "runs" / "erase-seed0").exists()


def test_each_head_has_its_errors_on_both_sets(heads: Path, subset: Dataset, capsys: Say) -> None:
    report = read_report(heads / "heads.json", "heads")

    assert [row.name for row in report.rows] == ["capsules", "linear", "linear-direct", "dynamic"]
    capsules, *others = report.rows
    for row in report.rows:
        (training,) = row.trainings
        scores = {each.split: each.error for each in Run(heads / "runs" / f"{row.name}-seed0").read_record().scores}
        assert scores == {
            "validation": pytest.approx(training.validation_error),
            "test": pytest.approx(training.test_error),
        }
        assert row.test_error is not None
        assert row.test_error.mean == training.test_error
    assert capsules.test_change is None
    assert capsules.test_error is not None
    for row in others:
        assert row.test_error is not None
        assert row.test_change is not None
        assert row.test_change.mean == pytest.approx(row.test_error.mean - capsules.test_error.mean)
    assert report.test_images == len(subset.test)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "no-flap"], "--only: this study has no variant 'no-flap'"),
        (["--set", "train.learning_rate=-1"], "train.learning_rate"),
        (["--redraw", "--json", "gone.json"], "'gone.json' cannot be read as a report of parts"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, words: list[str], message: str, capsys: Say) -> None:
    assert main(arguments("parts", tmp_path, *words)) != 0

    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seeds", ["", "0,0", "0,00", "0,x", "-1", "0,99999999999", "4294966296", "9" * 5000])
def test_seeds_are_different_numbers(tmp_path: Path, seeds: str, capsys: Say) -> None:
    with pytest.raises(SystemExit):
        main(arguments("heads", tmp_path, f"--seeds={seeds}"))

    # A recipe's train.seed is at most 2**32 - 1, and the variant another-seed adds 1,000.
    assert "expected different integers from 0 to 4294966295, such as 0,1,2, got" in capsys.readouterr().err


def test_the_record_of_the_other_study_is_refused(heads: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a report of parts, got one of heads in .*: give another --json"):
        read_report(heads / "heads.json", "parts")
