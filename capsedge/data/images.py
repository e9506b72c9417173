"""From an image file to the pixels of an input: training and inference share these two functions."""

import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from capsedge.contract import Fit
from capsedge.errors import DataError

# Named one by one, because Pillow would otherwise hand some files to other programs (EPS to Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
# What a folder is searched for; a file that is named is tried whatever its name.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm")

_SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"}) | _SIXTEEN_BIT_MODES
_OPENING = threading.Lock()


def decode_image(source: Path | bytes, *, name: str = "") -> Image.Image:
    """Read an image as a person would see it, in grey or in colour.

    The EXIF orientation is applied. Transparent parts lie on black. 16-bit grey is scaled to 8 bits (65535 becomes
    255). Palettes, CMYK and the like become RGB. Of an animation the first frame is taken.

    Args:
        source: A file, or the bytes of one.
        name: What to call the image in an error; by default the file's path.

    Returns:
        An image of mode L where the file is grey, else RGB.

    Raises:
        DataError: The file is missing, damaged, not an image, or larger than Pillow's limit against decompression
            bombs.
    """
    with _opened(source, name) as image:
        return _plain(ImageOps.exif_transpose(image))


def is_hidden(path: Path) -> bool:
    """Whether a path below a searched folder is hidden, such as the `._a.png` that macOS leaves beside `a.png`."""
    return any(part.startswith(".") for part in path.parts)


def fit_image(image: Image.Image, shape: tuple[int, int, int], fit: Fit) -> NDArray[np.uint8]:
    """Turn an image of any size and colour into the pixels of an input.

    Grey is made of colour by the luma of ITU-R 601-2 as Pillow computes it: (299 R + 587 G + 114 B) / 1000. An image
    that already has the size passes untouched.

    Args:
        image: An image as `decode_image` gives it.
        shape: Height, width and channels (1 or 3) of the input.
        fit: The filter, and what happens where the aspects differ.

    Returns:
        uint8 [height, width, channels], in memory of its own.

    Raises:
        ValueError: The image has pixels that `decode_image` would refuse.
    """
    height, width, channels = shape
    coloured = _converted(_plain(image), "L" if channels == 1 else "RGB")
    if coloured.size != (width, height):
        coloured = _FRAMES[fit.frame](coloured, (width, height), Image.Resampling[fit.resize.upper()])
    return np.array(coloured, dtype=np.uint8).reshape(shape)


def fit_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Fit images [N, height, width, 1 or 3] to a square of `size` pixels with the default fit; 0 keeps their size."""
    if size == 0 or images.shape[1:3] == (size, size):
        return images
    channels = images.shape[3]
    planes = images[..., 0] if channels == 1 else images
    return np.stack([fit_image(Image.fromarray(plane), (size, size, channels), Fit()) for plane in planes])


def is_grey(path: Path) -> bool:
    """Whether `decode_image` would give mode L; reads only the file's header.

    Raises:
        DataError: The file is missing or not an image.
    """
    with _opened(path, "") as image:
        return image.mode in _GREY_MODES


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    called = name or ("the image" if isinstance(source, bytes) else f"'{source}'")
    try:
        with _open(source) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"there is no image {called}") from error
    except Exception as error:
        # Any kind: damaged bytes lead Pillow's decoders to OSError, SyntaxError, struct.error, KeyError and more.
        raise DataError(f"{called} cannot be read as an image: {_reason(error)}") from error


def _open(source: Path | bytes) -> Image.Image:
    # Between its limit and twice its limit Pillow only warns, which nobody would see. The lock is there because
    # the filters of warnings belong to all threads.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}, or its first bytes are damaged"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValueError | OSError | SyntaxError | struct.error) and str(error):
        return " ".join(str(error).split())
    return f"its bytes are damaged ({type(error).__name__})"


def _plain(image: Image.Image) -> Image.Image:
    """Turn any mode into L or RGB."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _eight_bits(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    return _over_black(image, mode) if image.has_transparency_data else _converted(image, mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its pixels have more than 16 bits; save it with 8 bits a channel")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))


def _over_black(image: Image.Image, mode: str) -> Image.Image:
    layered = image.convert("LA" if mode == "L" else "RGBA")
    ground = Image.new(mode, image.size)
    ground.paste(layered.convert(mode), mask=layered.getchannel("A"))
    return ground


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _stretch(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    return image.resize(size, resize)


def _pad(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    ground = Image.new(image.mode, size)
    ground.paste(image.resize(inner, resize), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return ground


def _crop(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = max(size[0] / image.width, size[1] / image.height)
    left = max(0.0, (image.width - size[0] / scale) / 2)
    top = max(0.0, (image.height - size[1] / scale) / 2)
    return image.resize(size, resize, box=(left, top, image.width - left, image.height - top))


_FRAMES: dict[str, Callable[[Image.Image, tuple[int, int], Image.Resampling], Image.Image]] = {
    "pad": _pad,
    "crop": _crop,
    "stretch": _stretch,
}
