"""Real data sets and images in the user's formats, as uint8 arrays; no torch here."""

from capsedge.data.dataset import Dataset
from capsedge.data.fetch import download
from capsedge.data.images import decode_image, fit_image
from capsedge.data.load import load_dataset
from capsedge.data.overlap import Overlaid
from capsedge.data.split import Split

__all__ = ["Dataset", "Overlaid", "Split", "decode_image", "download", "fit_image", "load_dataset"]
