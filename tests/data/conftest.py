"""Small data sets in the user's formats, and a machine that holds nothing else."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

IdxBytes = Callable[[NDArray[np.uint8]], bytes]
IdxFolder = Callable[..., Path]
ImageFolder = Callable[..., Path]


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data sets; gives the folder that is the user's cache."""
    monkeypatch.delenv("CAPSEDGE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("capsedge.data.known.SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "cache" / "capsedge"


@pytest.fixture
def idx_bytes() -> IdxBytes:
    """The IDX format written down a second time, from its description."""

    def encode(values: NDArray[np.uint8]) -> bytes:
        sides = b"".join(struct.pack(">I", side) for side in values.shape)
        return bytes([0, 0, 8, values.ndim]) + sides + values.tobytes()

    return encode


@pytest.fixture
def idx_folder(idx_bytes: IdxBytes) -> IdxFolder:
    """Write the four files of a data set: each image is filled with its position."""

    def write(
        folder: Path,
        *,
        train_labels: list[int],
        test_labels: list[int],
        side: int = 4,
        name: str = "{prefix}-{kind}-idx{dims}-ubyte",
        zipped: bool = False,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for prefix, labels in (("train", train_labels), ("t10k", test_labels)):
            images = np.repeat(np.arange(len(labels), dtype=np.uint8), side * side).reshape(-1, side, side)
            for kind, dims, values in (("images", 3, images), ("labels", 1, np.array(labels, np.uint8))):
                content = idx_bytes(values)
                path = folder / name.format(prefix=prefix, kind=kind, dims=dims)
                path.write_bytes(gzip.compress(content) if zipped else content)
        return folder

    return write


@pytest.fixture
def image_folder() -> ImageFolder:
    """Write images by their path, such as "train/cat/1.png"; each is (mode, size, colour)."""

    def write(folder: Path, images: dict[str, tuple[str, tuple[int, int], int | tuple[int, ...]]]) -> Path:
        for name, (mode, size, colour) in images.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, size, colour).save(path)
        return folder

    return write
