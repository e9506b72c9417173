"""Inverting: detects images of something dark on a light background for networks that expect the opposite."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.data.images.figure import find_figure, is_on_even_background, outermost
from capsedge.data.images.fit import fit_image
from capsedge.data.images.modes import WHITE, lay_on
from capsedge.fit import Fit

Invert = Literal["auto", "yes", "no"]
JUDGED = 24  # images in the sample that decides for images that are unclear alone

# The rule was measured on all 70,000 images of Fashion-MNIST, as they are and inverted: docs/images.md.
_SIDE = 32
_DARK, _LIGHT = 85, 170  # a third and two thirds of white
_ALIKE = 32
_MOST = 0.6
_CONTRAST = 8
_STROKE, _STROKE_CONTRAST = 5, 32
_ENOUGH = 3
_NAMED = 3


class Background(NamedTuple):
    """Background of an image.

    Attributes:
        kind: `light` for something dark on an even, light background; `dark`; None if neither is clear.
        holds_dark: Whether the image shows something darker than the background.
    """

    kind: Literal["light", "dark"] | None
    holds_dark: bool


def background_of(image: Image.Image) -> Background:
    """Classify an image's background.

    The image is converted to grey and reduced to 32 x 32 by averaging. Its outermost pixels are the border. The
    background is light if their median is 170 or more, and even if 60 % of them are within 32 of that median. The
    image shows something dark if the mean of the other pixels is lower than the median by 8 or more, or if five of
    them are lower by 32 or more (a thin stroke hardly changes the mean), or if something darker stands out at a
    higher resolution (`find_figure`: a small thing covers fewer than five of these pixels). The background is dark if
    the median is 85 or less.

    Args:
        image: From `lay_on`, with transparent parts on white.
    """
    pixels = _small(image)
    border, inner = outermost(pixels), pixels[1:-1, 1:-1]
    background = float(np.median(border))
    stroke = np.count_nonzero(inner <= background - _STROKE_CONTRAST) >= _STROKE
    holds_dark = bool(stroke or inner.mean() <= background - _CONTRAST)
    if background <= _DARK:
        return Background("dark", holds_dark)
    even = float(np.mean(np.abs(border - background) <= _ALIKE)) >= _MOST
    if not holds_dark:
        figure = find_figure(image, 1, 1)
        holds_dark = figure is not None and figure.darker
    return Background("light" if background >= _LIGHT and even and holds_dark else None, holds_dark)


class Sheet(NamedTuple):
    """An image fitted both as it is and inverted, for a later choice (`Turning.choose`).

    Attributes:
        background: Background of the image.
        as_is: Fitted as it is, with transparent parts on black.
        turned: Fitted and inverted, with transparent parts on white before inversion.
    """

    background: Background
    as_is: NDArray[np.uint8]
    turned: NDArray[np.uint8]


def fitted_both_ways(image: Image.Image, shape: tuple[int, int, int], fit: Fit) -> Sheet:
    """Fit an image from `read_image` for `Turning.choose`."""
    on_white = lay_on(image, WHITE)
    return Sheet(
        background_of(on_white), fit_image(lay_on(image), shape, fit), fit_image(on_white, shape, fit, invert=True)
    )


@dataclass(frozen=True)
class Turning:
    """Rule for the images to invert before inference.

    Attributes:
        how: `yes` inverts all images, `no` none, `auto` those that show something dark on a light background.
        unclear: With `auto`, whether to invert also images of something dark whose background is neither clearly
            light nor dark, such as a sheet of paper in the shadow.
    """

    how: Invert
    unclear: bool = False

    def turns(self, background: Background) -> bool:
        """Whether to invert an image."""
        if self.how != "auto":
            return self.how == "yes"
        return background.kind == "light" or (self.unclear and background.kind is None and background.holds_dark)

    def choose(self, sheet: Sheet) -> tuple[NDArray[np.uint8], bool]:
        """The pixels, [height, width, channels], and whether they are inverted."""
        turned = self.turns(sheet.background)
        return sheet.turned if turned else sheet.as_is, turned

    def fitted(self, image: Image.Image, shape: tuple[int, int, int], fit: Fit) -> tuple[NDArray[np.uint8], bool]:
        """Fit an image from `read_image`; returns the pixels in the given shape, and whether they are inverted."""
        if self.how == "no":
            return fit_image(lay_on(image), shape, fit), False
        on_white = lay_on(image, WHITE)
        turned = self.turns(background_of(on_white))
        return fit_image(on_white if turned else lay_on(image), shape, fit, invert=turned), turned


def turning(how: Invert, *, dark_background: bool, sample: Iterable[Background] = ()) -> Turning:
    """Make the rule for the images to invert.

    Args:
        how: The user's choice.
        dark_background: Whether the network expects a dark background (`wants_dark_background`); otherwise `auto`
            inverts nothing.
        sample: Backgrounds of some of the images. If three or more are clearly light, and more than twice as many as
            are dark, unclear images are also inverted.
    """
    if how != "auto" or not dark_background:
        return Turning("yes" if how == "yes" else "no")
    kinds = [background.kind for background in sample]
    light = kinds.count("light")
    return Turning("auto", unclear=light >= _ENOUGH and light > 2 * kinds.count("dark"))


class Exchanges:
    """Counts inverted and other images, for a remark if there are both.

    Attributes:
        made: Number of inverted images.
    """

    def __init__(self) -> None:
        self.made = 0
        self._others = 0
        self._first: dict[bool, list[str]] = {True: [], False: []}

    def add(self, name: str, *, turned: bool) -> None:
        """Count an image."""
        self.made += turned
        self._others += not turned
        if len(self._first[turned]) <= _NAMED:
            self._first[turned].append(name)

    def remark(self) -> str:
        """One line if some images were inverted and others were not, otherwise ""."""
        if not self.made or not self._others:
            return ""
        few, total = self.made <= self._others, self.made + self._others
        names = self._first[few]
        named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        counts = f"only {self.made:,} of {total:,} images"
        if not few:
            counts = f"{self.made:,} of {total:,} images, and not in {self._others:,}"
        return f"light and dark were exchanged in {counts}: {named}"


class Glance(NamedTuple):
    """Background of an original image, before fitting.

    Attributes:
        even: Whether something stands out from a background of nearly one colour.
        border: Its outermost pixels, in grey, of the image reduced to 32 x 32.
    """

    even: bool
    border: NDArray[np.int64]


def glance(image: Image.Image) -> Glance:
    """Measure the background of an image before it is fitted, because padding is not background."""
    return Glance(is_on_even_background(image), outermost(_small(image)))


def are_on_dark(glances: Sequence[Glance]) -> bool:
    """Whether images have a dark background: the median of all their outermost pixels is below a third of white."""
    return bool(glances) and float(np.median(np.concatenate([each.border for each in glances]))) < _DARK


def wants_dark_background(images: NDArray[np.uint8]) -> bool:
    """Whether a network was trained on light things on a dark background, decided by its golden sample.

    True if the images are grey and the median of all their outermost pixels is below 85, a third of white. Images in
    colour are assumed to be photographs.

    Args:
        images: Images of the golden sample, uint8 [count, height, width, channels].
    """
    if images.shape[3] != 1 or min(images.shape[:3]) < 1:
        return False
    borders = np.concatenate([outermost(image[..., 0]) for image in images])
    return float(np.median(borders)) < _DARK


def _small(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.int64)
