"""Computing an evaluation from capsule lengths and labels."""

import math
from collections.abc import Sequence
from csv import writer as csv_writer
from io import StringIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.measure.evaluate.remark import EvalRemark, eval_remark
from capsedge.outside import cell
from capsedge.plural import number_of
from capsedge.scoring import answered, balanced_error, confusion, longest, never_answered, wrong_answers
from capsedge.statistics import Difference, paired_difference, wilson_interval

Lengths = NDArray[np.float32]
Labels = NDArray[np.int64]

BINS = 10  # bins of the longest length, as in Guo et al. 2017 but for fewer images
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(20))
TAKEN_FOR = 2
CSV_HEAD = "image,label,answer,right,length"  # and a column for each class


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Images whose longest capsule has a length in one range.

    Attributes:
        low: Start of the range.
        high: End of the range.
        images: Number of images.
        length: Mean length of the longest capsule.
        accuracy: Share of right answers.
    """

    low: float
    high: float
    images: int
    length: float
    accuracy: float


class OfClass(msgspec.Struct, frozen=True, kw_only=True):
    """Results for one class.

    Attributes:
        name: Its name.
        images: Number of images of the class.
        answered: Number of images classified as it.
        recall: Share of its images classified as it; None without images.
        precision: Share of its images among those classified as it; None where there are none.
        taken_for: The most frequent wrong answers for its images, with their counts.
    """

    name: str
    images: int
    answered: int
    recall: float | None
    precision: float | None
    taken_for: tuple[tuple[str, int], ...]


class AtThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of a threshold on the longest length.

    Attributes:
        threshold: Images whose longest capsule is shorter get no answer, as those whose lengths are not finite.
        answered: Share of images with an answer.
        error: Share of wrong answers among these; None where there are none.
    """

    threshold: float
    answered: float
    error: float | None


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong answer.

    Attributes:
        image: Index of the image.
        name: Name of the image.
        label: Its class.
        answer: The wrong answer.
        length: Length of the answer's capsule.
        length_of_label: Length of the capsule of its class.
    """

    image: int
    name: str
    label: str
    answer: str
    length: float
    length_of_label: float


class ModelComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison with another model on the same images.

    Attributes:
        model: Name of the other model.
        error: Error of the other model.
        difference: Error of the first model minus that of the other, paired by image, with a 95 % interval.
        first_alone: Number of images that only the first model classifies wrongly.
        other_alone: Number of images that only the other model classifies wrongly.
        p_value: McNemar's exact test, two-sided: probability of counts at least this uneven for equally good models.
    """

    model: str
    error: float
    difference: Difference
    first_alone: int
    other_alone: int
    p_value: float


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The evaluation of a model.

    Attributes:
        model: Name of the model.
        data: Description of the images.
        images: Number of images.
        error: Share of wrong answers, 0 to 1; an image whose lengths are not all finite counts as one.
        low: Lower end of the error's 95 % interval (Wilson).
        high: Upper end of the interval.
        balanced_error: Mean of 1 - recall over the classes that have images.
        classes: Results for each class, in the order of the outputs.
        never_answered: Names of classes that have images but are never an answer.
        confusion: Number of images by class (row) and answer (column), of those with finite lengths.
        reliability: The images with finite lengths, grouped by their longest length.
        calibration_error: Mean over the images of the difference between accuracy and mean length of their bin.
        thresholds: Effects of thresholds.
        mistakes: All wrong answers of finite lengths, those with the longest capsules first.
        comparison: Comparison with another model.
        remarks: Skipped images and other reasons for caution.
    """

    model: str
    data: str
    images: int
    error: float
    low: float
    high: float
    balanced_error: float
    classes: tuple[OfClass, ...]
    never_answered: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]
    calibration_error: float
    thresholds: tuple[AtThreshold, ...]
    mistakes: tuple[Mistake, ...]
    comparison: ModelComparison | None = None
    remarks: tuple[EvalRemark, ...] = ()


def evaluated(
    lengths: Lengths,
    labels: Labels,
    *,
    model: str,
    data: str,
    classes: Sequence[str],
    names: Sequence[str],
    remarks: Sequence[EvalRemark] = (),
) -> Evaluated:
    """Evaluate a model's answers.

    Args:
        lengths: Capsule lengths, [images, classes].
        labels: Class of each image, [images].
        model: Name of the model.
        data: Description of the images.
        classes: Class names in the order of the lengths.
        names: Name of each image.
        remarks: Remarks about the images and the model.

    Raises:
        ModelError: No image has finite lengths.
    """
    if not answered(lengths).any():
        raise ModelError(
            f"'{model}' gives lengths that are not finite for every image: it has no answers to evaluate"
        )
    wrong = wrong_answers(lengths, labels)
    counts, images = confusion(lengths, labels), np.bincount(labels, minlength=len(classes))
    bins = reliability(lengths, labels)
    by_class = tuple(_of_class(label, counts, images, classes) for label in range(len(classes)))
    low, high = wilson_interval(int(wrong.sum()), len(labels))
    return Evaluated(
        model=model,
        data=data,
        images=len(labels),
        error=float(wrong.mean()),
        low=low,
        high=high,
        balanced_error=balanced_error(counts, images),
        classes=by_class,
        never_answered=tuple(classes[label] for label in never_answered(counts, images).tolist()),
        confusion=tuple(map(tuple, counts.tolist())),
        reliability=bins,
        calibration_error=calibration_error(bins),
        thresholds=_thresholds(lengths, wrong),
        mistakes=_mistakes(lengths, labels, classes, names),
        remarks=(*remarks, *not_finite(lengths)),
    )


def not_finite(lengths: Lengths) -> tuple[EvalRemark, ...]:
    """A remark if some images have lengths that are not finite.

    Args:
        lengths: Capsule lengths, [images, classes].
    """
    count = int((~answered(lengths)).sum())
    if not count:
        return ()
    text = f"{number_of(count, 'image')} without an answer, because a length is not finite; each counts as wrong"
    return (eval_remark("not-finite", text, count=count),)


def compared(first: Lengths, other: Lengths, labels: Labels, *, model: str) -> ModelComparison:
    """Compare the answers of two models to the same images.

    Args:
        first: Lengths of the first model, [images, classes].
        other: Lengths of the other model, with the same classes.
        labels: Class of each image.
        model: Name of the other model.
    """
    ours, theirs = (wrong_answers(lengths, labels) for lengths in (first, other))
    alone = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return ModelComparison(
        model=model,
        error=float(theirs.mean()),
        difference=paired_difference([ours], [theirs]),
        first_alone=alone[0],
        other_alone=alone[1],
        p_value=mcnemar(*alone),
    )


def as_csv(names: Sequence[str], labels: Labels, lengths: Lengths, classes: Sequence[str]) -> str:
    """Class, answer and all lengths of every image, as CSV with a header; without an answer if one is not finite."""
    named = [cell(each) for each in classes]
    text = StringIO()
    writer = csv_writer(text, lineterminator="\n")
    writer.writerow([*CSV_HEAD.split(","), *named])
    answers = longest(lengths, 1)[:, 0].tolist()
    kept = answered(lengths).tolist()
    for name, label, row, answer, finite in zip(names, labels.tolist(), lengths, answers, kept, strict=True):
        numbers = [f"{value:.6f}" for value in row]
        said = [named[answer], "yes" if answer == label else "no", numbers[answer]] if finite else ["", "no", ""]
        writer.writerow([cell(name), named[label], *said, *numbers])
    return text.getvalue()


def mcnemar(one: int, other: int) -> float:
    """The exact two-sided p-value of McNemar's test, from the binomial distribution of a fair coin.

    Args:
        one: Number of images that only one model classifies wrongly.
        other: Number of images that only the other model classifies wrongly.
    """
    count = one + other
    tail = sum(math.comb(count, heads) for heads in range(min(one, other) + 1))
    return min(1.0, float(2 * tail / 2**count))


def reliability(lengths: Lengths, labels: Labels) -> tuple[Bin, ...]:
    """The images in bins of equal width by their longest length; a length of exactly 1 is in the last bin.

    Images whose lengths are not all finite are left out.
    """
    kept = answered(lengths)
    right, greatest = ~wrong_answers(lengths, labels)[kept], lengths[kept].max(1).astype(np.float64)
    places = np.minimum((greatest * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            images=int(mine.sum()),
            length=float(greatest[mine].mean()),
            accuracy=float(right[mine].mean()),
        )
        for place in np.unique(places).tolist()
        for mine in [places == place]
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error (Guo et al. 2017): see `Evaluated.calibration_error`."""
    return sum(each.images * abs(each.accuracy - each.length) for each in bins) / sum(each.images for each in bins)


