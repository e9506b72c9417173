"""Continuing an interrupted measurement, if it is the same one."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench.files import save
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.bench.resume import measured_before, resumable_groups
from capsedge.measure.bench.sweep import Variant
from capsedge.measure.machine import Gpu
from capsedge.runtime.settings import Settings
from tests.measure.bench.reports import MACHINE, case, group, report

BATCHES = [1, 2, 4]
GPU = Gpu(name="Orin", target="sm87", driver="540.4", cuda="12.6", memory_mb=7607.0)


@pytest.fixture
def files(tmp_path: Path) -> list[Variant]:
    """Two variants whose files contain their names."""
    for name in "ab":
        (tmp_path / f"{name}.onnx").write_text(name)
    return [Variant(name, tmp_path / f"{name}.onnx", Settings()) for name in "ab"]


def measured(batch: int, **fields: Any) -> Group:
    return group(
        *(case(name, sha256=hashlib.sha256(name.encode()).hexdigest()) for name in "ab"), batch=batch, **fields
    )


def begun(*groups: Group, **fields: Any) -> BenchReport:
    return report(*(groups or (measured(1), measured(2, unfinished=True))), **{"unfinished": True} | fields)


def test_an_unfinished_report_of_the_same_measurement_is_continued_and_a_finished_one_is_not(
    files: list[Variant],
) -> None:
    assert resumable_groups(begun(), report(), BATCHES, files) == begun().groups
    assert resumable_groups(begun(), report(), [1, 2], files) == begun().groups  # all groups, but not finished
    assert [each.batch for each in resumable_groups(begun(), report(), [2, 4], files)] == [2]
    assert resumable_groups(begun(unfinished=False), report(), BATCHES, files) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"command": ("capsedge", "bench", "other")},
        {"plan": Plan(quick=True)},
        {"capsedge": "0.2.0"},
        {"machine": replace(MACHINE, cpu="another")},
        {"machine": replace(MACHINE, onnxruntime={"onnxruntime-gpu": "1.31.1"})},
        {"machine": replace(MACHINE, gpu=GPU)},
    ],
)
def test_another_measurement_version_or_machine_is_measured_anew(files: list[Variant], other: dict[str, Any]) -> None:
    assert resumable_groups(begun(), report(**other), BATCHES, files) == ()


def test_other_files_another_order_and_other_labels_are_measured_anew(
    files: list[Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = [files[0], Variant("c", files[1].file, Settings())]
    for variants in (files[::-1], files[:1], renamed):
        assert resumable_groups(begun(), report(), BATCHES, variants) == ()
    without_hash = begun(group(case("a"), case("b")))
    assert resumable_groups(without_hash, report(), BATCHES, files) == ()
    files[1].file.write_text("trained again")
    assert resumable_groups(begun(), report(), BATCHES, files) == ()
    monkeypatch.setattr("capsedge.measure.bench.resume.sha256_of", lambda _: None)  # unreadable
    assert resumable_groups(without_hash, report(), BATCHES, files) == ()


def test_a_missing_model_file_is_an_error(files: list[Variant]) -> None:
    files[0].file.unlink()

    with pytest.raises(ModelError, match="there is no model at"):
        resumable_groups(begun(), report(), BATCHES, files)


def test_the_groups_come_from_the_output_file_unless_it_is_missing_or_of_another_schema(
    files: list[Variant], tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    assert measured_before(state, report(), BATCHES, files) == ()
    state.write_text('{"kind": "capsedge bench", "schema": 1}')
    assert measured_before(state, report(), BATCHES, files) == ()
    save(begun(), state)
    assert measured_before(state, report(), BATCHES, files) == begun().groups


def test_another_file_or_unfinished_measurement_is_not_overwritten(files: list[Variant], tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    save(begun(), state)
    files[1].file.write_text("trained again")

    with pytest.raises(
        WrongUse, match=r"holds an unfinished measurement of `capsedge bench runs/a 'runs/a b/model\.int8\.onnx'`"
    ):
        measured_before(state, report(), BATCHES, files)
    state.write_text("{}")
    with pytest.raises(WrongUse, match="exists and is not a report of capsedge bench, or is damaged"):
        measured_before(state, report(), BATCHES, files)
