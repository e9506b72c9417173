"""From an image file to the pixels of an input: decoding, turning light and dark, fitting.

Training and inference share these functions, so that a network sees at the edge what it saw in training.
"""

from capsedge.data.images.decode import FORMATS, IMAGE_SUFFIXES, decode_image, header, is_hidden, read_image
from capsedge.data.images.fit import fit_image, fit_images
from capsedge.data.images.ground import Invert, is_dark_on_light, wants_dark_ground
from capsedge.data.images.modes import BLACK, WHITE, lay_on

__all__ = [
    "BLACK",
    "FORMATS",
    "IMAGE_SUFFIXES",
    "WHITE",
    "Invert",
    "decode_image",
    "fit_image",
    "fit_images",
    "header",
    "is_dark_on_light",
    "is_hidden",
    "lay_on",
    "read_image",
    "wants_dark_ground",
]