def _of_class(label: int, counts: NDArray[np.int64], images: NDArray[np.int64], classes: Sequence[str]) -> OfClass:
    shown, given, right = int(images[label]), int(counts[:, label].sum()), int(counts[label, label])
    others = [(classes[other], int(count)) for other, count in enumerate(counts[label]) if count and other != label]
    return OfClass(
        name=classes[label],
        images=shown,
        answered=given,
        recall=right / shown if shown else None,
        precision=right / given if given else None,
        taken_for=tuple(sorted(others, key=lambda each: -each[1])[:TAKEN_FOR]),
    )


def _thresholds(lengths: Lengths, wrong: NDArray[np.bool_]) -> tuple[AtThreshold, ...]:
    greatest = np.where(answered(lengths), lengths.max(1), -np.inf)
    return tuple(
        AtThreshold(
            threshold=threshold,
            answered=float(kept.mean()),
            error=float(wrong[kept].mean()) if kept.any() else None,
        )
        for threshold in THRESHOLDS
        for kept in [greatest >= threshold]
    )


def _mistakes(lengths: Lengths, labels: Labels, classes: Sequence[str], names: Sequence[str]) -> tuple[Mistake, ...]:
    given = longest(lengths, 1)[:, 0]
    wrong = np.flatnonzero(wrong_answers(lengths, labels) & answered(lengths))
    return tuple(
        Mistake(
            image=image,
            name=names[image],
            label=classes[labels[image]],
            answer=classes[given[image]],
            length=round(float(lengths[image].max()), 6),
            length_of_label=round(float(lengths[image, labels[image]]), 6),
        )
        for image in wrong[np.argsort(-lengths[wrong].max(1), kind="stable")].tolist()
    )
