"""The golden sample's images, as text that fits into a contract."""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Golden
from capsedge.errors import ModelError


def pack_images(images: NDArray[np.uint8]) -> str:
    """Deflate and base64 a batch of images for `Golden.images`."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(images).tobytes(), 9)).decode()


def unpack_images(golden: Golden, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Undo `pack_images`.

    Args:
        golden: The sample.
        shape: Height, width and channels of one image.

    Returns:
        uint8 [count, height, width, channels].

    Raises:
        ModelError: The sample is damaged.
    """
    try:
        raw = zlib.decompress(base64.b64decode(golden.images, validate=True))
        return np.frombuffer(raw, np.uint8).reshape(len(golden.labels), *shape)
    except (ValueError, zlib.error) as error:
        raise ModelError(f"the golden sample is damaged ({error}); export the model again") from error
