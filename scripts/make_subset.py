"""Make the shipped part of Fashion-MNIST: `capsedge/data/fashion-mnist-subset/` and the images in `samples/`.

The selection follows a fixed rule: the first 200 training and the first 100 test images of each class, in the order
of the files. The samples are the next test image of each class, the 101st.

    python scripts/make_subset.py [/usr/share/datasets/fashion-mnist]
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from capsedge.data.idx import Part, find_idx, read_idx, write_idx  # noqa: E402 - the checkout, installed or not
from capsedge.data.known import KNOWN, SUBSET, SYSTEM_FOLDER  # noqa: E402

TRAIN_PER_CLASS = 200
TEST_PER_CLASS = 100


def first_of_each(labels: NDArray[np.uint8], count: int, *, skip: int = 0) -> NDArray[np.int64]:
    """Indices, ascending, of the first `count` images of each class after its first `skip`."""
    members = [np.flatnonzero(labels == label)[skip : skip + count] for label in np.unique(labels)]
    return np.sort(np.concatenate(members)).astype(np.int64)


def write_subset(full: Path, target: Path) -> None:
    """Write the four IDX files of the subset.

    Args:
        full: The folder of the whole data set.
        target: The folder of the subset.
    """
    parts: tuple[tuple[Part, str, int], ...] = (("train", "train", TRAIN_PER_CLASS), ("test", "t10k", TEST_PER_CLASS))
    for part, prefix, count in parts:
        images, labels = _read(full, part)
        chosen = first_of_each(labels, count)
        write_idx(target / f"{prefix}-images-idx3-ubyte.gz", images[chosen])
        write_idx(target / f"{prefix}-labels-idx1-ubyte.gz", labels[chosen])


def write_samples(full: Path, target: Path) -> None:
    """Write one test image of each class that is not in the subset, as `<class>-<position in t10k>.png`."""
    images, labels = _read(full, "test")
    target.mkdir(parents=True, exist_ok=True)
    for position in first_of_each(labels, 1, skip=TEST_PER_CLASS):
        name = KNOWN["fashion-mnist"].classes[labels[position]]
        Image.fromarray(images[position]).save(target / f"{name}-{position}.png", optimize=True)


def _read(full: Path, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images, labels = find_idx(full, part, "images"), find_idx(full, part, "labels")
    if images is None or labels is None:
        sys.exit(f"'{full}' does not hold Fashion-MNIST; install Debian's package dataset-fashion-mnist")
    return read_idx(images), read_idx(labels)


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SYSTEM_FOLDER / "fashion-mnist"
    write_subset(source, ROOT / "capsedge" / "data" / SUBSET)
    write_samples(source, ROOT / "samples")
