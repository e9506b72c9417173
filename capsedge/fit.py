"""Conversion of an image of any size and colour to an input: set by the recipe, stored in the contract."""

from typing import Literal

import msgspec

Frame = Literal["pad", "crop", "stretch", "figure"]
Levels = Literal["as-is", "full"]


class Fit(msgspec.Struct, frozen=True):
    """How an image of any size and colour is converted to an input.

    Attributes:
        resize: Pillow's filter, used only if the size differs.
        frame: `pad` keeps the whole image and its aspect ratio on a black background; `crop` fills the frame and cuts
            off the rest; `stretch` ignores the aspect ratio; `figure` crops to the object on a plain background,
            scales it to one size and centres it, or pads if there is no object (`capsedge.data.images.figure`).
        levels: `as-is` keeps the shades; `full` stretches the contrast of each image from black to white.
    """

    resize: Literal["bilinear", "bicubic", "lanczos", "nearest"] = "bilinear"
    frame: Frame = "pad"
    levels: Levels = "as-is"
