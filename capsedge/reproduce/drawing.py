"""Shared by the figures: colours, style, a canvas without a display, pixels in JSON, and writing of PNG files."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.errors import require
from capsedge.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which are distinct for any colour vision; each kind has the same in every figure.
COLOURS = {
    "dynamic": "#000000",
    "l2": "#0072B2",
    "l1": "#E69F00",
    "frozen": "#009E73",
    "backprop": "#D55E00",
    "kl": "#CC79A7",
    "em": "#56B4E9",
}
GREY = "#8a8a8a"
DPI = 150
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


class Pixels(msgspec.Struct, frozen=True):
    """An array of uint8; in JSON its bytes are base64.

    Attributes:
        shape: Its shape.
        data: Its bytes, last axis fastest.
    """

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: NDArray[np.uint8]) -> Self:
        """Make one from an array of any shape."""
        return cls(array.shape, np.ascontiguousarray(array).tobytes())

    def array(self) -> NDArray[np.uint8]:
        """The array, in `shape`."""
        return np.frombuffer(self.data, np.uint8).reshape(self.shape)


def canvas(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches, without a display and without pyplot's global state."""
    require("matplotlib", extra="paper")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def styled() -> AbstractContextManager[None]:
    """A context with the style of all figures."""
    require("matplotlib", extra="paper")
    from matplotlib import rc_context

    return rc_context(_STYLE)


def save_png(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def show_pixels(axes: "Axes", image: NDArray[np.uint8]) -> None:
    """Draw [height, width, channels] as a picture without axes."""
    axes.imshow(image.squeeze(2) if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def mosaic(images: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Arrange images [count, height, width, channels] in rows on white, with gaps in pixels."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def wrapped(text: str, columns: int) -> str:
    """A title whose lines are wrapped to a number of columns."""
    return "\n".join("\n".join(wrap(line, columns)) for line in text.splitlines())


def percent_axis(axis: "Axes", ticks: Sequence[float]) -> None:
    """Set the ticks of a logarithmic percent axis, with plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
