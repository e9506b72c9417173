"""CIFAR-10's two versions, packed and unpacked: what is read, what is refused and in which words."""

import gzip
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capsedge.data.cifar import CLASSES, Location, find_cifar, load_cifar
from capsedge.errors import DataError
from tests.data.conftest import CIFAR_STEMS, cifar_file, python_2_pickle

CifarFolder = Callable[..., Path]

VERSIONS = ["python", "binary"]
BATCHES = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}


def found_in(place: Path) -> Location:
    found = find_cifar(place)
    assert found is not None
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["the files", "the folder around", "the archive's folder", "the archive"])
def test_every_form_gives_the_same_images(
    tmp_path: Path, cifar_folder: CifarFolder, version: str, place: str
) -> None:
    if place.startswith("the archive"):
        folder = cifar_folder(tmp_path / "a", version, packed=True)
        where = folder if place.endswith("folder") else folder / f"cifar-10-{version}.tar.gz"
    else:
        folder = cifar_folder(tmp_path / "a" / BATCHES[version], version)
        where = folder if place == "the files" else folder.parent
    classes, train, test = load_cifar(found_in(where))
    assert classes == CLASSES
    for split, stems in ((train, CIFAR_STEMS[:5]), (test, CIFAR_STEMS[5:])):
        files = [cifar_file(stem) for stem in stems]
        assert split.labels.tolist() == [label for _, labels in files for label in labels]
        rows = [row for rows, _ in files for row in rows]
        assert split.images.shape == (len(rows), 32, 32, 3)
        for image, row in list(zip(split.images, rows, strict=True))[::7]:
            # The page of CIFAR-10: 1024 bytes of red in rows from the top, 1024 of green, 1024 of blue.
            for y, x, colour in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, 2), (31, 30, 1), (31, 31, 2)):
                assert image[y, x, colour] == row[1024 * colour + 32 * y + x]


def test_a_version_that_is_whole_comes_before_one_that_is_not(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    cifar_folder(tmp_path / BATCHES["binary"], "binary")
    (tmp_path / BATCHES["binary"] / "data_batch_4.bin").unlink()
    assert found_in(tmp_path).whole is False
    cifar_folder(tmp_path / BATCHES["python"], "python")
    assert found_in(tmp_path).path == tmp_path / BATCHES["python"]


def test_nothing_is_found_in_other_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "some.tar.gz").write_bytes(b"")
    assert find_cifar(tmp_path) is None
    assert find_cifar(tmp_path / "some.tar.gz") is None
    assert find_cifar(tmp_path / "nothing") is None


@pytest.mark.parametrize(("version", "listed"), [("python", "batches.meta"), ("binary", "batches.meta.txt")])
def test_classes_are_those_that_the_files_list_or_else_cifar_10s(
    tmp_path: Path, cifar_folder: CifarFolder, version: str, listed: str
) -> None:
    folder = cifar_folder(tmp_path / "a", version)
    names = [b"c%d" % number for number in range(10)]
    (folder / listed).write_bytes(
        python_2_pickle({b"label_names": names}) if version == "python" else b"\xef\xbb\xbf" + b"\r\n".join(names)
    )
    assert load_cifar(found_in(folder))[0] == tuple(f"c{number}" for number in range(10))
    (folder / listed).unlink()
    assert load_cifar(found_in(folder))[0] == CLASSES


@pytest.mark.parametrize("version", VERSIONS)
def test_class_names_that_are_none_are_refused(tmp_path: Path, cifar_folder: CifarFolder, version: str) -> None:
    folder = cifar_folder(tmp_path / "a", version)
    listed = folder / ("batches.meta" if version == "python" else "batches.meta.txt")
    listed.write_bytes(python_2_pickle({b"label_names": [b"a", b"a"]}) if version == "python" else b"a\na\n")
    with pytest.raises(DataError, match=r"batches\.meta.*': expected two or more different class names, got 2"):
        load_cifar(found_in(folder))


def test_a_label_without_a_class_is_refused(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    folder = cifar_folder(tmp_path / "a", "binary")
    (folder / "batches.meta.txt").write_bytes(b"one\ntwo\n")
    with pytest.raises(DataError, match=r"data_batch_1\.bin' gives label 9 to image 9; there are 2 classes"):
        load_cifar(found_in(folder))


@pytest.mark.parametrize(("version", "file"), [("python", "data_batch_3"), ("binary", "test_batch.bin")])
def test_a_missing_file_is_named_beside_those_that_are_there(
    tmp_path: Path, cifar_folder: CifarFolder, version: str, file: str
) -> None:
    folder = cifar_folder(tmp_path / "a", version)
    (folder / file).unlink()
    with pytest.raises(
        DataError, match=rf"a' has no file '{file}'; of the 6 files it holds 'data_batch_1.*data_batch_5"
    ):
        load_cifar(found_in(folder))


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "got 0 bytes"), (bytes(3072), "got 3,072 bytes"), (bytes(6147), "6,147 bytes")]
)
def test_a_binary_file_of_another_length_is_refused(
    tmp_path: Path, cifar_folder: CifarFolder, content: bytes, found: str
) -> None:
    folder = cifar_folder(tmp_path / "a", "binary")
    (folder / "data_batch_2.bin").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"data_batch_2\.bin': expected records of 3,073 bytes .* {found}: get it again"
    ):
        load_cifar(found_in(folder))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", [1, 4, 5])
