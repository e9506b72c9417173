"""Decoding: an image file as an image viewer shows it, in grey or in colour, with 8 bits per channel."""

import ctypes
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError, _imaging

from capsedge.data.images.modes import lay_on, plain, stored, upright
from capsedge.errors import DataError
from capsedge.outside import encodable

# Listed, because Pillow would otherwise pass some files to other programs (EPS to Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
# Suffixes of images in a folder; a file that is named directly may have any suffix.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm")

_OPENING = threading.Lock()


def _silence_libtiff() -> None:
    """Keep libtiff from writing lines about damaged files to stderr.

    Pillow raises an error for such a file anyway, and silences only libtiff's warnings. libtiff has one handler for
    the whole process, so it is set once, at import. Where Pillow hides the function (Windows), the lines remain.
    """
    with suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler  # also finds it in the libtiff that it links
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


_silence_libtiff()


def decode_image(source: Path | bytes, *, name: str = "") -> Image.Image:
    """Read an image as an image viewer shows it, in grey or in colour, on a black background.

    The EXIF orientation is applied. Transparent parts become black. 16-bit grey is scaled to 8 bits (65535 becomes
    255). Palettes, CMYK and the like become RGB. An animation gives its first frame. docs/images.md has the formulas.

    Args:
        source: A file, or the bytes of one.
        name: Name of the image in errors; by default the file's path.

    Returns:
        An image of mode L if the file is grey, otherwise RGB.

    Raises:
        DataError: The file is missing, damaged, not an image, or larger than Pillow's limit against decompression
            bombs.
    """
    return lay_on(read_image(source, name=name))


def read_image(source: Path | bytes | Image.Image, *, name: str = "") -> Image.Image:
    """Read an image as `decode_image` does, and keep its transparency for `lay_on`.

    Args:
        source: See `decode_image`; or an image that was opened with Pillow.
        name: See `decode_image`.

    Returns:
        An image of mode L or RGB; LA or RGBA if parts of it are transparent.

    Raises:
        DataError: See `decode_image`.
    """
    with _opened(source, name) as image:
        header = stored(image)  # before the pixels are decoded, because decoding drops these fields
        turned = upright(image)
        return plain(turned.copy() if turned is source else turned, header)  # the caller's image stays unchanged


def is_hidden(path: Path) -> bool:
    """Whether a path below a searched folder is hidden, such as the `._a.png` that macOS writes beside `a.png`."""
    return any(part.startswith(".") for part in path.parts)


class Header(NamedTuple):
    """Size and colour of an image file, from its first bytes.

    Attributes:
        width: Stored width in pixels; EXIF may exchange it with the height.
        height: Stored height in pixels.
        grey: Whether `decode_image` returns mode L.
    """

    width: int
    height: int
    grey: bool


def header(path: Path) -> Header:
    """Read the header of an image file; the pixels after it may still be damaged.

    Raises:
        DataError: The file is missing or not an image.
    """
    with _opened(path, "") as image:
        return Header(*image.size, stored(image).grey)


class _File(BufferedReader):
    """An open file that allocates for a read no more than it has left: a damaged PNG may ask for 4 GB."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self._bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.BufferedReader.read`."""
        if size is None or size < 0 or not self._bytes:  # a pipe does not know its size
            return super().read(size)
        return super().read(min(size, max(0, self._bytes - self.tell())))


@contextmanager
def _opened(source: Path | bytes | Image.Image, name: str) -> Iterator[Image.Image]:
    called = name or (f"'{encodable(str(source))}'" if isinstance(source, Path) else "the image")
    try:
        if isinstance(source, Image.Image):
            yield source
            return
        # An open file, never a path: Pillow memory-maps some TIFFs that it opens by path, and scrambles the pixels of
        # rotated ones.
        with BytesIO(source) if isinstance(source, bytes) else _File(source) as file, _open(file) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"there is no image {called}") from error
    except Exception as error:
        # Any kind: damaged bytes raise OSError, SyntaxError, struct.error, KeyError and more in Pillow's decoders.
        reason = "it is empty" if _is_empty(source, error) else _reason(error)
        raise DataError(f"{called} cannot be read as an image: {reason}") from error


def _open(file: BinaryIO) -> Image.Image:
    # Between its limit and twice its limit Pillow only warns, so the warning becomes an error. The lock is needed
    # because warning filters are shared by all threads.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def _is_empty(source: Path | bytes | Image.Image, error: Exception) -> bool:
    if not isinstance(error, UnidentifiedImageError):
        return False
    if isinstance(source, Path):
        return source.is_file() and not source.stat().st_size
    return source == b""


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
