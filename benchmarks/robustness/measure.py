"""Measures every network under every condition and attack, on the same images."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.robustness.attacks import STEPS, Loss, fgsm, length_gap, mistakes, pgd, slopes
from benchmarks.robustness.conditions import CONDITIONS, Condition, ConditionKind, random_of, varied
from benchmarks.robustness.foreign import BLANKS, NOISE, auroc, blank_images, noise_images, threshold
from benchmarks.robustness.record import (
    AttackKind,
    Blank,
    ErrorDifference,
    ErrorRow,
    ForeignRow,
    NetworkRecord,
    RobustnessReport,
    Threshold,
    WeakAttack,
)
from benchmarks.robustness.subjects import MeasuredNetwork
from benchmarks.versions import versions_of
from capsedge.data import Dataset, Split
from capsedge.errors import ModelError
from capsedge.models import CapsNet, margin_loss
from capsedge.processor import this_processor
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.scoring import wrong_answers
from capsedge.statistics import paired_difference, standard_error
from capsedge.training.batches import normalized, on_device

Lengths = NDArray[np.float32]
Key = tuple[ConditionKind | AttackKind, float | None]
Mistakes = dict[Key, NDArray[np.bool_]]  # [images] for each condition or attack, the unchanged images first
Tell = Callable[[str], None]

CLEAN: Key = ("clean", None)
EPSILONS = (1 / 255, 2 / 255, 4 / 255, 8 / 255, 0.1)
CHECK_EPSILON, CHECK_ERROR = 0.3, 0.99  # at this epsilon nearly every image can get a wrong answer
BATCH = 100  # batch size of an attack, limited by the memory for gradients
HALF = 0.5
SURE = 2.0  # smallest difference that is reported, in standard errors


def measure(
    subjects: Sequence[MeasuredNetwork],
    dataset: Dataset,
    foreign: Mapping[str, Split],
    *,
    images: int,
    attacked: int,
    seed: int,
    tell: Tell = lambda _: None,
    conditions: Sequence[Condition] = CONDITIONS,
    epsilons: Sequence[float] = (*EPSILONS, CHECK_EPSILON),
) -> RobustnessReport:
    """Measure networks.

    Args:
        subjects: The networks, with different names; the others are compared with the first.
        dataset: Validation images for the threshold, test images for everything else.
        foreign: Images of none of the classes, by name; `noise` is reserved.
        images: Largest number of images of a split, spread evenly over it.
        attacked: Largest number of test images to attack, likewise; 0 for no attack.
        seed: Seed of all random numbers.
        tell: Called with lines about the progress.
        conditions: The conditions, `clean` first.
        epsilons: Sizes of the attacks.

    Raises:
        ModelError: A network has another input shape or other classes.
    """
    for subject in subjects:
        _check(subject, dataset)
    test, validation = dataset.test.spread(images), dataset.validation.spread(images)
    chosen = test.spread(attacked) if attacked else None
    strangers = {NOISE: noise_images(dataset.shape, seed=seed)}
    strangers |= {name: split.spread(images).images for name, split in foreign.items()}
    errors = under_conditions(subjects, test, conditions, seed=seed, tell=tell)
    found: dict[str, NetworkRecord] = {}
    first: tuple[Mistakes, Mistakes] = {}, {}
    for subject, wrong in zip(subjects, errors, strict=True):
        turned: Mistakes = {}
        flat = None
        if subject.network is not None and chosen is not None:
            turned, flat = under_attack(
                subject.network, chosen, epsilons, seed=seed, tell=_of(subject, tell), loss=subject.loss
            )
        tell(f"{subject.name}: images of none of the classes")
        kept, blanks, others = against_foreign(subject, validation, test, strangers)
        attacks = error_rows(turned)
        found[subject.name] = NetworkRecord(
            source="file" if subject.network is None else "run",
            provider=subject.provider,
            recipe=subject.recipe,
            routing=subject.routing,
            trained_on=subject.data,
            trained_on_these=_trained_on(subject, dataset),
            variations=subject.variations,
            conditions=error_rows(wrong),
            attacks=attacks,
            flat=flat,
            findings=findings(attacks),
            threshold=kept,
            blanks=blanks,
            foreign=others,
            condition_changes=comparisons(wrong, first[0]),
            attack_changes=comparisons(turned, first[1]),
        )
        first = first if first[0] else (wrong, turned)
    return RobustnessReport(
        data=dataset.description,
        data_sha256=dataset.sha256(),
        test_images=len(test),
        attacked_images=len(chosen) if chosen else 0,
        seed=seed,
        steps=STEPS,
        networks=found,
        versions=versions_of(torch, load_onnxruntime(), np),
        processor=this_processor(),
    )


def under_conditions(
    subjects: Sequence[MeasuredNetwork], test: Split, conditions: Sequence[Condition], *, seed: int, tell: Tell
) -> list[Mistakes]:
    """Each network's mistakes under each condition, whose images are made once for all networks."""
    wrong: list[Mistakes] = [{} for _ in subjects]
    for number, condition in enumerate(conditions, 1):
        tell(f"condition {number} of {len(conditions)}: {condition.kind}")
        images = varied(test.images, condition, seed=seed)
        for subject, found in zip(subjects, wrong, strict=True):
            found[condition.kind, condition.amount] = wrong_answers(subject.lengths(images), test.labels)
    return wrong


