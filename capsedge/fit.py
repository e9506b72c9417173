"""How an image of any size and colour becomes an input: chosen for a training, promised by the exported model."""

from typing import Literal

import msgspec

Frame = Literal["pad", "crop", "stretch", "figure"]
Levels = Literal["as-is", "full"]


class Fit(msgspec.Struct, frozen=True):
    """How an image of any size and colour becomes an input.

    Attributes:
        resize: Filter of Pillow, used only where the size differs.
        frame: `pad` keeps the whole image and its aspect on a black background; `crop` fills the frame and cuts what
            hangs over; `stretch` ignores the aspect; `figure` shows what stands out from an even background, always
            equally large and in the middle, and pads where nothing does (`capsedge.data.images.figure`).
        levels: `as-is` leaves the shades; `full` spreads those of each image from black to white.
    """

    resize: Literal["bilinear", "bicubic", "lanczos", "nearest"] = "bilinear"
    frame: Frame = "pad"
    levels: Levels = "as-is"
