"""Converting Pillow's modes of pixels to four: grey or colour of 8 bits, with or without transparency."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

BLACK, WHITE = 0, 255

_SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"}) | _SIXTEEN_BIT_MODES
# Tags of TIFF and EXIF.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
_AT_ONCE = 1 << 18  # 16-bit pixels that are converted together: 1 MiB
# Distance between two shades of grey of 1, 2 and 4 bits, on the scale of 8 bits.
_STEPS = {"1": 255, "L;2": 85, "L;4": 17}


class Stored(NamedTuple):
    """Properties of a file's pixels that are in its header, but not in Pillow's mode.

    Attributes:
        grey: Whether the file is grey.
        white: The value of white in 16-bit grey: 4095 in a TIFF of 12 bits.
        negative: Whether 0 is white, in a TIFF of 16 bits; Pillow inverts those of 8 bits and fewer itself.
        transparent: The transparent colour or shades, on the scale of Pillow's pixels; None for none.
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


def plain(image: Image.Image, header: Stored) -> Image.Image:
    """Convert any mode to L or RGB; to LA or RGBA if parts are transparent.

    Args:
        image: Decoded pixels.
        header: The result of `stored` for the same file.

    Raises:
        ValueError: The pixels are floating-point numbers, or have more than 16 bits.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bits(image, header)
    if header.transparent is not None:
        image.info["transparency"] = header.transparent
    mode = "L" if header.grey else "RGB"
    return _converted(image, mode + "A" if image.has_transparency_data else mode)


def lay_on(image: Image.Image, background: int = BLACK) -> Image.Image:
    """Blend transparent parts with black or white: c a / 255 + background (1 - a / 255), rounded.

    Args:
        image: An image from `read_image`.
        background: 0 to 255.

    Returns:
        An image of mode L or RGB.
    """
    if image.mode not in ("LA", "RGBA"):
        return image
    mode = image.mode.removesuffix("A")
    below = Image.new(mode, image.size, background if mode == "L" else (background,) * 3)
    below.paste(image.convert(mode), mask=image.getchannel("A"))
    return below


def upright(image: Image.Image) -> Image.Image:
    """Rotate and mirror decoded pixels by the EXIF orientation; if EXIF is damaged, return them unchanged."""
    image.load()  # Pillow rotates a TIFF here
    try:
        rotated = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # any kind, as for damaged pixels; but the picture can be read
        return image
    if not rotated:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _packed(image: Image.Image) -> str:
    """Pillow's raw mode of the pixels, such as `LA;16B`; "" if there is none."""
    tiles = getattr(image, "tile", None) or [("", (), 0, "")]
    arguments: Any = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _transparent(value: Any, packed: str) -> Any:
    """Scale a transparent colour of a PNG from the file's bits to those of the decoded pixels."""
    if isinstance(value, int) and packed in _STEPS:
        return min(value * _STEPS[packed], 255)  # for 1 bit, newer releases of Pillow give 255
    if isinstance(value, tuple) and packed == "RGB;16B":
        return tuple(part >> 8 for part in value)
    return value


def _sixteen_bits(image: Image.Image, header: Stored) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its pixels have more than 16 bits; save it with 8 bits a channel")
    # A 16-bit value times 255 fits into 32 bits. A few rows at once, so that a large image needs little extra memory.
    shades = np.empty(pixels.shape, np.uint8)
    rows = max(1, _AT_ONCE // pixels.shape[1])
    for start in range(0, len(pixels), rows):
        part = np.minimum(pixels[start : start + rows], header.white).astype(np.uint32)
        shades[start : start + rows] = (part * 255 + header.white // 2) // header.white
    if header.negative:
        np.subtract(255, shades, out=shades)
    grey = Image.fromarray(shades)
    if isinstance(header.transparent, int):
        grey.putalpha(Image.fromarray(np.where(pixels != header.transparent, np.uint8(255), np.uint8(0))))
    return grey


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)