def under_attack(
    network: CapsNet, split: Split, epsilons: Sequence[float], *, seed: int, tell: Tell, loss: Loss = margin_loss
) -> tuple[Mistakes, float]:
    """The mistakes under each attack, and the share of images on which the loss is flat."""
    pixels, labels = on_device(split, torch.device("cpu"))
    images = normalized(pixels)
    # All attack sizes share a random start, scaled by epsilon.
    start = torch.from_numpy(random_of(seed, "attack").uniform(-1, 1, tuple(images.shape))).float()
    parts: list[Mistakes] = []
    flat = 0
    for batch in torch.split(torch.arange(len(images)), BATCH):
        tell(f"attacked {int(batch[0]):,} of {len(images):,} images")
        wrong, level = _attacked(network, images[batch], labels[batch], start[batch], epsilons, loss)
        parts.append(wrong)
        flat += level
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, flat / len(images)


def _attacked(
    network: CapsNet,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, "batch labels"],
    start: Float[Tensor, "batch channels height width"],
    epsilons: Sequence[float],
    loss: Loss,
) -> tuple[Mistakes, int]:
    """Attack one batch; PGD on the gap of lengths runs only on images that withstood all other attacks so far."""
    clean, gradient = slopes(network, images, labels, loss)
    wrong: Mistakes = {CLEAN: clean}
    strongest = clean
    for epsilon in sorted(epsilons):
        one = mistakes(network, fgsm(images, gradient, epsilon), labels)
        many = mistakes(network, pgd(network, images, labels, epsilon, loss=loss, start=start), labels)
        strongest = strongest | one | many
        left = torch.from_numpy(np.flatnonzero(~strongest))
        if len(left):
            last = pgd(network, images[left], labels[left], epsilon, loss=length_gap, start=start[left])
            strongest[left.numpy()] = mistakes(network, last, labels[left])
        wrong |= {("fgsm", epsilon): one, ("pgd", epsilon): many, ("strongest", epsilon): strongest}
    return wrong, int((gradient == 0).flatten(1).all(1).sum())


def against_foreign(
    subject: MeasuredNetwork, validation: Split, test: Split, strangers: Mapping[str, NDArray[np.uint8]]
) -> tuple[Threshold, tuple[Blank, ...], tuple[ForeignRow, ...]]:
    """The threshold on the longest length, and its results on blank and foreign images."""
    chosen, reported = (subject.lengths(split.images).max(1) for split in (validation, test))
    limit = threshold(chosen)
    kept = float((reported >= limit).mean())
    blanks = [
        Blank(
            name=name,
            length=float(each.max()),
            answer=subject.classes[each.argmax()],
            rejected=bool(each.max() < limit),
        )
        for name, each in zip(BLANKS, subject.lengths(blank_images(subject.shape)), strict=True)
    ]
    return (
        Threshold(
            length=limit,
            validation_images=len(chosen),
            validation_kept=float((chosen >= limit).mean()),
            test_images=len(reported),
            test_kept=kept,
            test_kept_standard_error=standard_error(kept, len(reported)),
        ),
        tuple(blanks),
        tuple(
            _foreign_row(name, subject.lengths(images).max(1), reported, limit) for name, images in strangers.items()
        ),
    )


