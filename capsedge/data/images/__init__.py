"""From an image file to the pixels of an input: decoding, inverting, fitting.

Training and inference share these functions, so that a network gets the same inputs in both.
"""

from capsedge.data.images.background import (
    JUDGED,
    Background,
    Exchanges,
    Glance,
    Invert,
    Sheet,
    Turning,
    are_on_dark,
    background_of,
    fitted_both_ways,
    glance,
    turning,
    wants_dark_background,
)
from capsedge.data.images.decode import FORMATS, IMAGE_SUFFIXES, decode_image, header, is_hidden, read_image
from capsedge.data.images.fit import fit_image, fit_images, is_plain
from capsedge.data.images.modes import BLACK, WHITE, lay_on

__all__ = [
    "BLACK",
    "FORMATS",
    "IMAGE_SUFFIXES",
    "JUDGED",
    "WHITE",
    "Background",
    "Exchanges",
    "Glance",
    "Invert",
    "Sheet",
    "Turning",
    "are_on_dark",
    "background_of",
    "decode_image",
    "fit_image",
    "fit_images",
    "fitted_both_ways",
    "glance",
    "header",
    "is_hidden",
    "is_plain",
    "lay_on",
    "read_image",
    "turning",
    "wants_dark_background",
]
