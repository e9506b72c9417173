"""A contact sheet: images of every class as inputs of a network, after decoding and fitting."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from capsedge.data.images.font import drawable, font_for
from capsedge.data.split import Split

COLUMNS = 12
SHEET_MARK = "capsedge data --sheet"  # in the metadata of the PNG file
_SMALLEST = 48  # side of an image on the sheet, in pixels; a smaller one is shown as whole multiples
_GAP, _LINE, _LETTERS = 4, 16, 10
_GROUND, _INK = (255, 255, 255), (0, 0, 0)


def sheet(split: Split, classes: Sequence[str], *, columns: int = COLUMNS) -> Image.Image:
    """Draw images of every class, spread evenly over the class, below its name and number of images.

    Args:
        split: Images with one label each.
        classes: Class names in the order of the labels.
        columns: Most images of a class.

    Returns:
        An RGB image.
    """
    height, width, _ = split.shape
    scale = -(-_SMALLEST // max(height, width))
    size = width * scale, height * scale
    row = size[1] + _LINE + 2 * _GAP
    picture = Image.new("RGB", (columns * (size[0] + _GAP) + _GAP, len(classes) * row + _GAP), _GROUND)
    draw = ImageDraw.Draw(picture)
    for label, name in enumerate(classes):
        members = np.flatnonzero(split.labels == label)
        top = label * row + _GAP
        title = drawable(f"{name}: {len(members):,}")
        draw.text((_GAP, top), title, fill=_INK, font=font_for(title, _LETTERS))
        count = min(columns, len(members))
        for place, member in enumerate(members[np.arange(count) * len(members) // max(count, 1)]):
            pixels = split.images[member]
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            shown = image.convert("RGB").resize(size, Image.Resampling.NEAREST)
            picture.paste(shown, (_GAP + place * (size[0] + _GAP), top + _LINE))
    return picture
