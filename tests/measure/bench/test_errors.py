"""The error on given data, in the same run as the latency."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench.errors import Examination
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import Plan
from capsedge.measure.evaluate.labelled import Labelled, Part, images_for, labelled
from capsedge.measure.evaluate.measure import evaluated
from capsedge.measure.evaluate.subject import EvaluatedNetwork, subject_of
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from tests.tiny import tiny_recipe, train_tiny

PLACE = "fashion-mnist-subset"
ZOO = Path(__file__).parents[3] / "zoo"


@pytest.fixture(scope="module")
def sessions() -> Iterator[list[Session]]:
    names = ("edge-nano/model.onnx", "edge-nano/model.int8.onnx")
    opened = [open_session(ZOO / name) for name in names]
    yield opened
    for session in opened:
        session.close()


def test_errors_and_intervals_are_those_of_eval(sessions: list[Session]) -> None:
    found = Examination(PLACE, sessions).errors()

    for session, error in zip(sessions, found, strict=True):
        subject = subject_of(session)
        images = labelled(PLACE, subject)
        same = evaluated(
            subject.lengths(images.images),
            images.labels,
            model=subject.name,
            data=images.data,
            classes=subject.classes,
            names=images.names,
        )
        assert (error.error, error.low, error.high, error.images) == (same.error, same.low, same.high, same.images)
        assert (error.data, error.wrong) == (same.data, round(same.error * same.images))


def test_an_image_without_an_answer_is_wrong_and_warned_of(
    sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of(sessions[0])
    whole = Examination(PLACE, sessions[:1]).errors()[0]

    def broken(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        lengths = subject.lengths(images)
        lengths[:, 0] = np.where(np.arange(len(lengths)) % 2, np.nan, lengths[:, 0])
        return lengths

    one = dataclasses.replace(subject, lengths=broken)
    monkeypatch.setattr("capsedge.measure.evaluate.subject.subject_of", lambda _: one)
    examination = Examination(PLACE, sessions[:1])
    (error,) = examination.errors()
    assert 0.5 <= error.error < 0.5 + whole.error
    (said,) = [each for each in examination.warnings(["a"]) if "finite" in each.text]
    assert (said.code, said.case) == ("data", "a")


def test_the_difference_is_paired_with_the_first_model(sessions: list[Session]) -> None:
    first, second, again = Examination(PLACE, [*sessions, sessions[0]]).errors()

    assert (first.vs_first, first.vs_first_low, first.vs_first_high) == (None, None, None)
    assert second.vs_first == pytest.approx(second.error - first.error)
    assert second.vs_first_low is not None
    assert second.vs_first_high is not None
    assert second.vs_first_low <= (second.vs_first or 0) <= second.vs_first_high
    assert second.vs_first_high - second.vs_first_low < second.high - second.low
    assert again.vs_first_low is not None
    assert (again.vs_first, again.vs_first_high) == (0, -again.vs_first_low)


def test_a_measurement_has_the_error_of_each_case_and_reads_images_once(
    sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def watched(place: str, subject: EvaluatedNetwork, *, part: Part = "test") -> Labelled:
        read.append(place)
        return labelled(place, subject, part=part)

    monkeypatch.setattr("capsedge.measure.evaluate.labelled.labelled", watched)

    cases = measure(sessions, Plan(iterations=12, quick=True, breakdown=False, data=PLACE)).cases

    assert [case.on_data for case in cases] == Examination(PLACE, sessions).errors()
    assert read == [PLACE] * 2  # once for both sessions, and once for the line above


def test_a_mistake_in_the_data_is_told_before_anything_is_measured(
    sessions: list[Session], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.measure.bench.measure.warm_up", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(WrongUse, match="unknown data set"):
        measure(sessions, Plan(data="no-such-place"))
    with open_session(models / "foreign.onnx") as foreign, pytest.raises(ModelError, match="no capsedge contract"):
        measure([foreign], Plan(data=PLACE))


def test_the_images_are_those_of_the_test_part(sessions: list[Session]) -> None:
    (found,) = Examination(PLACE, sessions[:1]).errors()

    assert found.images == 1_000
    assert np.isclose(found.error * 1_000, found.wrong)


def test_what_eval_remarks_about_the_images_is_a_warning(tmp_path: Path) -> None:
    """The model of a run is given copies of the run's images, and one that cannot be read."""
    random = np.random.default_rng(0)
    with open_session(ZOO / "edge-nano" / "model.onnx") as session:
        classes = subject_of(session).classes[:2]
    for name in classes:
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 90, (28, 28), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / name / f"{number}.png")
    recipe = tiny_recipe(f"data.source={tmp_path / 'own'}", "train.epochs=1", "train.batch_size=8")
    run = train_tiny(tmp_path / "run", recipe)
    shutil.copy(ZOO / "edge-nano" / "model.onnx", run.path)
    copies = shutil.copytree(tmp_path / "own", tmp_path / "copies")
    (copies / classes[0] / "broken.png").write_bytes(b"broken")
    plan = Plan(iterations=12, quick=True, breakdown=False, data=str(copies))

    with open_session(run.path) as its, open_session(ZOO / "edge-nano" / "model.onnx") as other:
        found = measure([other, its], plan, labels=["other", "its"])
        of_eval = images_for(subject_of(its), str(copies), "test")
        own = Examination(str(tmp_path / "own"), [its, other])
        own_errors = own.errors()
        held_out = images_for(subject_of(its), str(tmp_path / "own"), "test")

    told = [(each.case, each.text) for each in found.warnings if each.code == "data"]
    assert sorted(told, key=str) == sorted(
        [(None if remark.code == "broken-images" else "its", f"--data: {remark.text}") for remark in of_eval.remarks],
        key=str,
    )
    assert len(told) == 2
    assert [case.on_data.images for case in found.cases if case.on_data] == [20, 20]
    assert [each.images for each in own_errors] == [len(held_out.images)] * 2
    assert 0 < len(held_out.images) < 20
    assert not [*own.warnings(["its", "other"])]
