"""Images that the tests of decoding and fitting share."""

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Image.Image:
    """Pixels that all differ from their neighbours."""
    width, height = size
    channels = {"L": 1, "RGB": 3}[mode]
    pixels = (np.arange(width * height * channels) * 37 % 256).astype(np.uint8)
    return Image.fromarray(pixels.reshape((height, width) if channels == 1 else (height, width, channels)))
