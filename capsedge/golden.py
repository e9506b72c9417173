"""The golden sample's images, encoded as text for the contract."""

import base64
import math
import zlib

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Golden
from capsedge.errors import ModelError


def pack_images(images: NDArray[np.uint8]) -> str:
    """Compress images and encode them in base64 for `Golden.images`.

    Args:
        images: uint8 [count, height, width, channels].
    """
    return base64.b64encode(zlib.compress(np.ascontiguousarray(images).tobytes(), 9)).decode()


def unpack_images(golden: Golden, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode the images of `pack_images`.

    Args:
        golden: The sample.
        shape: Height, width and channels of one image.

    Returns:
        uint8 [count, height, width, channels].

    Raises:
        ModelError: The sample is damaged.
    """
    size = len(golden.labels) * math.prod(shape)
    try:
        raw = _inflated(base64.b64decode(golden.images, validate=True), size)
        return np.frombuffer(raw, np.uint8).reshape(len(golden.labels), *shape)
    except (ValueError, zlib.error) as error:
        raise ModelError(f"the golden sample is damaged ({error})", "export the model again") from error


def _inflated(content: bytes, size: int) -> bytes:
    """Decompress at most the expected size, since a few bytes can expand to gigabytes."""
    stream = zlib.decompressobj()
    raw = stream.decompress(content, max_length=size + 1)
    if not stream.eof:
        raise ValueError("it is cut off, or longer than its images")
    return raw
