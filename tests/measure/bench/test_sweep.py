"""The grid of a sweep: variants, order, and batches that are not measured again."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench import sweep as module
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Group
from capsedge.measure.bench.sweep import Variant, parse_axes, sweep, variants
from capsedge.runtime.session import Session
from capsedge.runtime.settings import Settings
from tests.measure.bench import reports


@pytest.fixture
def run(good: Path, tmp_path: Path) -> Path:
    """A run's folder with its model in two precisions, by their names."""
    for name in ("model.onnx", "model.int8.onnx"):
        shutil.copy(good, tmp_path / name)
    return tmp_path


def group(batch: int, **fields: bool) -> Group:
    return reports.group(reports.case(), batch=batch, **fields)


@dataclass
class Asked:
    """What one measurement was asked for."""

    batch: int
    labels: list[str]
    settings: list[Settings]
    earlier: Group | None


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Replace the measurement by a recorder that saves an unfinished group first."""
    asked: list[Asked] = []

    def recorded(
        sessions: Sequence[Session],
        plan: Plan,
        *,
        labels: Sequence[str],
        earlier: Group | None,
        keep: Callable[[Group], None],
        progress: Callable[[float], None],
    ) -> Group:
        asked.append(Asked(plan.images, list(labels), [session.settings for session in sessions], earlier))
        keep(group(plan.images, unfinished=True))
        progress(1.0)
        return group(plan.images)

    monkeypatch.setattr(module, "measure", recorded)
    return asked


def test_axes_keep_the_order_and_the_types_of_their_values() -> None:
    axes = parse_axes(["batch=8,1", "precision=int8+fp16,fp32", "spinning=no,yes", "threads=0,2"])

    assert list(axes) == ["batch", "precision", "spinning", "threads"]
    assert axes == {
        "batch": (8, 1),
        "precision": ("int8+fp16", "fp32"),
        "spinning": (False, True),
        "threads": (0, 2),
    }


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["batch"], "expected a sweep as name=value,value such as batch=1,8, got 'batch'"),
        (["batch="], "expected a sweep as .* got 'batch='"),
        (["batches=1"], r"there is no sweep over 'batches': did you mean 'batch'\?"),
        (["batch=1", "batch=2"], "over 'batch' was given twice"),
        (["batch=0"], "expected integers from 1 to 1,000,000 for a sweep over 'batch', got '0'"),
        (["batch=1,,2"], "expected integers from 1 to 1,000,000 for a sweep over 'batch', got ''"),
        (["threads=-1"], "expected integers from 0 .* for a sweep over 'threads', got '-1'"),
        (["threads=257"], "expected integers from 0 .* to 256 for a sweep over 'threads', got '257'"),
        (["precision=fp64"], "expected fp32, fp16, bf16, int8.* for a sweep over 'precision', got 'fp64'"),
        (["spinning=maybe"], "expected yes or no for a sweep over 'spinning', got 'maybe'"),
    ],
)
def test_an_axis_that_cannot_be_is_wrong_use(texts: list[str], line: str) -> None:
    with pytest.raises(WrongUse, match=line):
        parse_axes(texts)


def test_every_model_comes_with_every_combination_and_a_unique_label(run: Path) -> None:
    laid_out = variants(
        [str(run)], Settings(graph="basic"), parse_axes(["precision=fp32,int8", "threads=1,2", "batch=1"])
    )

    assert laid_out == [
        Variant(f"{run} {precision} threads {threads}", run / file, Settings(graph="basic", threads=threads))
        for precision, file in (("fp32", "model.onnx"), ("int8", "model.int8.onnx"))
        for threads in (1, 2)
    ]
    twice = variants([str(run)] * 2, Settings(), {})
    assert [variant.label for variant in twice] == [str(run), f"{run} (2)"]


def test_precisions_are_found_from_the_file_of_another_or_a_folder_without_a_plain_export(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(model: str, precisions: str) -> list[tuple[str, str]]:
        axes = parse_axes([f"precision={precisions}"])
        return [(each.label, each.file.name) for each in variants([model], Settings(), axes)]

    int8 = (f"{run} int8", "model.int8.onnx")
    assert found(f"{run}/model.int8.onnx", "fp32,int8") == [(f"{run} fp32", "model.onnx"), int8]
    monkeypatch.chdir(run)
    assert [variant.label for variant in variants(["./model.onnx"], Settings(), {})] == ["model.onnx"]
    (run / "model.onnx").rename(run / "model.fp16.onnx")
    assert found(str(run), "fp16,int8") == [(f"{run} fp16", "model.fp16.onnx"), int8]


def test_an_axis_that_changes_nothing_or_more_than_it_says_is_wrong_use(run: Path) -> None:
    with pytest.raises(WrongUse, match=r"'cuda-graph' has no effect on '.*', which is not an engine"):
        variants([str(run)], Settings(), parse_axes(["cuda-graph=yes,no"]))
    (run / "model.engine").write_bytes(b"")
    with pytest.raises(WrongUse, match=r"'graph' has no effect on '.*model.engine', which is an engine"):
        variants([str(run / "model.engine")], Settings(), parse_axes(["graph=all,none"]))
    with pytest.raises(WrongUse, match="'spinning' needs --threads N"):
        variants([str(run)], Settings(), parse_axes(["spinning=yes,no"]))
    assert len(variants([str(run)], Settings(threads=1), parse_axes(["spinning=yes,no"]))) == 2


def test_a_precision_that_was_not_exported_says_how_to_export_it(run: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no '.*model\.fp16\.onnx': capsedge export RUN --precision fp16"):
        variants([str(run)], Settings(), parse_axes(["precision=fp32,fp16"]))
    with pytest.raises(ModelError, match="the built-in model comes in int8 only"):
        variants([], Settings(), parse_axes(["precision=fp16"]))


def test_variants_are_measured_together_at_each_batch(run: Path, measured: list[Asked]) -> None:
    kept: list[list[tuple[int, bool]]] = []
    shares: list[float] = []
    laid_out = variants([str(run)], Settings(), parse_axes(["precision=fp32,int8", "threads=1"]))

    groups = sweep(
        laid_out,
        Plan(),
        [8, 1],
        keep=lambda so_far: kept.append([(each.batch, each.unfinished) for each in so_far]),
        progress=shares.append,
    )

    assert [each.batch for each in groups] == [8, 1]
    assert [(each.batch, len(each.labels)) for each in measured] == [(8, 2), (1, 2)]
    assert [settings.batch for settings in measured[0].settings] == [8, 8]
    assert kept == [[(8, True)], [(8, False)], [(8, False), (1, True)], [(8, False), (1, False)]]
    assert shares == [0.5, 1.0]


def test_finished_batches_are_not_measured_again_and_an_unfinished_one_continues(
    run: Path, measured: list[Asked]
) -> None:
    begun = group(8, unfinished=True)
    done = (group(4), group(1), group(99), begun)

    groups = sweep(variants([str(run)], Settings(), {}), Plan(), [1, 2, 4, 8], done=done)

    assert [(each.batch, each.unfinished) for each in groups] == [(batch, False) for batch in (1, 2, 4, 8)]
    assert [(each.batch, each.earlier) for each in measured] == [(2, None), (8, begun)]