def test_a_training_file_cut_off_between_two_images_is_named(
    tmp_path: Path, cifar_folder: CifarFolder, version: str, number: int
) -> None:
    folder = cifar_folder(tmp_path / "a", version)
    rows, labels = cifar_file(f"data_batch_{number}")
    if version == "binary":
        path = folder / f"data_batch_{number}.bin"
        path.write_bytes(path.read_bytes()[: 7 * 3073])
    else:
        path = folder / f"data_batch_{number}"
        path.write_bytes(python_2_pickle({b"data": rows[:7], b"labels": labels[:7]}))
    with pytest.raises(DataError) as caught:
        load_cifar(found_in(folder))
    assert str(caught.value) == (f"'{path}' holds 7 images, and the other training files hold 10 each: get it again")


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({}, r"expected an array 'data' of \[images, 3072\] bytes, got none"),
        ({b"data": [1]}, r"expected an array .* got none"),
        ({b"data": np.zeros((2, 3073), np.uint8)}, r"expected an array .* got one of \[2, 3073\]"),
        ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, r"expected an array .* got one of \[0, 3072\]"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "expected a list 'labels' of integers"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, b"2"]}, "expected a list 'labels'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, -2]}, "expected a list 'labels'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "holds 2 images and 1 labels"),
    ],
)
def test_a_python_file_of_other_content_is_refused(
    tmp_path: Path, cifar_folder: CifarFolder, entries: dict[bytes, object], text: str
) -> None:
    folder = cifar_folder(tmp_path / "a", "python")
    (folder / "data_batch_2").write_bytes(python_2_pickle(entries))
    with pytest.raises(DataError, match=f"data_batch_2'(: | ){text}"):
        load_cifar(found_in(folder))


def test_a_hostile_file_in_an_archive_is_named_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = b"\x80\x02cos\nsystem\nU" + bytes([len(f"touch {trace}")]) + f"touch {trace}".encode() + b"\x85R."
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    with pytest.raises(DataError, match=r"'data_batch_1' in '.*cifar-10-python\.tar\.gz' names 'os\.system'"):
        load_cifar(found_in(tmp_path))
    assert not trace.exists()


def test_an_archive_cut_off_anywhere_is_one_line_that_names_it(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    path = cifar_folder(tmp_path / "a", "binary", packed=True, count=2) / "cifar-10-binary.tar.gz"
    content = path.read_bytes()
    for cut in (0, 1, 5, 20, 100, len(content) // 3, len(content) // 2, len(content) - 9):
        path.write_bytes(content[:cut])
        with pytest.raises(
            DataError, match=r"cifar-10-binary\.tar\.gz' (is a damaged archive|has no file)"
        ) as caught:
            load_cifar(found_in(path))
        assert "\n" not in str(caught.value)


def test_an_archive_with_a_wrong_byte_anywhere_is_damaged(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    path = cifar_folder(tmp_path / "a", "binary", packed=True, count=2) / "cifar-10-binary.tar.gz"
    content = path.read_bytes()
    for at in (1, 300, len(content) // 2, len(content) - 6):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz' is a damaged archive"):
            load_cifar(found_in(path))


# Named, because a gzip header holds the time, and two processes of pytest must collect the same tests.
@pytest.mark.parametrize(
    "content", [b"hello", gzip.compress(b"hello"), os.urandom(5000)], ids=["text", "gzip", "noise"]
)
def test_an_archive_of_something_else_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz' (is a damaged archive|has no file)"):
        load_cifar(found_in(tmp_path))


@pytest.mark.parametrize("kind", ["L", "K", "x", "g"])  # tar(5)
def test_a_member_with_a_name_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, kind: str) -> None:
    header = tarfile.TarInfo("a")
    header.type, header.size = kind.encode(), 3 << 30
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 22)))  # of the name, the first 4 MiB
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="is a damaged archive"):
            load_cifar(found_in(tmp_path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 21


def test_an_archive_is_never_unpacked_nor_its_links_followed(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    target = cifar_folder(tmp_path / "elsewhere", "binary") / "data_batch_1.bin"
    (tmp_path / "a").mkdir()
    with tarfile.open(tmp_path / "a" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        archive.addfile(link)
        outside = tarfile.TarInfo("../outside/data_batch_2.bin")
        outside.size = 3073
        archive.addfile(outside, io.BytesIO(bytes(3073)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"no file 'data_batch_1\.bin'; of the 6 files it holds 'data_batch_2\.bin"):
        load_cifar(found_in(tmp_path / "a"))
    assert sorted(tmp_path.rglob("*")) == before


def test_images_can_be_fitted_to_another_size(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    folder = cifar_folder(tmp_path / "a", "binary")
    colours = b"".join(
        bytes([label]) + bytes([9 * label]) * 1024 + bytes(1024) + b"\xff" * 1024 for label in range(10)
    )
    (folder / "test_batch.bin").write_bytes(colours)
    test = load_cifar(found_in(folder), size=20)[2]
    assert test.images.shape == (10, 20, 20, 3)
    # Every image has one colour throughout, and so it has in any size.
    assert test.images[:, ::19, 7].tolist() == [[[9 * label, 0, 255]] * 2 for label in range(10)]
