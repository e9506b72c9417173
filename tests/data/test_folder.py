"""Folders of images: classes, order, channels and the mistakes people make."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capsedge.contract import Fit
from capsedge.data.folder import load_folder
from capsedge.errors import DataError

ImageFolder = Callable[..., Path]
Images = dict[str, tuple[str, tuple[int, int], int | tuple[int, ...]]]

GREY: Images = {
    "train/cat/a.png": ("L", (4, 3), 10),
    "train/cat/b.png": ("L", (4, 3), 20),
    "train/dog/a.bmp": ("L", (4, 3), 30),
    "train/dog/b.png": ("L", (4, 3), 40),
    "test/dog/a.png": ("L", (4, 3), 50),
    "test/cat/z.png": ("L", (4, 3), 60),
}


def without(images: Images, start: str) -> Images:
    return {name: image for name, image in images.items() if not name.startswith(start)}


def test_classes_and_images_come_in_the_order_of_their_names(tmp_path: Path, image_folder: ImageFolder) -> None:
    classes, train, test = load_folder(image_folder(tmp_path, GREY))
    assert classes == ("cat", "dog")
    assert train.images.shape == (4, 3, 4, 1)
    assert train.images[:, 0, 0, 0].tolist() == [10, 20, 30, 40]
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert test.images[:, 0, 0, 0].tolist() == [60, 50]
    assert test.labels.tolist() == [0, 1]


def test_webp_is_read_and_counts_as_colour_because_it_has_no_grey(tmp_path: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(tmp_path, {**GREY, "train/dog/c.webp": ("L", (4, 3), 70)})
    _, train, _ = load_folder(folder)
    assert train.images.shape == (5, 3, 4, 3)
    np.testing.assert_allclose(train.images[4].astype(int), 70, atol=3)


def test_one_colour_image_makes_all_three_channelled(tmp_path: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(tmp_path, {**GREY, "test/cat/colour.png": ("RGB", (4, 3), (1, 2, 3))})
    _, train, test = load_folder(folder)
    assert train.images.shape == (4, 3, 4, 3)
    assert train.images[0, 0, 0].tolist() == [10, 10, 10]
    assert test.images[0, 0, 0].tolist() == [1, 2, 3]


def test_the_first_image_gives_the_size_and_the_others_are_fitted_to_it(
    tmp_path: Path, image_folder: ImageFolder
) -> None:
    folder = image_folder(tmp_path, {**GREY, "train/dog/a.bmp": ("L", (3, 3), 30)})
    _, train, _ = load_folder(folder, fit=Fit(resize="nearest"))
    assert train.images.shape == (4, 3, 4, 1)
    # 3 x 3 in 3 x 4 is padded by one column.
    assert train.images[2, 0, :, 0].tolist() in ([30, 30, 30, 0], [0, 30, 30, 30])


def test_a_size_makes_squares(tmp_path: Path, image_folder: ImageFolder) -> None:
    _, train, test = load_folder(image_folder(tmp_path, GREY), size=8)
    assert train.images.shape == (4, 8, 8, 1)
    assert test.images.shape == (2, 8, 8, 1)


def test_suffixes_in_capitals_are_read_and_hidden_and_other_files_passed_over(
    tmp_path: Path, image_folder: ImageFolder
) -> None:
    folder = image_folder(
        tmp_path, {**GREY, "train/cat/C.JPG": ("L", (4, 3), 255), "train/cat/d.jpeg": ("L", (4, 3), 9)}
    )
    for name in (
        "train/cat/.DS_Store",
        "train/cat/.hidden.png",
        "train/cat/notes.txt",
        "train/.cache/x",
        "train/read.me",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not an image")
    classes, train, _ = load_folder(folder)
    assert classes == ("cat", "dog")
    assert np.bincount(train.labels).tolist() == [4, 2]


def test_a_class_may_be_absent_from_the_test_images(tmp_path: Path, image_folder: ImageFolder) -> None:
    _, _, test = load_folder(image_folder(tmp_path, without(GREY, "test/cat")))
    assert test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (without(GREY, "test"), r"has no folder 'test'; images are expected in test/<class>/"),
        (without(GREY, "train"), r"has no folder 'train'; images are expected in train/<class>/"),
        (without(GREY, "train/dog"), r"train' wants a folder for each of two or more classes, and has 1"),
        (
            {**GREY, "test/cow/a.png": ("L", (4, 3), 0)},
            r"test' has a class 'cow' that '.*train' has not; there are: cat, dog",
        ),
    ],
    ids=["no test", "no train", "one class", "unknown class"],
)
def test_a_folder_of_another_build_is_one_line_that_says_what_is_wanted(
    tmp_path: Path, image_folder: ImageFolder, images: Images, text: str
) -> None:
    with pytest.raises(DataError, match=text):
        load_folder(image_folder(tmp_path, images))


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_class_is_refused(tmp_path: Path, image_folder: ImageFolder, part: str) -> None:
    folder = image_folder(tmp_path, GREY)
    for path in (folder / part / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=rf"{part}/dog' has no images; files ending in \.png, \.jpg"):
        load_folder(folder)


def test_test_images_without_any_class_are_refused(tmp_path: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(tmp_path, without(GREY, "test"))
    (folder / "test").mkdir()
    with pytest.raises(DataError, match=r"test' has no images; they are expected in test/<class>/"):
        load_folder(folder)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_broken_image_is_named(tmp_path: Path, image_folder: ImageFolder, content: bytes | None) -> None:
    folder = image_folder(tmp_path, {**GREY, "train/dog/broken.png": ("L", (90, 90), 7)})
    path = folder / "train/dog/broken.png"
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    with pytest.raises(DataError, match=r"train/dog/broken\.png' cannot be read as an image"):
        load_folder(folder)


def test_images_that_no_memory_holds_say_which_setting_helps(
    tmp_path: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    folder = image_folder(tmp_path, GREY)
    monkeypatch.setattr("capsedge.data.folder.np.empty", refuse)
    with pytest.raises(DataError, match=r"4 images of 3 x 4 x 1 need 0\.0 GB of memory; set data\.size"):
        load_folder(folder)
