"""The Python interface: a model that is loaded once, predicts from any thread, and can be pickled."""

import ctypes
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, get_args, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.contract import Contract
from capsedge.data.images import Invert
from capsedge.errors import DataError, WrongUse
from capsedge.runtime.infer.classify import Broken, Prediction, classify
from capsedge.runtime.infer.sources import Given, Images, ImageSource
from capsedge.runtime.models import BUILTIN_NAME, find_model
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session, contract_needed
from capsedge.runtime.settings import DEFAULTS, Settings
from capsedge.runtime.verify import Verification, verify

One: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Image.Image
Array: TypeAlias = NDArray[np.uint8]


def load(model: str | Path = BUILTIN_NAME, settings: Settings = DEFAULTS) -> "Model":
    """Load a model.

    Args:
        model: Path of an `.onnx` file, of an `.engine` file or of a run's folder; `builtin`, or the name of a model
            of the zoo (`capsedge models` lists them).
        settings: Provider, threads and other options, such as `capsedge.Settings(provider="cuda", threads=1)`.

    Raises:
        WrongUse: There is no such file or name.
        ModelError: The file is damaged, or was not made by `capsedge export`.
        ProviderError: The requested hardware or library is not available.
        MissingExtra: No ONNX Runtime is installed.
    """
    return Model(find_model(model), settings)


class Model:
    """An exported model that classifies images.

    Threads may share it, and it can be pickled: a copy in another process opens the file there on its first call. So
    does a forked process, because ONNX Runtime's threads do not survive a fork.

    Attributes:
        file: The file it was loaded from.
        settings: The settings it was loaded with.
        contract: Its contract: input, classes, scores, the gate's verdict.
    """

    _process: int
    _lock: threading.Lock
    _held: "_Held | None"

    def __init__(self, file: Path, settings: Settings = DEFAULTS) -> None:
        """Open the file; `load` also takes names."""
        self.file, self.settings = file.absolute(), settings
        self._clear()
        with self._using() as session:
            self.contract: Contract = contract_needed(session)
            self._provider = session.provider

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return self.contract.classes

    @property
    def provider(self) -> str:
        """The execution provider that the runtime reports."""
        return self._provider

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self, images: One, *, top: int | None = ..., threshold: float | None = ..., invert: Invert = ...
    ) -> Prediction: ...

    @overload
    def predict(  # type: ignore[overload-overlap]  # and so is an array
        self, images: Array, *, top: int | None = ..., threshold: float | None = ..., invert: Invert = ...
    ) -> Prediction | list[Prediction]: ...

    @overload
    def predict(
        self,
        images: Iterable[One | Array],
        *,
        top: int | None = ...,
        threshold: float | None = ...,
        invert: Invert = ...,
        batch: int = ...,
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: One | Array | Iterable[One | Array],
        *,
        top: int | None = None,
        threshold: float | None = None,
        invert: Invert = "auto",
        batch: int = 32,
    ) -> Prediction | list[Prediction]:
        """Classify images of any size and colour; they are fitted as in training.

        Args:
            images: One image: the path of a file, the bytes of a file, a file opened in binary mode, a Pillow image,
                or a uint8 array [height, width] or [height, width, 1 or 3]. Or many: an iterable of these, or an
                array [N, height, width, channels].
            top: Number of classes to name, 1 or more, including the answer; None for the answer and the next best.
            threshold: The answer is every class whose capsule is at least this long, 0 to 1; it may have no class.
            invert: Whether to invert dark objects on a light background: `auto` inverts where the network was trained
                on light objects on a dark background.
            batch: Images in a batch.

        Returns:
            One prediction for one image, else a list in the order of the images.

        Raises:
            DataError: An image cannot be read.
            WrongUse: The argument is not an image, or is a folder, which `stream` takes.
        """
        check(batch, invert, top)
        given, alone = _given(images)
        with self._using() as session:
            answers = list(classify(session, given, batch=batch, top=top, threshold=threshold, invert=invert))
        for answer in answers:
            if isinstance(answer, Broken):
                raise DataError(answer.error)
        predictions = [answer for answer in answers if isinstance(answer, Prediction)]
        return predictions[0] if alone else predictions

    def stream(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        top: int | None = None,
        threshold: float | None = None,
        invert: Invert = "auto",
        batch: int = 32,
    ) -> Iterator[Prediction | Broken]:
        """Classify any number of images in bounded memory; a broken one is reported in its place.

        Args:
            paths: A file, a folder (at any depth), a glob or a zip archive, or several of them.
            top: See `predict`.
            threshold: See `predict`.
            invert: See `predict`.
            batch: See `predict`.

        Raises:
            DataError: A path does not exist, or a folder holds no image.
            WrongUse: An argument is not a path; `predict` takes arrays, bytes and Pillow images.
        """
        check(batch, invert, top)
        named = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        for path in named:
            if not isinstance(path, str | os.PathLike):
                raise WrongUse(
                    f"stream: expected paths, got {_kind(path)}", "predict takes arrays and images in memory"
                )
        found = Images([Path(path) for path in named])
        return self._streamed(found, batch=batch, top=top, threshold=threshold, invert=invert)

    def _streamed(self, found: Images, **asked: Any) -> Iterator[Prediction | Broken]:
        with self._using() as session:
            yield from classify(session, found, **asked)

    def verify(self) -> Verification:
        """Replay the golden sample on this machine and compare the hashes; no data set is needed."""
        with self._using() as session:
            return verify(session)

    def close(self) -> None:
        """Free the model's memory once running calls have ended; the next call opens the file again."""
        if self._process != os.getpid():
            self._forget_parent()
        with self._lock:
            held, self._held = self._held, None
            if held is None:
                return
            held.dropped = True
            idle = not held.users
        if idle:
            held.session.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):  # at interpreter shutdown, modules that close needs may be gone
            self.close()

    def __repr__(self) -> str:
        return f"<capsedge.Model {self.file} of {len(self.classes)} classes>"

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "settings": self.settings, "contract": self.contract, "_provider": self._provider}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clear()

    def _clear(self) -> None:
        self._process, self._lock, self._held = os.getpid(), threading.Lock(), None

    def _forget_parent(self) -> None:
        """Leak the parent's session after a fork: freeing it would wait for threads that do not exist here."""
        if self._held is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._held))
        self._clear()

    @contextmanager
    def _using(self) -> Iterator[Session]:
        """Give the session, and keep it open within the `with` block."""
        if self._process != os.getpid():
            self._forget_parent()
        with self._lock:
            if self._held is None:
                self._held = _Held(open_session(self.file, self.settings))
            held = self._held
            held.users += 1
        try:
            yield held.session
        finally:
            with self._lock:
                held.users -= 1
                last = held.dropped and not held.users
            if last:
                held.session.close()


