"""Checking, without a data set, that a model on this machine computes what the trained network computed."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract, Golden
from capsedge.errors import ModelError
from capsedge.golden import unpack_images
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.plural import number_of
from capsedge.runtime.batches import run_batches
from capsedge.runtime.integrity import altered_weights, check_onnx
from capsedge.runtime.session import Session, SessionWarning, contract_needed
from capsedge.scoring import wrong_answers


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Result of replaying the golden sample and comparing the hashes.

    Attributes:
        model: The model's name.
        file: Its file.
        provider: The execution provider that ran it.
        images: Number of images in the golden sample.
        largest_difference: Largest absolute difference of a length, or None where one is not a number.
        tolerance: Largest difference that the contract accepts.
        same_class: Number of images with the golden sample's answer: the same longest capsule, or the same set of
            longest capsules where an image shows several classes.
        weights: Number of weights with a hash in the contract.
        altered_weights: Names of weights that differ, are missing or were added.
        problems: One clause for each deviation from the contract; none means that the model is as it was exported.
        warnings: Those of the session.
    """

    model: str
    file: str
    provider: str
    images: int
    largest_difference: float | None
    tolerance: float
    same_class: int
    weights: int
    altered_weights: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[SessionWarning, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no deviation was found."""
        return not self.problems


def verify(session: Session) -> Verification:
    """Replay the golden sample one by one and as one batch, and compare the hashes of an ONNX file.

    The hash of an engine, which its manifest holds, was compared when it was loaded.

    Raises:
        ModelError: The model has no contract, or its golden sample is damaged.
    """
    contract = contract_needed(session)
    images, expected = golden_sample(contract)
    answers = np.stack([run_batches(session, images, batch).lengths for batch in (1, len(images))])
    finite = bool(np.isfinite(answers).all())
    largest = float(np.abs(answers - expected).max()) if finite else None
    wrong = np.any([wrong_answers(lengths, contract.answer(expected)) for lengths in answers], axis=0)
    same = ~wrong & finite
    altered, problems = _altered(session, contract)
    return Verification(
        model=session.name,
        file=str(session.file),
        provider=session.provider,
        images=len(images),
        largest_difference=largest,
        tolerance=contract.golden.tolerance,
        same_class=int(same.sum()),
        weights=len(contract.weights_sha256),
        altered_weights=altered,
        problems=(*problems, *_sample_problems(contract.golden, largest, same)),
        warnings=session.warnings,
    )


def golden_sample(contract: Contract) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Unpack the golden images, and their lengths as [images, classes].

    Raises:
        ModelError: The sample is empty or damaged.
    """
    golden = contract.golden
    rows = {len(row) for row in golden.lengths}
    if not golden.labels or len(golden.lengths) != len(golden.labels) or rows != {len(contract.classes)}:
        raise ModelError(
            f"the golden sample must hold lengths of {len(contract.classes)} classes for each of its "
            f"{number_of(len(golden.labels), 'image')}, and does not",
            "export the model again",
        )
    return unpack_images(golden, contract.input.shape), np.array(golden.lengths)


def _sample_problems(golden: Golden, largest: float | None, same: NDArray[np.bool_]) -> list[str]:
    if largest is None:
        return ["a length is not a number"]
    problems = []
    if largest > golden.tolerance:
        problems.append(f"a length is off by {largest:.2g}, {golden.tolerance:.2g} is accepted")
    if not same.all():
        problems.append(f"another answer for {int((~same).sum())} of {number_of(len(same), 'image')}")
    return problems


def _altered(session: Session, contract: Contract) -> tuple[tuple[str, ...], list[str]]:
    """Names of weights that differ from the contract, and one clause for each hash of an ONNX file that differs."""
    if session.file.suffix != ".onnx":
        return (), []
    file = read_onnx_file(session.file)
    return altered_weights(file, contract), [check.said for check in check_onnx(file, contract) if not check.holds]
