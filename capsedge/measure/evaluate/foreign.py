"""Evaluating a classifier without a contract: its input is read from the file, the rest comes from options."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError, ModelError, WrongUse
from capsedge.fit import Fit, Frame
from capsedge.measure.evaluate.remark import eval_remark
from capsedge.measure.evaluate.subject import EvaluatedNetwork
from capsedge.runtime.batches import in_batches
from capsedge.runtime.session import Session

Pixels = Literal["unit", "signed", "imagenet", "bytes"]
Layout = Literal["nchw", "nhwc"]

_BATCH = 32
# torchvision's normalization for ImageNet, in R, G, B: https://docs.pytorch.org/vision/stable/models.html
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TOLERANCE = 1e-3


def foreign_subject(
    session: Session,
    *,
    classes: tuple[str, ...],
    pixels: Pixels | None = None,
    size: int = 0,
    layout: Layout | None = None,
    frame: Frame = "pad",
) -> EvaluatedNetwork:
    """Describe a classifier without a contract for an evaluation.

    Its only input must be images, [batch, channels, height, width] or [batch, height, width, channels]; one of its
    outputs must have a score for each class. Scores outside 0 to 1 pass through a softmax, which changes no answer.

    Args:
        session: The open model.
        classes: Class names in the order of its scores.
        pixels: Range of its input: `unit` for 0 to 1, `signed` for -1 to 1, `imagenet` for torchvision's
            normalization, `bytes` for 0 to 255. None for bytes where the input is an integer type, else for 0 to 1
            with a remark.
        size: Height and width of its input in pixels where the file leaves them open, else 0.
        layout: Order of its axes; None to read it from the file.
        frame: How images with another aspect ratio are fitted.

    Raises:
        WrongUse: The size, layout, pixels or classes do not match the file.
        ModelError: The file is not an image classifier.
    """
    name, shape, channels_first = _input(session, size, layout)
    dtype = next(iter(session.feeds(session.batch_limits[0] if session.batch_limits else 1).values())).dtype
    chosen = _pixels(session, dtype, pixels)
    meant = "0 to 1" if chosen == "unit" else "bytes of 0 to 255"
    how = f"images are fitted to {shape[1]}x{shape[0]} by --frame {frame}, and none is inverted"
    assumed = [eval_remark("assumed-fit", how, width=shape[1], height=shape[0])]
    if pixels is None:
        assumed.insert(0, eval_remark("assumed-pixels", f"no --pixels was given: they are handed over as {meant}"))

    def lengths(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        for part, count in in_batches(session, images, _BATCH):
            values = _numbers(part, chosen).astype(dtype)
            given = session.run_raw({name: values.transpose(0, 3, 1, 2) if channels_first else values})
            parts.append(_scores(session, given, len(part), classes)[:count])
        return _within_one(np.concatenate(parts))

    return EvaluatedNetwork(
        name=session.name,
        classes=classes,
        shape=shape,
        fit=Fit(frame=frame),
        dark_background=False,
        run=None,
        lengths=lengths,
        remarks=tuple(assumed),
    )


def class_names(given: str) -> tuple[str, ...]:
    """Comma-separated names, or those of a file with a name on each line.

    Raises:
        WrongUse: There are fewer than two names, or one occurs twice.
        DataError: The file is missing or cannot be read.
    """
    file = Path(os.path.expanduser(given))  # noqa: PTH111  keeps the ~ of an unknown user
    if file.name != given and "," not in given and not file.exists():  # a path, not a name
        raise DataError(f"--classes: there is no file '{given}'")
    names = _lines(file) if file.is_file() else [name.strip() for name in given.split(",")]
    named = tuple(name for name in names if name)
    if len(named) < 2:
        raise WrongUse(
            "--classes: expected two class names or more in the order of the model's outputs, a,b,c or a file with a "
            f"name on each line, got '{given}'"
        )
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise WrongUse(f"--classes names '{twice}' twice")
    return named


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--classes '{file}' cannot be read as text ({error})") from error


def _input(session: Session, size: int, layout: Layout | None) -> tuple[str, tuple[int, int, int], bool]:
    """Name, [height, width, channels] and whether the channels are first, for the only input."""
    declared = session.axes()
    inputs = ", ".join(f"{name} [{', '.join(_axis(axis) for axis in axes)}]" for name, axes in declared.items())
    name, axes = next(iter(declared.items()))
    ways: dict[Layout, int | None] = {"nchw": axes[1], "nhwc": axes[3]} if len(axes) == 4 else {}
    if len(declared) != 1 or not {*ways.values()} & {1, 3}:
        raise ModelError(
            f"'{session.name}' takes {inputs}, and one input of images is expected: [batch, channels, height, width] "
            "or [batch, height, width, channels] with 1 or 3 channels"
        )
    likely: list[Layout] = [way for way, channels in ways.items() if channels in (1, 3)]
    if layout is None and len(likely) > 1:
        raise WrongUse(
            f"'{session.name}' takes {inputs}, which may be either order", "say which by --layout nchw or nhwc"
        )
    chosen = layout or likely[0]
    if chosen not in likely:
        raise WrongUse(f"'{session.name}' takes {inputs}, which is not {chosen}", "leave out --layout")
    channels = ways[chosen]
    sides = axes[2:] if chosen == "nchw" else axes[1:3]
    if None in sides and not size:
        raise WrongUse(f"'{session.name}' takes images of any size ({inputs})", "give --size")
    height, width = (side or size for side in sides)
    if size and (height, width) != (size, size):
        raise WrongUse(
            f"--size: expected {width}x{height}, the size that '{session.name}' takes, got {size}", "leave it out"
        )
    assert channels is not None
    return name, (height, width, channels), chosen == "nchw"


def _axis(axis: int | None) -> str:
    return "any" if axis is None else str(axis)


def _pixels(session: Session, dtype: np.dtype[Any], pixels: Pixels | None) -> Pixels:
    """The range of the input's pixels; only floating-point types hold fractions."""
    if dtype.kind == "f":
        return pixels or "unit"
    if dtype.kind not in "ui" or np.iinfo(dtype).max < 255:
        raise ModelError(f"'{session.name}' takes {dtype}, which does not hold pixels of 0 to 255")
    if pixels not in (None, "bytes"):
        raise WrongUse(f"'{session.name}' takes {dtype}, and --pixels {pixels} are fractions", "leave it out")
    return "bytes"


