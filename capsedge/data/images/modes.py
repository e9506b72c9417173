"""Pillow's many modes of pixels as four: grey or colour of 8 bits, with transparency or without."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

BLACK, WHITE = 0, 255

_SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"}) | _SIXTEEN_BIT_MODES
# Tags of TIFF, which EXIF shares.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
# From one shade to the next where grey has 1, 2 or 4 bits.
_STEPS = {"1": 255, "L;2": 85, "L;4": 17}


class Stored(NamedTuple):
    """What the header of a file says of its pixels, and Pillow's mode does not.

    Attributes:
        grey: Whether the file is grey.
        white: The value of 16-bit grey that is white: 4095 in a TIFF of 12 bits.
        negative: Whether 0 is white, in a TIFF of 16 bits; Pillow turns those of 8 bits and fewer itself.
        transparent: The colour or the shades that are transparent, on the scale of Pillow's pixels; None for none.
    """

    grey: bool
    white: int
    negative: bool
    transparent: int | tuple[int, ...] | bytes | None


def stored(image: Image.Image) -> Stored:
    """Read the header of an image that is open and not yet decoded."""
    packed = _packed(image)
    tags: Any = getattr(image, "tag_v2", {})
    bits = int((tags.get(_BITS_PER_SAMPLE) or (16,))[0])
    return Stored(
        grey=image.mode in _GREY_MODES or packed == "LA;16B",  # which Pillow reads as RGBA
        white=(1 << bits) - 1 if bits < 16 else 65535,
        negative=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        transparent=_transparent(image.info.get("transparency"), packed),
    )


def plain(image: Image.Image, said: Stored) -> Image.Image:
    """Turn any mode into L or RGB; into LA or RGBA where parts are transparent.

    Args:
        image: Decoded pixels.
        said: What the file's header said of them.

    Raises:
        ValueError: The pixels are floating-point numbers, or have more than 16 bits.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bits(image, said)
    if said.transparent is not None:
        image.info["transparency"] = said.transparent
    mode = "L" if said.grey else "RGB"
    return _converted(image, mode + "A" if image.has_transparency_data else mode)


def lay_on(image: Image.Image, ground: int = BLACK) -> Image.Image:
    """Lay what is transparent on black or on white: c a / 255 + ground (1 - a / 255), rounded.

    Args:
        image: As `read_image` gives it.
        ground: 0 to 255.

    Returns:
        An image of mode L or RGB.
    """
    if image.mode not in ("LA", "RGBA"):
        return image
    mode = image.mode.removesuffix("A")
    below = Image.new(mode, image.size, ground if mode == "L" else (ground,) * 3)
    below.paste(image.convert(mode), mask=image.getchannel("A"))
    return below


def upright(image: Image.Image) -> Image.Image:
    """Turn and mirror decoded pixels as the EXIF orientation says; where EXIF itself is damaged, they stay."""
    image.load()  # a TIFF is turned by Pillow here
    try:
        lies = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # any kind, as for damaged pixels; but the picture can be seen
        return image
    if not lies:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _packed(image: Image.Image) -> str:
    """How Pillow will unpack the pixels, such as `LA;16B`; "" where it does not say."""
    tiles = getattr(image, "tile", None) or [("", (), 0, "")]
    arguments: Any = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _transparent(value: Any, packed: str) -> Any:
    """Bring a transparent colour of PNG, which has the file's bits, to the scale of the pixels."""
    if isinstance(value, int) and packed in _STEPS:
        return min(value * _STEPS[packed], 255)  # of 1 bit newer releases of Pillow give 255 already
    if isinstance(value, tuple) and packed == "RGB;16B":
        return tuple(part >> 8 for part in value)
    return value


def _sixteen_bits(image: Image.Image, said: Stored) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its pixels have more than 16 bits; save it with 8 bits a channel")
    # White in 16 bits times 255 fits into 32. Row by row, so that a large image takes no more than its own pixels.
    shades = np.empty(pixels.shape, np.uint8)
    for row, into in zip(pixels, shades, strict=True):
        into[:] = (np.minimum(row, said.white).astype(np.uint32) * 255 + said.white // 2) // said.white
    if said.negative:
        np.subtract(255, shades, out=shades)
    grey = Image.fromarray(shades)
    if isinstance(said.transparent, int):
        grey.putalpha(Image.fromarray(np.where(pixels != said.transparent, np.uint8(255), np.uint8(0))))
    return grey


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)
