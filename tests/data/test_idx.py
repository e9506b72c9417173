"""IDX files: what is read, what is refused and in which words."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data.idx import find_idx, idx_files, load_idx, read_idx, write_idx
from capsedge.errors import DataError

IdxBytes = Callable[[NDArray[np.uint8]], bytes]
IdxFolder = Callable[..., Path]

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["some-idx3-ubyte", "some-idx3-ubyte.gz"])
def test_a_file_is_read_by_its_content_whatever_its_name(
    tmp_path: Path, idx_bytes: IdxBytes, name: str, zipped: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(idx_bytes(VALUES)) if zipped else idx_bytes(VALUES))
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, VALUES)
    assert read.flags.writeable  # torch warns of arrays that are not


def test_a_written_file_has_the_bytes_of_the_format(tmp_path: Path, idx_bytes: IdxBytes) -> None:
    write_idx(tmp_path / "a", VALUES)
    assert (tmp_path / "a").read_bytes() == idx_bytes(VALUES)


def test_a_gzipped_file_has_neither_name_nor_time_and_is_the_same_each_time(
    tmp_path: Path, idx_bytes: IdxBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "a.gz", VALUES)
    monkeypatch.setattr("time.time", lambda: 1.0)
    write_idx(tmp_path / "b.gz", VALUES)
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert content[3] == 0  # RFC 1952: FLG without FNAME
    assert content[4:8] == bytes(4)  # MTIME
    assert gzip.decompress(content) == idx_bytes(VALUES)


def damaged(idx: bytes) -> dict[str, tuple[bytes, str]]:
    return {
        "an empty file": (b"", "not an IDX file: it ends within its header"),
        "a header cut off": (idx[:9], "not an IDX file: it ends within its header"),
        "text": (b"hello, world", "not an IDX file: it begins with 68656c6c"),
        "no dimensions": (b"\0\0\x08\0", "not an IDX file"),
        "too many dimensions": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "not an IDX file"),
        "floats": (b"\0\0\x0d\1" + struct.pack(">If", 1, 0.5), "holds float32 values; only unsigned bytes"),
        "a value too few": (idx[:-1], r"states 2 x 3 x 4 = 24 values and holds 23: get it again"),
        "a value too many": (idx + b"\0", r"states 2 x 3 x 4 = 24 values and holds more: get it again"),
        "more than any memory": (b"\0\0\x08\3" + b"\xff" * 12, "79,228,162,458,924,105,385,300,197,375 values"),
    }


@pytest.mark.parametrize("case", list(damaged(b"")))
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_file_is_one_line_that_names_it(
    tmp_path: Path, idx_bytes: IdxBytes, case: str, zipped: bool
) -> None:
    content, text = damaged(idx_bytes(VALUES))[case]
    path = tmp_path / "bad-file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=text) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 9, 30])
def test_a_gzip_file_cut_off_or_with_a_wrong_byte_is_damaged(tmp_path: Path, idx_bytes: IdxBytes, cut: int) -> None:
    content = bytearray(gzip.compress(idx_bytes(VALUES)))
    if not cut:
        content[-8] ^= 1  # in the CRC
    path = tmp_path / "a.gz"
    path.write_bytes(content[: len(content) - cut])
    with pytest.raises(DataError, match=r"a\.gz' is a damaged gzip file .*: get it again"):
        read_idx(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing' cannot be read: No such file"):
        read_idx(tmp_path / "nothing")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["{prefix}-{kind}-idx{dims}-ubyte", "{prefix}-{kind}.idx{dims}-ubyte"])
def test_both_spellings_of_the_file_names_are_found(
    tmp_path: Path, idx_folder: IdxFolder, name: str, zipped: bool
) -> None:
    folder = idx_folder(
        tmp_path, train_labels=[0, 1, 0], test_labels=[1], name=name + (".gz" if zipped else ""), zipped=zipped
    )
    classes, train, test = load_idx(folder)
    assert classes == ("0", "1")
    assert train.images.shape == (3, 4, 4, 1)
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert train.labels.tolist() == [0, 1, 0]
    assert test.labels.tolist() == [1]
    assert len(idx_files(folder)) == 4


def test_the_test_files_may_be_called_test(tmp_path: Path, idx_folder: IdxFolder) -> None:
    idx_folder(tmp_path, train_labels=[0, 1], test_labels=[1])
    for path in list(tmp_path.glob("t10k-*")):
        path.rename(tmp_path / path.name.replace("t10k", "test"))
    found = find_idx(tmp_path, "test", "labels")
    assert found is not None
    assert found.name == "test-labels-idx1-ubyte"
    assert len(load_idx(tmp_path)[2]) == 1


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_missing_file_is_named(tmp_path: Path, idx_folder: IdxFolder, file: str) -> None:
    (idx_folder(tmp_path, train_labels=[0, 1], test_labels=[1]) / file).unlink()
    with pytest.raises(
        DataError, match=f"has no file '{file}', nor one with .gz; of the four files it has 't.*', 't.*', 't.*-ubyte'"
    ):
        load_idx(tmp_path)


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("train-labels-idx1", np.zeros(3), r"train-images-idx3-ubyte' holds 2 images, .*labels-idx1-ubyte' 3 labels"),
        ("train-labels-idx1", np.eye(2), r"labels-idx1-ubyte': expected 1 dimension \(labels\), got 2"),
        ("train-images-idx3", np.zeros(2), r"idx3-ubyte': expected 3 dimensions \(images, height, width\), got 1"),
        ("t10k-images-idx3", np.zeros((0, 4, 4)), r"t10k-images-idx3-ubyte' holds no pixels: it states 0 x 4 x 4"),
        ("t10k-labels-idx1", np.array([2]), r"t10k-labels-idx1-ubyte' gives label 2 to image 0; there are 2 classes"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, idx_folder: IdxFolder, idx_bytes: IdxBytes, file: str, values: NDArray[np.float64], said: str
) -> None:
    idx_folder(tmp_path, train_labels=[0, 1], test_labels=[1])
    (tmp_path / f"{file}-ubyte").write_bytes(idx_bytes(values.astype(np.uint8)))
    with pytest.raises(DataError, match=said):
        load_idx(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_classes_are_named_by_a_text_file(tmp_path: Path, idx_folder: IdxFolder, encoding: str) -> None:
    idx_folder(tmp_path, train_labels=[0, 1], test_labels=[1])
    (tmp_path / "classes.txt").write_text("left shoe\nright shoe\n\n", encoding=encoding)
    assert load_idx(tmp_path)[0] == ("left shoe", "right shoe")
    for text in ("one", "same\nsame", ""):
        (tmp_path / "classes.txt").write_text(text, encoding=encoding)
        with pytest.raises(DataError, match=r"classes\.txt': expected two or more different class names"):
            load_idx(tmp_path)


def test_images_can_be_fitted_to_another_size(tmp_path: Path, idx_folder: IdxFolder) -> None:
    idx_folder(tmp_path, train_labels=[0, 1, 1], test_labels=[1])
    _, train, _ = load_idx(tmp_path, size=6)
    assert train.images.shape == (3, 6, 6, 1)
    # Every image has one value throughout, and so it has in any size.
    assert [np.unique(image).tolist() for image in train.images] == [[0], [1], [2]]