class _Held:
    """An open session, the number of calls that use it, and whether the last of them must close it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0
        self.dropped = False


def check(batch: int, invert: str, top: int | None = None) -> None:
    """Check the options of a prediction.

    Raises:
        WrongUse: The batch or the number of classes is below 1, or `invert` has an unknown value.
    """
    if top is not None and top < 1:
        raise WrongUse(f"top: expected 1 or more classes, got {top}")
    if batch < 1:
        raise WrongUse(f"batch: expected 1 or more images, got {batch}")
    if invert not in get_args(Invert):
        raise WrongUse(f"invert: expected {', '.join(get_args(Invert))}, got {invert!r}")


def _given(images: One | Array | Iterable[One | Array]) -> tuple[list[ImageSource], bool]:
    """The images as sources, and whether a single image was given."""
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    if isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray) or hasattr(images, "read"):
        return [_source(images, "the image")], True
    if not isinstance(images, Iterable):
        raise WrongUse(f"expected an image, an array of images or an iterable of images, got {_kind(images)}")
    return [_source(image, f"image {number}") for number, image in enumerate(images)], False


def _source(image: Any, name: str) -> ImageSource:
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if path.is_dir():
            raise WrongUse(f"'{path}' is a folder: Model.stream takes folders, globs and archives")
        return Given(str(path), path)
    if hasattr(image, "read") and not isinstance(image, Image.Image):
        image = image.read()
        if isinstance(image, str):
            raise WrongUse(
                f"{name}: expected a file that is open in binary mode, got one in text mode", "open it by 'rb'"
            )
    if isinstance(image, bytes | Image.Image):
        return Given(name, image)
    if isinstance(image, np.ndarray):
        known = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
        if image.dtype != np.uint8 or not known or not image.size:
            raise WrongUse(
                f"{name}: expected uint8 [height, width] or [height, width, 1 or 3], got {image.dtype} "
                f"{list(image.shape)}"
            )
        return Given(name, Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image))
    raise WrongUse(f"{name}: expected a path, bytes, an open file, a Pillow image or an array, got {_kind(image)}")


def _kind(value: object) -> str:
    """The qualified name of a value's type, such as `pathlib.PosixPath`."""
    module = type(value).__module__
    return type(value).__qualname__ if module == "builtins" else f"{module}.{type(value).__qualname__}"
