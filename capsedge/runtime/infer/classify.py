"""Classifying images."""

from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.contract import Contract, Golden
from capsedge.data.images import (
    JUDGED,
    Invert,
    Sheet,
    Turning,
    fitted_both_ways,
    read_image,
    turning,
    wants_dark_background,
)
from capsedge.errors import DataError, WrongUse
from capsedge.golden import unpack_images
from capsedge.outside import encodable
from capsedge.runtime.batches import run_batches
from capsedge.runtime.infer.prefetch import prefetch
from capsedge.runtime.infer.sources import STDIN, File, Given, ImageSource, Stdin
from capsedge.runtime.infer.usual import unlike
from capsedge.runtime.session import Session, contract_needed

__all__ = ["Broken", "DetailedPrediction", "Guess", "Prediction", "classify", "predict"]


class Guess(msgspec.Struct, frozen=True):
    """A class and the length of its capsule: how strongly it is present, 0 to 1, independent of the others."""

    class_name: str = msgspec.field(name="class")
    length: float


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's answer for an image.

    Attributes:
        path: The file; for a member of an archive the archive's path followed by the member's.
        class_name: The class of the longest capsule; None where a threshold was given and no capsule reaches it.
        length: Length of the longest capsule. Where no class is named, this is the first of `next_best`. Lengths are
            not probabilities: two classes can both be near 1, and all can be near 0.
        next_best: The following classes, longest first.
        also: The other classes of the answer, longest first, where an image shows several (`Contract.labels`), or
            several reach the threshold.
        inverted: Whether the image was inverted (light and dark exchanged) before the network ran.
        unlike: Whether the image is unlike the training images (`capsedge.runtime.infer.usual`); also False where the
            contract has no statistics of them.
        picture: Path of the picture that `--visualize` drew.
    """

    path: str
    class_name: str | None = msgspec.field(name="class")
    length: float
    next_best: tuple[Guess, ...]
    also: tuple[Guess, ...] = ()
    inverted: bool = False
    unlike: bool = False
    picture: str = ""

    @property
    def answer(self) -> tuple[Guess, ...]:
        """All classes of the answer, longest first."""
        return () if self.class_name is None else (Guess(self.class_name, self.length), *self.also)


class Broken(msgspec.Struct, frozen=True):
    """An image that could not be read, and why."""

    path: str
    error: str


class DetailedPrediction(msgspec.Struct, frozen=True, eq=False):
    """A prediction with the arrays behind it.

    Attributes:
        prediction: The answer.
        pixels: uint8 [height, width, channels], the network's input.
        lengths: float32 [classes].
        reconstruction: As in `Outputs`, without the batch axis; None without a decoder.
    """

    prediction: Prediction
    pixels: NDArray[np.uint8]
    lengths: NDArray[np.float32]
    reconstruction: NDArray[np.float32] | None


def classify(
    session: Session,
    images: Iterable[ImageSource | Path],
    *,
    batch: int = 32,
    top: int | None = None,
    threshold: float | None = None,
    invert: Invert = "auto",
    read_ahead: bool = True,
) -> Iterator[Prediction | Broken]:
    """Classify images; `predict` also gives their pixels and lengths."""
    seen = predict(session, images, batch=batch, top=top, threshold=threshold, invert=invert, read_ahead=read_ahead)
    return (each if isinstance(each, Broken) else each.prediction for each in seen)


def predict(
    session: Session,
    images: Iterable[ImageSource | Path],
    *,
    batch: int = 32,
    top: int | None = None,
    threshold: float | None = None,
    invert: Invert = "auto",
    read_ahead: bool = True,
) -> Generator[DetailedPrediction | Broken, None, None]:
    """Classify images; one that cannot be read is reported in its place, and the others continue.

    Args:
        session: A model with a contract.
        images: Image sources; a path is a file, `-` is standard input.
        batch: Images in a batch.
        top: Number of classes to name for each image. The answer is always included in full; None names one more.
        threshold: The answer is every class whose capsule is at least this long, 0 to 1; None for the longest ones,
            as many as an image shows (`Contract.labels`).
        invert: Whether to invert dark objects on a light background: always, never, or where the image has a light
            background and the network was trained on a dark one (`wants_dark_background`). An image with an unclear
            background follows the first 24 images (or the first batch), if theirs is clear (`turning`).
        read_ahead: Decode the images of the next batches in threads while one runs. Without it, no image is requested
            before the previous batch is answered, and each background is judged alone.

    Yields:
        One answer for each image, in order.

    Raises:
        ModelError: The model has no contract, or fails.
        WrongUse: The threshold is not between 0 and 1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise WrongUse(f"threshold: expected a length of 0 to 1, got {threshold}")
    contract = contract_needed(session)
    reader = _ImageReader(contract, invert)
    sources = (_source(image) for image in images)
    most = 2 * batch if read_ahead else 0
    first: list[tuple[ImageSource, _Fitted | str]] = []
    if reader.turning.how == "auto" and read_ahead:
        first = reader.judged_together(
            prefetch(reader.read_both_ways, islice(sources, min(JUDGED, batch)), most=most)
        )
    read = chain(first, prefetch(reader.read, sources, most=most))
    while part := list(islice(read, batch)):
        given = [fitted for _, fitted in part if isinstance(fitted, _Fitted)]
        detailed = iter(_run(session, contract, given, batch) if given else ())
        for source, fitted in part:
            if isinstance(fitted, _Fitted):
                pixels, lengths, drawn, strange = next(detailed)
                prediction = _prediction(source.name, fitted, lengths, contract, top, threshold, strange=strange)
                yield DetailedPrediction(prediction, pixels, lengths, drawn)
            else:
                yield Broken(source.name, fitted)


