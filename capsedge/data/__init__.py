"""Real data sets and images in the user's formats, as uint8 arrays; no torch here.

Names are imported on first use: classifying an image needs no reader of data sets.
"""

from typing import TYPE_CHECKING

from capsedge.lazy import looked_up

if TYPE_CHECKING:
    from capsedge.data.dataset import Dataset
    from capsedge.data.fetch import download
    from capsedge.data.images import decode_image, fit_image
    from capsedge.data.load import load_dataset
    from capsedge.data.overlap import Overlaid
    from capsedge.data.split import Split

__all__ = ["Dataset", "Overlaid", "Split", "decode_image", "download", "fit_image", "load_dataset"]

__getattr__ = looked_up(
    __name__,
    {
        "Dataset": "dataset",
        "Overlaid": "overlap",
        "Split": "split",
        "decode_image": "images",
        "download": "fetch",
        "fit_image": "images",
        "load_dataset": "load",
    },
)
