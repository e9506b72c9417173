"""The verdict on sessions that say what the network says, but for a lie."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.cli.screens.export import say_notes
from capsedge.contract import FailedTraining, Input, Precision, Verdict
from capsedge.export.gate import TOLERANCES, Answers, Judgement, Reference, judge
from capsedge.fit import Fit
from capsedge.models import CapsNet
from capsedge.runtime.session import Outputs
from tests.export.sessions import FakeSession, Images, Lie, lax, no_lie

FP32 = TOLERANCES["fp32"]


def is_last(images: Images, expected: Reference) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (images == expected.validation.images[-1]).all((1, 2, 3))
    return same


def test_a_session_that_says_what_the_network_says_is_accepted(
    judged: Callable[..., Judgement], expected: Reference
) -> None:
    judgement = judged()
    verdict = judgement.verdict
    assert (verdict.status, verdict.reasons, verdict.provider, verdict.images) == ("accepted", (), "fake", 400)
    assert verdict.top1_agreement == 1
    for figure in ("largest_length_difference", "mean_length_difference", "largest_pose_difference"):
        assert 0 <= getattr(verdict, figure) < 1e-5, figure
    assert verdict.difference_between_batches is not None
    assert verdict.difference_between_batches < 1e-5
    assert verdict.error == (expected.validation.lengths.argmax(1) != expected.labels).mean()
    assert verdict.error_change is not None
    assert verdict.error_change.mean == 0
    assert verdict.largest_reconstruction_difference is None
    assert judgement.error == verdict.error


@pytest.mark.parametrize(
    ("where", "amount"),
    [
        pytest.param(lambda images: images.max((1, 2, 3)) == 0, 1.5e-4, id="black image"),
        pytest.param(lambda images: images.min((1, 2, 3)) == 255, -1.5e-4, id="white image"),
        *(
            pytest.param(lambda images, size=size: [len(images) == size] * size, 1.5e-4, id=f"batch of {size}")
            for size in (1, 2, 7, 250)
        ),
    ],
)
def test_one_length_that_is_wrong_there_only_is_found(
    where: Callable[[Images], Any], amount: float, judged: Callable[..., Judgement]
) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        outputs.lengths[np.flatnonzero(where(images)), 3] += amount

    verdict = judged(lie).verdict
    assert verdict.status == "rejected"
    assert "a length differs by 0.00015, more than 0.0001" in verdict.reasons


def test_one_nan_is_found_in_the_last_class_of_the_last_image(
    judged: Callable[..., Judgement], expected: Reference
) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        if len(images) == 250:
            outputs.lengths[np.flatnonzero(is_last(images, expected))[:1], -1] = np.nan

    judgement = judged(lie)
    verdict = judgement.verdict
    assert verdict.status == "rejected"
    assert verdict.largest_length_difference is None
    assert verdict.mean_length_difference is None
    # Of 400 and 2 images in batches of 250; of 32 and 2 one by one and in pairs; of 32 and 2 by sevens.
    assert verdict.reasons[0] == f"1 of {10 * (3 * 250 + 2 * 34 + 35 + 7)} lengths are NaN or infinite"
    assert not any("differ" in reason for reason in verdict.reasons)  # by more than any number, of course
    assert (judgement.telling[0] == expected.validation.images[-1]).all()
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_pose_that_is_infinite_is_found(judged: Callable[..., Judgement]) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        if len(images) == 7:
            outputs.poses[3, 2, 1] = np.inf

    verdict = judged(lie, lax()).verdict
    assert verdict.status == "rejected"
    assert "6 of" in verdict.reasons[0]  # five batches of validation images and one of the blank ones
    assert "components of poses are NaN or infinite" in verdict.reasons[0]


def test_a_network_that_says_nan_itself_accepts_nothing(network: CapsNet, expected: Reference) -> None:
    blank = dataclasses.replace(expected.blank, lengths=np.full_like(expected.blank.lengths, np.nan))
    broken = dataclasses.replace(expected, blank=blank)
    verdict = judge(FakeSession(network, expected.contract), broken, lax()).verdict
    assert (verdict.status, verdict.reasons) == ("rejected", ("a length differs by inf, more than 1",))


def test_poses_that_are_turned_are_found_though_the_lengths_are_right(judged: Callable[..., Judgement]) -> None:
    def lie(_: Images, outputs: Outputs) -> None:
        outputs.poses[:] = -outputs.poses

    verdict = judged(lie).verdict
    assert [reason.partition(" differs")[0] for reason in verdict.reasons] == ["a component of a pose"]


def test_lengths_that_all_move_a_little_are_found_by_their_mean(judged: Callable[..., Judgement]) -> None:
    def lie(_: Images, outputs: Outputs) -> None:
        outputs.lengths[:] += 0.05

    verdict = judged(lie, lax(mean_length=0.04)).verdict
    assert verdict.reasons == ("the lengths differ by 0.05 on average, more than 0.04",)


def test_one_other_first_class_in_400_images_is_one_too_many(
    judged: Callable[..., Judgement], expected: Reference
) -> None:
    least = expected.validation.lengths[-1].argmin()

    def lie(images: Images, outputs: Outputs) -> None:
        outputs.lengths[is_last(images, expected), least] = 1

    verdict = judged(lie, lax(agreement=0.999)).verdict
    assert verdict.status == "rejected"
    assert verdict.top1_agreement == 399 / 400
    assert verdict.reasons == ("the answer is the same on 99.75 % of the images, not 99.9 %",)


@pytest.mark.parametrize(("apart", "agreement"), [(1.8 * FP32.length, 1.0), (2.2 * FP32.length, 0.0)])
def test_first_classes_that_tie_in_the_network_may_swap(
    apart: float, agreement: float, network: CapsNet, expected: Reference
) -> None:
    """So lengths within the tolerance of fp32 never fail by their first class: both may move, towards each other."""
    tied = expected.validation.lengths.copy()
    order = tied.argsort(axis=1)
    first, second = order[:, -1:], order[:, -2:-1]
    np.put_along_axis(tied, second, np.take_along_axis(tied, first, 1) - np.float32(apart), 1)

    def lie(images: Images, outputs: Outputs) -> None:
        order = outputs.lengths.argsort(axis=1)
        np.put_along_axis(outputs.lengths, order[:, -2:-1], 2.0, 1)

    close = dataclasses.replace(expected, validation=dataclasses.replace(expected.validation, lengths=tied))
    verdict = judge(FakeSession(network, expected.contract, lie), close, lax()).verdict
    assert verdict.top1_agreement == agreement


def share_wrong(expected: Reference) -> float:
    """The network's own error on the gate's validation images, counted here."""
    return float((expected.validation.lengths.argmax(1) != expected.labels).mean())


def more_errors(expected: Reference, count: int, amount: float) -> Lie:
    """A lie that turns right answers into wrong ones by moving two lengths a little: the closest calls."""
    lengths, labels = expected.validation.lengths, expected.labels
    ordered = np.sort(lengths, axis=1)
    right = np.flatnonzero(lengths.argmax(1) == labels)
    closest = right[(ordered[right, -1] - ordered[right, -2]).argsort()[:count]]
    assert (ordered[closest, -1] - ordered[closest, -2]).max() < 2 * amount
    keys = {expected.validation.images[index].tobytes() for index in closest}

    def lie(images: Images, outputs: Outputs) -> None:
        for image, row in zip(images, outputs.lengths, strict=True):
            if image.tobytes() in keys:
                second, first = row.argsort()[-2:]
                row[first] -= amount
                row[second] += amount

    return lie


def test_an_error_that_grows_by_more_than_the_limit_is_found_where_every_length_is_within_its_limit(
    judged: Callable[..., Judgement], expected: Reference
) -> None:
    lie = more_errors(expected, count=10, amount=0.01)
    limits = {"length": 0.011, "agreement": 0.95}

    assert judged(lie, lax(**limits, error_increase=0.025)).verdict.status == "accepted"
    verdict = judged(lie, lax(**limits, error_increase=0.0249)).verdict

    assert verdict.status == "rejected"
    (reason,) = verdict.reasons
    assert reason.startswith("the error rises by 2.50 points (")
    assert reason.endswith(f" from {share_wrong(expected):.2%}, more than 2.49".replace("%", " %"))
    assert verdict.error == pytest.approx(share_wrong(expected) + 0.025)
    assert verdict.error_change is not None
    assert verdict.error_change.mean == pytest.approx(0.025)
    assert 0 < verdict.error_change.low < 0.025 < verdict.error_change.high


def test_the_interval_is_bonett_and_prices(network: CapsNet, expected: Reference) -> None:
    """Six images, of which the file gets two wrong that the network has right, and one right that it has wrong."""
    wrong = expected.validation.lengths.argmax(1) != expected.labels
    chosen = np.concatenate([np.flatnonzero(~wrong)[:4], np.flatnonzero(wrong)[:2]])
    few = Answers(*(getattr(expected.validation, name)[chosen] for name in ("images", "lengths", "poses")))
    labels = expected.labels[chosen]
    given = {few.images[0].tobytes(): (labels[0] + 1) % 10, few.images[4].tobytes(): labels[4]}
    given[few.images[1].tobytes()] = (labels[1] + 1) % 10

    def lie(images: Images, outputs: Outputs) -> None:
        for image, row in zip(images, outputs.lengths, strict=True):
            if image.tobytes() in given:
                row[given[image.tobytes()]] = 2

    six = dataclasses.replace(expected, validation=few, labels=labels)
    change = judge(FakeSession(network, expected.contract, lie), six, lax()).verdict.error_change

    rises, falls = 3 / 8, 2 / 8  # Bonett and Price: one more of each, of eight images
    half = 1.959964 * ((rises + falls - (rises - falls) ** 2) / 8) ** 0.5
    assert change is not None
    assert change.mean == pytest.approx(1 / 6)
    assert [change.low, change.high] == pytest.approx([rises - falls - half, rises - falls + half])


def test_an_error_that_shrinks_breaks_no_limit(judged: Callable[..., Judgement], expected: Reference) -> None:
    truth = {image.tobytes(): label for image, label in zip(expected.validation.images, expected.labels, strict=True)}

    def lie(images: Images, outputs: Outputs) -> None:
        for image, row in zip(images, outputs.lengths, strict=True):
            if image.tobytes() in truth:
                row[truth[image.tobytes()]] = 1

    verdict = judged(lie, lax(error_increase=0)).verdict
    assert verdict.status == "accepted"
    assert verdict.error_change is not None
    assert verdict.error_change.mean == pytest.approx(-share_wrong(expected))


def test_a_remark_says_that_the_images_are_too_few_for_the_limit(
    judged: Callable[..., Judgement], expected: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    lie = more_errors(expected, count=10, amount=0.01)
    verdict = judged(lie, lax(error_increase=0.05)).verdict
    assert verdict.error_change is not None
    possible = verdict.error_change.high
    assert 0.03 < possible < 0.05
    assert verdict.remarks == ()

    for limit in (0.03, 0.026):
        (remark,) = judged(lie, lax(error_increase=limit)).verdict.remarks
        assert f"400 validation images leave a rise of the error by up to {100 * possible:.2f} points" in remark
        assert "--max-error-increase" not in remark  # advice for who exports, which no file and no card carries
        capsys.readouterr()
        say_notes(judged(lie, lax(error_increase=limit)).verdict)
        _, remedy = capsys.readouterr().err.rstrip().split("--max-error-increase ")
        enough = judged(lie, lax(error_increase=float(remedy) / 100)).verdict
        assert enough.remarks == ()
        say_notes(enough)
        assert capsys.readouterr().err == ""

    def small(_: Images, outputs: Outputs) -> None:  # no answer differs, and another image's might
        outputs.lengths[:] += 0.01

    (remark,) = judged(small, lax(error_increase=0.002)).verdict.remarks
    assert "400 validation images leave a rise of the error by up to 0.69 points possible (95 %)" in remark
    same = judged(no_lie, lax(error_increase=0.002)).verdict  # the lengths themselves are the same
    assert same.remarks == ()
    say_notes(same)
    assert capsys.readouterr().err == ""


def test_what_proves_a_limit_is_told_beside_the_limit_that_is_not_proved(
    network: CapsNet, expected: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    def small(_: Images, outputs: Outputs) -> None:
        outputs.lengths[:] += 0.01

    uneven = dataclasses.replace(expected, labels=(np.arange(400) < 20).astype(np.int64))
    verdict = judge(FakeSession(network, expected.contract, small), uneven, lax(error_increase=0.001)).verdict
    say_notes(verdict)

    *others, unproved, remedy = capsys.readouterr().err.splitlines()
    assert any("the classes differ in images" in line for line in others)
    assert "is not proved" in unproved
    assert "to prove a limit" in remedy


def test_the_verdict_says_that_the_network_itself_is_at_chance(network: CapsNet, expected: Reference) -> None:
    def failed(wrong: int, warning: str = "") -> FailedTraining | None:
        answers = expected.validation.lengths.argmax(1)
        labels = np.where(np.arange(400) < wrong, (answers + 1) % 10, answers)
        given = dataclasses.replace(expected, labels=labels, warning=warning)
        verdict = judge(FakeSession(network, expected.contract), given, lax()).verdict
        assert not any("chance" in remark for remark in verdict.remarks)
        return verdict.failed_training

    # Random answers err on 360 of 400; 1.96 standard errors, sqrt(0.9 x 0.1 x 400) = 6 each, below it are 348.2.
    assert failed(348) is None
    found = failed(349)
    assert found is not None
    assert (found.code, found.error) == ("at-chance", 349 / 400)
    assert found.chance == pytest.approx(0.9)
    assert found.text.startswith(
        "the trained network is at chance (error 87.25 %, chance 90.00 %): train it again, to its end"
    )
    found = failed(349, "it is at chance: do this")  # what the training said, and nothing else
    assert found is not None
    assert found.text == "it is at chance: do this"


def test_the_verdict_says_that_the_network_gives_every_image_the_same_lengths(
    network: CapsNet, expected: Reference
) -> None:
    def ones(images: Images, outputs: Outputs) -> None:
        outputs.lengths[:] = 1

    answers = (
        dataclasses.replace(each, lengths=np.ones_like(each.lengths))
        for each in (expected.validation, expected.blank)
    )
    validation, blank = answers
    constant = dataclasses.replace(expected, validation=validation, blank=blank)
    verdict = judge(FakeSession(network, expected.contract, ones), constant, lax()).verdict
    assert verdict.status == "accepted"
    wrong = (expected.labels != 0).mean()
    said = f"the trained network gives every image the same lengths (error {100 * wrong:.2f} %, chance 90.00 %)"
    assert verdict.failed_training is not None
    assert verdict.failed_training.code == "same-lengths"
    assert verdict.failed_training.text.startswith(said)
    assert verdict.notes == (verdict.failed_training.text, *verdict.remarks)


def test_what_was_emulated_is_never_accepted_and_can_be_rejected(judged: Callable[..., Judgement]) -> None:
    def lie(_: Images, outputs: Outputs) -> None:
        outputs.lengths[:] += 0.05

    well, badly = judged(emulated="in fp32").verdict, judged(lie, emulated="in fp32").verdict
    assert (well.status, well.remarks, well.provider) == ("not executed here", ("in fp32",), "")
    assert well.error is not None
    assert (badly.status, badly.remarks[0]) == ("rejected", "in fp32")


@pytest.mark.parametrize(
    ("promise", "other"),
    [("classes", tuple("abcdefghij")), ("labels", 2), ("input", Input(28, 28, 3)), ("fit", Fit(frame="crop"))],
)
def test_a_contract_that_promises_something_else_is_found(
    promise: str, other: object, network: CapsNet, expected: Reference
) -> None:
    contract = msgspec.structs.replace(expected.contract, **{promise: other})
    judgement = judge(FakeSession(network, contract), expected, FP32)
    assert judgement.verdict.status == "rejected"
    (reason,) = judgement.verdict.reasons
    assert f"{promise} {other}" in reason
    assert not judgement.computes_wrong


def test_the_limits_are_named_in_the_verdict(judged: Callable[..., Judgement]) -> None:
    limits = judged().verdict.limits
    assert limits["largest_length_difference"] == FP32.length
    assert limits["error_change"] == FP32.error_increase
    assert set(limits) <= {field.name for field in msgspec.structs.fields(Verdict)}


@pytest.mark.parametrize("precision", TOLERANCES)
def test_every_precision_that_judges_is_blind_to_no_swapped_classes(
    precision: Precision, judged: Callable[..., Judgement]
) -> None:
    def lie(_: Images, outputs: Outputs) -> None:
        outputs.lengths[:, [0, 1]] = outputs.lengths[:, [1, 0]]

    assert judged(lie, TOLERANCES[precision]).verdict.status == "rejected"


def test_classes_that_are_never_answered_are_told_and_uneven_ones_get_their_balanced_error(
    judged: Callable[..., Judgement], network: CapsNet, expected: Reference
) -> None:
    def never(images: Images, outputs: Outputs) -> None:
        outputs.lengths[:, 3] = 0

    told = f"never answered on the validation images: {expected.contract.classes[3]}"
    assert told in judged(never, lax()).verdict.remarks

    labels = np.where(np.arange(len(expected.labels)) < 30, 1, 0)
    uneven = dataclasses.replace(expected, labels=labels)
    verdict = judge(FakeSession(network, expected.contract), uneven, lax())
    wrong = expected.validation.lengths.argmax(1) != labels
    balanced = (wrong[:30].mean() + wrong[30:].mean()) / 2
    (said,) = [each for each in verdict.verdict.remarks if "balanced" in each]
    assert said == f"the classes differ in images; the balanced error is {100 * balanced:.2f} %"