def _numbers(images: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.generic]:
    if pixels == "bytes":
        return images
    unit = images.astype(np.float32) / 255
    if pixels == "signed":
        return 2 * unit - 1
    if pixels == "imagenet":
        channels = images.shape[3]
        mean, std = (np.array(each, np.float32) for each in (_IMAGENET_MEAN, _IMAGENET_STD))
        return (unit - mean) / std if channels == 3 else (unit - mean.mean()) / std.mean()
    return unit


def _scores(
    session: Session, given: dict[str, NDArray[np.generic]], images: int, classes: tuple[str, ...]
) -> NDArray[np.float32]:
    wanted = images, len(classes)
    for array in given.values():
        flat = array.reshape(len(array), -1) if array.ndim else array
        if array.dtype.kind == "f" and flat.shape == wanted:
            return flat.astype(np.float32)
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in given.items())
    raise WrongUse(
        f"--classes names {len(classes)} classes, and for {images} images '{session.name}' gives {shapes}, none with "
        f"{len(classes)} scores for each",
        "give one name for each score",
    )


def _within_one(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    usable = np.isfinite(scores.max(axis=1))  # of single scores, -inf is the logarithm of 0
    found = scores[usable]
    if not len(found) or (found.min() >= -_TOLERANCE and found.max() <= 1 + _TOLERANCE):
        return scores
    powers = np.exp(found - found.max(axis=1, keepdims=True))
    shares = np.full_like(scores, np.nan)
    shares[usable] = powers / powers.sum(axis=1, keepdims=True)
    return shares
