"""From an image file to the pixels of an input: decoding, turning light and dark, fitting.

Training and inference share these functions, so that a network sees at the edge what it saw in training.
"""

from capsedge.data.images.decode import FORMATS, IMAGE_SUFFIXES, decode_image, header, is_hidden, read_image
from capsedge.data.images.fit import fit_image, fit_images, is_plain
from capsedge.data.images.ground import (
    JUDGED,
    Exchanges,
    Glance,
    Ground,
    Invert,
    Sheet,
    Turning,
    are_on_dark,
    fitted_both_ways,
    glance,
    ground_of,
    turning,
    wants_dark_ground,
)
from capsedge.data.images.modes import BLACK, WHITE, lay_on

__all__ = [
    "BLACK",
    "FORMATS",
    "IMAGE_SUFFIXES",
    "JUDGED",
    "WHITE",
    "Exchanges",
    "Glance",
    "Ground",
    "Invert",
    "Sheet",
    "Turning",
    "are_on_dark",
    "decode_image",
    "fit_image",
    "fit_images",
    "fitted_both_ways",
    "glance",
    "ground_of",
    "header",
    "is_hidden",
    "is_plain",
    "lay_on",
    "read_image",
    "turning",
    "wants_dark_ground",
]
