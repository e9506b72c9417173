"""Conversion of an image of any size and colour to an input: set by the recipe, stored in the contract."""

from typing import Literal

import msgspec

Frame = Literal["pad", "crop", "stretch", "figure"]
Levels = Literal["as-is", "full"]

_FRAMES: dict[Frame, str] = {
    "pad": "scaled ({}) to fit, keeping the aspect ratio, on black",
    "crop": "scaled ({}) to fill the frame, keeping the aspect ratio, and cropped",
    "stretch": "stretched ({}) to the frame",
    "figure": "cropped to the object on a plain background and scaled ({})",
}


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

    @property
    def text(self) -> str:
        """What happens to an image of another size: "stretched (bilinear) to the frame"."""
        spread = ", with the contrast stretched from black to white" if self.levels == "full" else ""
        return _FRAMES[self.frame].format(self.resize) + spread
