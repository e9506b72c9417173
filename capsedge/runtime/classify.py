"""Image files in, predictions out."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.data.images import IMAGE_SUFFIXES, decode_image, fit_image, is_hidden
from capsedge.errors import DataError, WrongUse
from capsedge.runtime.batches import run_batches
from capsedge.runtime.session import Session, contract_needed

STDIN = Path("-")


class Guess(msgspec.Struct, frozen=True):
    """A class and the length of its capsule: how strongly it is present, 0 to 1, independent of the others."""

    class_name: str = msgspec.field(name="class")
    length: float


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model sees in an image.

    Attributes:
        path: The file.
        class_name: The class of the longest capsule.
        length: Its length. Lengths are not probabilities: two classes can both be near 1, and all near 0.
        next_best: The classes that follow, longest first.
        also: The other classes of the answer, where an image shows several (`Contract.labels`), longest first.
    """

    path: str
    class_name: str = msgspec.field(name="class")
    length: float
    next_best: tuple[Guess, ...]
    also: tuple[Guess, ...] = ()

    @property
    def answer(self) -> tuple[Guess, ...]:
        """All classes of the answer, longest first."""
        return Guess(self.class_name, self.length), *self.also


class Broken(msgspec.Struct, frozen=True):
    """An image that could not be read, and why."""

    path: str
    error: str


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List image files: a file as it is, a folder's images at any depth and sorted, `-` for standard input.

    Raises:
        WrongUse: A path does not exist, or a folder holds no image.
    """
    return [file for path in paths for file in _images_at(path)]


def classify(
    session: Session, files: Sequence[Path], *, batch: int = 32, top: int | None = None
) -> Iterator[Prediction | Broken]:
    """Classify image files; one that cannot be read is reported in its place, and the others go on.

    Args:
        session: A model with a contract.
        files: Image files; `-` is read from standard input.
        batch: Images that run at once.
        top: Classes to name for each image, the answer included, which is always whole; None names one more.

    Yields:
        One answer a file, in their order.

    Raises:
        ModelError: The model has no contract, or fails.
    """
    contract = contract_needed(session)
    for start in range(0, len(files), batch):
        part = files[start : start + batch]
        read = [_read(file, contract) for file in part]
        images = [image for image in read if isinstance(image, np.ndarray)]
        lengths = iter(run_batches(session, np.stack(images), batch).lengths if images else ())
        for file, image in zip(part, read, strict=True):
            if isinstance(image, np.ndarray):
                yield _prediction(file, next(lengths), contract, top)
            else:
                yield Broken(_shown(file), image)


def _images_at(path: Path) -> list[Path]:
    if path == STDIN or path.is_file():
        return [path]
    if not path.is_dir():
        raise WrongUse(f"there is no image file or folder '{path}'")
    inside = (file for file in path.rglob("*") if not is_hidden(file.relative_to(path)))
    found = sorted(file for file in inside if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not found:
        raise WrongUse(f"the folder '{path}' holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return found


def _read(file: Path, contract: Contract) -> NDArray[np.uint8] | str:
    """Decode and fit one image, or say why not."""
    try:
        image = decode_image(sys.stdin.buffer.read() if file == STDIN else file)
        return fit_image(image, contract.input.shape, contract.fit)
    except DataError as error:
        return str(error).encode("utf-8", errors="replace").decode()


def _prediction(file: Path, lengths: NDArray[np.float32], contract: Contract, top: int | None) -> Prediction:
    # A stable sort: of two capsules of one length, the first class wins, as argmax has it.
    order = np.argsort(-lengths, kind="stable")[: max(top or contract.labels + 1, contract.labels)]
    first, *others = (Guess(contract.classes[index], float(lengths[index])) for index in order)
    also, next_best = others[: contract.labels - 1], others[contract.labels - 1 :]
    return Prediction(_shown(file), first.class_name, first.length, tuple(next_best), tuple(also))


def _shown(file: Path) -> str:
    """A file's name as text that can be printed, also where its bytes are not UTF-8."""
    return os.fsencode(file).decode("utf-8", errors="replace")
