"""Small data sets in the user's formats, and a machine that holds nothing else."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

IdxBytes = Callable[[NDArray[np.uint8]], bytes]
IdxFolder = Callable[..., Path]
ImageFolder = Callable[..., Path]
CifarFolder = Callable[..., Path]

CIFAR_STEMS = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CIFAR_NAMES = b"airplane automobile bird cat deer dog frog horse ship truck".split()


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


def python_2_pickle(value: object) -> bytes:
    """What Python 2's cPickle (protocol 2) wrote into CIFAR-10's files, from the list of opcodes in pickletools."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    match value:
        case int():
            return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        case bytes():
            return (
                b"U" + bytes([len(value)]) + value
                if len(value) < 256
                else b"T" + struct.pack("<i", len(value)) + value
            )
        case list():
            return b"](" + b"".join(map(_opcodes, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_opcodes(key) + _opcodes(each) for key, each in value.items()) + b"u"
        case np.ndarray():
            kind = b"cnumpy\ndtype\n" + _opcodes(value.dtype.str[1:].encode()) + b"K\0K\1\x87R"
            kind += b"(K\3U\1|NNNJ" + b"\xff" * 4 + b"J" + b"\xff" * 4 + b"K\0tb"
            empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
            shape = b"(" + b"".join(map(_opcodes, value.shape)) + b"t"
            by_columns = value.flags.f_contiguous and not value.flags.c_contiguous
            content = _opcodes(value.tobytes("F" if by_columns else "C"))
            return empty + b"(K\1" + shape + kind + (b"\x88" if by_columns else b"\x89") + content + b"tb"
    raise TypeError(type(value))


def cifar_file(stem: str, count: int = 10) -> tuple[NDArray[np.uint8], list[int]]:
    """Rows [count, 3072] of random bytes and the labels 0, 1, ..., 9, 0, ...; other bytes in each file."""
    random = np.random.RandomState(CIFAR_STEMS.index(stem))
    return random.randint(0, 256, (count, 3072)).astype(np.uint8), [number % 10 for number in range(count)]


@pytest.fixture
def cifar_folder() -> CifarFolder:
    """Write CIFAR-10 with few images: the files, or the archive that the files are distributed in."""

    def write(folder: Path, version: str, *, packed: bool = False, count: int = 10) -> Path:
        contents = {}
        for stem in CIFAR_STEMS:
            rows, labels = cifar_file(stem, count)
            if version == "binary":
                contents[f"{stem}.bin"] = b"".join(
                    bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True)
                )
            else:
                names = [b"%d.png" % number for number in range(count)]
                contents[stem] = python_2_pickle(
                    {b"data": rows, b"labels": labels, b"batch_label": b"a batch", b"filenames": names}
                )
        if version == "binary":
            contents["batches.meta.txt"] = b"\n".join(CIFAR_NAMES) + b"\n\n"
        else:
            contents["batches.meta"] = python_2_pickle({b"num_cases_per_batch": count, b"label_names": CIFAR_NAMES})
        folder.mkdir(parents=True)
        if packed:
            _pack(
                folder / f"cifar-10-{version}.tar.gz",
                f"cifar-10-batches-{version[:2].replace('bi', 'bin')}",
                contents,
            )
        else:
            for name, content in contents.items():
                (folder / name).write_bytes(content)
        return folder

    return write


def _pack(path: Path, folder: str, contents: dict[str, bytes]) -> None:
    """In another order than that of the numbers, as in the published archives."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in reversed([*contents.items(), ("readme.html", b"see the page")]):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
