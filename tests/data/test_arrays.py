"""Arrays of an .npz file, under the names that are in use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capsedge.data import Split, load_dataset
from capsedge.data.arrays import read_arrays
from capsedge.errors import DataError, WrongUse

RANDOM = np.random.default_rng(0)


def images(count: int, *shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.integers(0, 256, (count, *(shape or (6, 5))), dtype=np.uint8)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "things.npz", **arrays)
    return path / "things.npz"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images-training", "targets-training", "images-testing", "targets-testing"),
    ],
)
def test_parts_are_taken_as_they_are_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = (images(40), np.arange(40) % 2 + 7, images(10), np.full((10, 1), 8, np.uint8))
    dataset = load_dataset(str(saved(tmp_path, **dict(zip(names, arrays, strict=True)))))
    assert (dataset.name, dataset.classes, dataset.shape) == ("things", ("7", "8"), (6, 5, 1))
    assert np.array_equal(dataset.test.images[..., 0], arrays[2])
    assert dataset.test.labels.tolist() == [1] * 10
    assert isinstance(dataset.train, Split)
    assert (len(dataset.train), len(dataset.validation)) == (32, 8)


def test_one_part_is_divided_and_classes_may_have_names(tmp_path: Path) -> None:
    path = saved(tmp_path, images=images(50, 6, 5, 3), labels=np.arange(50) % 2, classes=["cat", "dog"], note=[1])
    dataset = load_dataset(str(path), size=8)
    assert (dataset.classes, dataset.shape, len(dataset.test)) == (("cat", "dog"), (8, 8, 3), 10)
    assert dataset.remarks[0].text == "array 'note' is skipped"
    assert dataset.sha256() == load_dataset(str(path), size=8).sha256()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, r"expected images and labels, or the same with train_, .* got nothing"),
        ({"x_test": images(9), "y_test": np.zeros(9, int)}, r"got x_test, y_test"),
        (
            {"images": images(9).astype(np.float32), "labels": np.zeros(9, int)},
            r"got float32 \[9, 6, 5\]: multiply 0",
        ),
        ({"images": images(9, 3, 6, 5), "labels": np.zeros(9, int)}, r"got uint8 \[9, 3, 6, 5\]: .*channels last"),
        (
            {"images": images(9), "labels": np.zeros(8, int)},
            r"a label for each of 9 images, .* got int64 \[8\]",
        ),
        ({"images": images(9), "labels": np.zeros(9)}, r"got float64 \[9\]"),
        (
            {"images": images(9), "labels": np.arange(9), "classes": ["a"]},
            r"names 1 class and has labels from 0 to 8",
        ),
        (
            {
                "x_train": images(9),
                "y_train": np.arange(9) % 2,
                "x_test": images(9, 4, 4),
                "y_test": np.arange(9) % 2,
            },
            r"have images of different sizes",
        ),
        (
            {"images": images(2), "labels": ["cat", " "]},
            r"has a label that is empty or has unprintable characters, ''",
        ),
        ({"images": images(2), "labels": ["cat", "a\x07"]}, r"empty or has unprintable characters, 'a\\x07'"),
        ({"images": images(2), "labels": [b"cat", b"\xff"]}, r"has a label that is not UTF-8: save it as str"),
        (
            {"images": images(2), "labels": ["cat", "cow"], "classes": ["cat", "dog"]},
            r"has labels of 1 class \('cow'\) that its list of classes lacks: there are: cat, dog",
        ),
        (
            {"x_train": images(2), "y_train": ["cat", "dog"], "x_test": images(2), "y_test": [0, 1]},
            r"have different kinds of labels: use names in all parts, or numbers",
        ),
    ],
)
def test_other_arrays_are_refused_in_one_line(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(str(saved(tmp_path, **arrays)))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["dog", "cat", "cow "] * 20),
        np.array(["dog", "cat", "cow"] * 20)[:, np.newaxis],
        np.array([b"dog", b"cat", b"cow"] * 20),
        np.array(["dög", "cat", "cow"] * 20),
        np.array(["dög".encode(), b"cat", b"cow"] * 20),
    ],
    ids=["spaces", "column", "bytes", "unicode", "utf-8"],
)
def test_labels_may_be_names_which_are_the_classes_in_order(tmp_path: Path, labels: np.ndarray[Any, Any]) -> None:
    pixels = images(60)
    dataset = load_dataset(str(saved(tmp_path, x=pixels, y=labels)))
    assert dataset.classes[:2] == ("cat", "cow")
    assert dataset.classes[2] in ("dog", "dög")
    of = {
        image.tobytes(): label for image, label in zip(dataset.test.images[..., 0], dataset.test.labels, strict=True)
    }
    assert len(of) == 12
    expected = {image.tobytes(): (2, 0, 1)[place % 3] for place, image in enumerate(pixels)}
    assert of.items() <= expected.items()


def test_a_list_of_classes_orders_labels_that_are_names(tmp_path: Path) -> None:
    path = saved(
        tmp_path, x=images(40), y=["dog", "cat"] * 20, x_test=images(2), y_test=["dog", "cat"], classes=["dog", "cat"]
    )
    dataset = load_dataset(str(path))
    assert dataset.classes == ("dog", "cat")
    assert dataset.test.labels.tolist() == [0, 1]


def test_objects_that_nothing_needs_are_passed_over_unread(tmp_path: Path) -> None:
    path = saved(tmp_path, images=images(50), labels=np.arange(50) % 2, author=np.array([object()]))
    assert load_dataset(str(path)).remarks[0].text == "array 'author' is skipped"


def test_labels_that_need_a_pickle_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path, x=images(2), y=np.array(["cat", "dog"], dtype=object))
    wanted = r"'y' is damaged, or holds Python objects, .* save texts with y=np\.array\(y, dtype=str\)$"
    with pytest.raises(DataError, match=wanted):
        load_dataset(str(path))


def test_a_damaged_file_and_one_of_objects_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, images=np.array([object()]), labels=np.zeros(1, int))
    with pytest.raises(DataError, match=r"things\.npz' cannot be read as an \.npz file of plain arrays"):
        load_dataset(str(path))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"cannot be read as an \.npz file"):
        load_dataset(str(path))


def test_a_group_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, images=images(50), labels=np.arange(50) % 2)
    with pytest.raises(
        WrongUse, match=r"data\.group finds text in the names of images, and images in an \.npz file have none"
    ):
        load_dataset(str(path), group="a")
    with pytest.raises(
        WrongUse, match=r"data\.group is for a folder or a list of images, and 'fashion-mnist-subset' is neither"
    ):
        load_dataset("fashion-mnist-subset", group="a")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (PermissionError(13, "Permission denied"), PermissionError, "Permission denied"),
        (OSError(5, "Input/output error"), OSError, "Input/output error"),
        (OSError(22, "Invalid argument"), DataError, "it is damaged"),  # a damaged offset
        (MemoryError(), DataError, "larger than this machine's memory"),
    ],
)
def test_what_the_system_refuses_is_not_called_damaged(
    error: Exception, kind: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(np, "load", load)
    with pytest.raises(kind, match=said):
        read_arrays(tmp_path / "x.npz")