class _Fitted(msgspec.Struct, frozen=True, eq=False):
    pixels: NDArray[np.uint8]
    inverted: bool


_Seen = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32] | None, bool]


class _ImageReader:
    """Decodes and fits images for one model; used by several threads."""

    def __init__(self, contract: Contract, invert: Invert) -> None:
        self.contract = contract
        dark = invert == "auto" and on_dark_background(contract)
        self.turning: Turning = turning(invert, dark_background=dark)

    def read(self, source: ImageSource) -> _Fitted | str:
        """Give the fitted pixels, or the error message."""
        try:
            return _Fitted(*self.turning.fitted(_image(source), self.contract.input.shape, self.contract.fit))
        except DataError as error:
            return _printable(error)

    def read_both_ways(self, source: ImageSource) -> Sheet | str:
        """Give the pixels as they are and inverted, to choose between them later; or the error message."""
        try:
            return fitted_both_ways(_image(source), self.contract.input.shape, self.contract.fit)
        except DataError as error:
            return _printable(error)

    def judged_together(
        self, sheets: Iterable[tuple[ImageSource, Sheet | str]]
    ) -> list[tuple[ImageSource, _Fitted | str]]:
        """Choose whether to invert the first images; they also decide for later images with unclear backgrounds."""
        seen = list(sheets)
        sample = [sheet.background for _, sheet in seen if not isinstance(sheet, str)]
        self.turning = turning("auto", dark_background=True, sample=sample)
        return [
            (source, sheet if isinstance(sheet, str) else _Fitted(*self.turning.choose(sheet)))
            for source, sheet in seen
        ]


def on_dark_background(contract: Contract) -> bool:
    """Whether a model was trained on light objects on a dark background."""
    if contract.dark_background is not None:
        return contract.dark_background
    return _sample_on_dark_background(contract.golden, contract.input.shape)


@lru_cache(maxsize=8)
def _sample_on_dark_background(golden: Golden, shape: tuple[int, int, int]) -> bool:
    """Judge the golden sample of a contract that does not say it; unpacking takes longer than an inference."""
    return wants_dark_background(unpack_images(golden, shape))


def _printable(error: DataError) -> str:
    return encodable(str(error))


def _image(source: ImageSource) -> Image.Image:
    content = source.read()
    return read_image(content, name="" if isinstance(content, Path) else _called(source))


def _source(image: ImageSource | Path) -> ImageSource:
    """The image as a source; standard input is read at once, in the caller's thread."""
    source = image if not isinstance(image, Path) else Stdin() if image == STDIN else File(image)
    return source.read_now() if isinstance(source, Stdin) else source


def _called(source: ImageSource) -> str:
    if isinstance(source, Given):
        return source.name
    return "standard input" if isinstance(source, Stdin) else f"'{source.name}'"


def _run(session: Session, contract: Contract, given: list[_Fitted], batch: int) -> Iterator[_Seen]:
    images = np.stack([fitted.pixels for fitted in given])
    outputs = run_batches(session, images, batch)
    drawn = [None] * len(given) if outputs.reconstruction is None else outputs.reconstruction
    strange = [False] * len(given)
    if contract.usual is not None:
        strange = unlike(images, outputs.lengths.max(1), contract.usual).tolist()
    return zip(images, outputs.lengths, drawn, strange, strict=True)


def _prediction(
    path: str,
    fitted: _Fitted,
    lengths: NDArray[np.float32],
    contract: Contract,
    top: int | None,
    threshold: float | None,
    *,
    strange: bool,
) -> Prediction:
    # Stable: of two capsules of equal length, the first class wins, as with argmax.
    order = np.argsort(-lengths, kind="stable")
    answers = contract.labels if threshold is None else int(np.count_nonzero(lengths >= threshold))
    named = [
        Guess(contract.classes[index], float(lengths[index])) for index in order[: max(top or answers + 1, answers)]
    ]
    return Prediction(
        path,
        named[0].class_name if answers else None,
        named[0].length,
        tuple(named[answers:]),
        tuple(named[1:answers]),
        fitted.inverted,
        strange,
    )