def _foreign_row(name: str, longest: Lengths, own: Lengths, limit: float) -> ForeignRow:
    above, rejected = float((longest > HALF).mean()), float((longest < limit).mean())
    area, deviation = auroc(own, longest)
    return ForeignRow(
        name=name,
        images=len(longest),
        above_half=above,
        above_half_standard_error=standard_error(above, len(longest)),
        auroc=area,
        auroc_standard_error=deviation,
        rejected=rejected,
        rejected_standard_error=standard_error(rejected, len(longest)),
    )


def error_rows(wrong: Mistakes) -> tuple[ErrorRow, ...]:
    """The error of each condition or attack, with its change from the unchanged images."""
    return tuple(_error_row(key, each, wrong[CLEAN]) for key, each in wrong.items())


def _error_row(key: Key, wrong: NDArray[np.bool_], clean: NDArray[np.bool_]) -> ErrorRow:
    kind, amount = key
    error, change = float(wrong.mean()), paired_difference([wrong], [clean])
    return ErrorRow(
        kind=kind,
        amount=amount,
        images=len(wrong),
        error=error,
        standard_error=standard_error(error, len(wrong)),
        change=change.mean,
        change_low=change.low,
        change_high=change.high,
    )


def comparisons(wrong: Mistakes, first: Mistakes) -> tuple[ErrorDifference, ...]:
    """The differences of the errors from the first network's, for the conditions that both have."""
    return tuple(_comparison(key, each, first[key]) for key, each in wrong.items() if key in first)


def _comparison(key: Key, wrong: NDArray[np.bool_], first: NDArray[np.bool_]) -> ErrorDifference:
    found = paired_difference([wrong], [first])
    return ErrorDifference(kind=key[0], amount=key[1], mean=found.mean, low=found.low, high=found.high)


def findings(attacks: Sequence[ErrorRow]) -> tuple[WeakAttack, ...]:
    """Signs that the attacks are too weak."""
    return tuple(_findings({(row.kind, row.amount): row for row in attacks}))


def _findings(rows: Mapping[Key, ErrorRow]) -> Iterator[WeakAttack]:
    for kind, epsilon in rows:
        if kind != "pgd" or epsilon is None:
            continue
        row = rows["pgd", epsilon]
        one, strongest = rows["fgsm", epsilon].error, rows["strongest", epsilon].error
        if row.error < one:
            yield WeakAttack(code="pgd-below-fgsm", epsilon=epsilon, error=row.error, beside=one)
        if epsilon >= CHECK_EPSILON and row.error < CHECK_ERROR:
            yield WeakAttack(code="pgd-withstood", epsilon=epsilon, error=row.error, beside=CHECK_ERROR)
        if epsilon >= CHECK_EPSILON and strongest < CHECK_ERROR:
            yield WeakAttack(code="all-withstood", epsilon=epsilon, error=strongest, beside=CHECK_ERROR)
        if strongest - row.error > SURE * row.standard_error:
            yield WeakAttack(code="margin-loss-misses", epsilon=epsilon, error=row.error, beside=strongest)


def _check(subject: MeasuredNetwork, dataset: Dataset) -> None:
    if subject.shape != dataset.shape:
        wanted, given = (" x ".join(map(str, shape)) for shape in (subject.shape, dataset.shape))
        raise ModelError(
            f"'{subject.name}' expects images of {wanted}, got {given} from '{dataset.name}': give --data"
        )
    if subject.classes != dataset.classes:
        raise ModelError(
            f"'{subject.name}' expects the classes {', '.join(subject.classes)}, got {', '.join(dataset.classes)} "
            f"from '{dataset.name}': give --data"
        )


def _trained_on(subject: MeasuredNetwork, dataset: Dataset) -> bool:
    """Whether it was trained on this data, by the images' hash, or by the description if there is no hash."""
    if subject.data_sha256 is None:
        return subject.data == dataset.description
    return subject.data_sha256 == dataset.sha256()


def _of(subject: MeasuredNetwork, tell: Tell) -> Tell:
    return lambda text: tell(f"{subject.name}: {text}")
