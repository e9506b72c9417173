"""Folders of images decoded: order, size, channels, and what is broken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsedge.data import Split
from capsedge.data.folder import load_folder
from capsedge.data.images import wants_dark_background
from capsedge.errors import DataError
from capsedge.fit import Fit

ImageFolder = Callable[..., Path]
Images = dict[str, tuple[str, tuple[int, int], int | tuple[int, ...]]]

# Of each class two to train on, one to validate by and one to test.
GREY: Images = {
    f"{part}/{name}/{number}.png": ("L", (4, 3), 10 * number + 100 * (name == "dog"))
    for name in ("cat", "dog")
    for part, numbers in (("train", (1, 2)), ("val", (3,)), ("test", (4,)))
    for number in numbers
}


def test_classes_and_images_come_in_the_order_of_their_names(tmp_path: Path, image_folder: ImageFolder) -> None:
    dataset = load_folder(image_folder(tmp_path / "pets", GREY))
    assert (dataset.name, dataset.classes, dataset.shape) == ("pets", ("cat", "dog"), (3, 4, 1))
    assert isinstance(dataset.train, Split)
    found = {
        part: (split.images[:, 0, 0, 0].tolist(), split.labels.tolist())
        for part, split in (("train", dataset.train), ("val", dataset.validation), ("test", dataset.test))
    }
    assert found == {
        "train": ([10, 20, 110, 120], [0, 0, 1, 1]),
        "val": ([30, 130], [0, 1]),
        "test": ([40, 140], [0, 1]),
    }
    assert dataset.source == str(tmp_path / "pets")


def test_images_of_one_small_size_keep_it(tmp_path: Path, image_folder: ImageFolder) -> None:
    dataset = load_folder(image_folder(tmp_path, {name: ("L", (48, 40), i) for i, name in enumerate(GREY)}))
    assert dataset.shape == (40, 48, 1)
    assert not [each.text for each in dataset.remarks if each.code == "fitted"]


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(100, 100)], 48), ([(49, 20)], 48), ([(30, 20), (40, 20), (50, 48)], 40), ([(9, 20), (20, 9)], 20)],
)
def test_other_images_become_squares_of_the_middle_size_and_that_is_said(
    tmp_path: Path, image_folder: ImageFolder, sizes: list[tuple[int, int]], side: int
) -> None:
    names = [*GREY, "train/cat/9.png"]
    dataset = load_folder(
        image_folder(tmp_path, {name: ("L", sizes[i % len(sizes)], i) for i, name in enumerate(names)})
    )
    assert dataset.shape == (side, side, 1)
    (said,) = [each.text for each in dataset.remarks if each.code == "fitted"]
    assert f" pixels are fitted to {side}x{side}, {len(names)} of {len(names)}; " in said
    assert said.startswith("images of 100x100 pixels are" if sizes == [(100, 100)] else "images of ")
    assert said.endswith("data.size takes another side, and the computation grows with its square")


def test_a_size_makes_squares_and_fit_says_how(tmp_path: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(tmp_path, {**GREY, "train/cat/1.png": ("L", (3, 3), 30)})
    dataset = load_folder(folder, size=4, fit=Fit(resize="nearest", frame="stretch"))
    assert dataset.shape == (4, 4, 1)
    assert dataset.train.spread(1).images[0, :, :, 0].tolist() == [[30] * 4] * 4
    assert dataset.fit == Fit(resize="nearest", frame="stretch")
    assert "images of 3x3 to 4x3 pixels are fitted to 4x4, 8 of 8" in [each.text for each in dataset.remarks]


def test_one_colour_image_among_many_grey_ones_is_made_grey_and_more_make_all_coloured(
    tmp_path: Path, image_folder: ImageFolder
) -> None:
    grey: Images = {f"{name}/{i}.png": ("L", (4, 3), i) for name in ("cat", "dog") for i in range(10)}
    few = load_folder(image_folder(tmp_path / "few", {**grey, "cat/0.png": ("RGB", (4, 3), (30, 30, 30))}))
    assert few.shape == (3, 4, 1)
    assert "1 of 20 images is in colour, and made grey like the others" in [each.text for each in few.remarks]
    coloured: Images = {"cat/0.png": ("RGB", (4, 3), (1, 2, 3)), "cat/1.png": ("RGB", (4, 3), (9, 9, 9))}
    more = load_folder(image_folder(tmp_path / "more", {**grey, **coloured}))
    assert more.shape == (3, 4, 3)
    assert any(
        each.text.startswith("18 of 20 images are grey, and the others are in colour") for each in more.remarks
    )


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "cut"])
def test_broken_images_are_left_out_and_told_together(
    tmp_path: Path, image_folder: ImageFolder, content: bytes | None
) -> None:
    broken = [f"train/dog/broken-{number}.png" for number in range(5)]
    folder = image_folder(tmp_path, {**GREY, **dict.fromkeys(broken, ("L", (90, 90), 7))})
    for name in broken:
        path = folder / name
        path.write_bytes(path.read_bytes()[:60] if content is None else content)
    dataset = load_folder(folder, size=4)
    assert np.bincount(dataset.train.spread(100).labels).tolist() == [2, 2]
    (said,) = [each.text for each in dataset.remarks if each.code == "broken-images"]
    assert said.startswith("5 broken images ('train/dog/broken-0.png', 'train/dog/broken-1.png', ")
    assert "...) left out; the first: " in said
    assert "train/dog/broken-0.png' cannot be read as an image: " in said


def test_all_counts_are_of_the_images_that_are_used(tmp_path: Path, image_folder: ImageFolder) -> None:
    """Some broken images have a header with another size or colour, and all have a name with a group."""
    used = {name: ("L", (6, 5), 10 * number) for number, name in enumerate(GREY)}
    cut = {f"train/dog/cut-{number}.png": ("L", (90, 90), 7) for number in range(3)}
    folder = image_folder(tmp_path, {**used, **cut, "train/cat/empty.png": ("L", (6, 5), 0)})
    for name in cut:
        (folder / name).write_bytes((folder / name).read_bytes()[:60])
    (folder / "train/cat/empty.png").write_bytes(b"")

    dataset = load_folder(folder, size=4, group="[^/]+$")

    images = sum(map(len, (dataset.train, dataset.validation, dataset.test)))
    assert images == len(used)
    assert any(each.text.startswith("4 broken images (") for each in dataset.remarks)
    assert f"images of 6x5 pixels are fitted to 4x4, {images} of {images}" in [each.text for each in dataset.remarks]
    assert any(
        each.text.startswith("data.group finds 4 groups in 8 images, the largest '") for each in dataset.remarks
    )


def test_a_class_whose_every_image_is_broken_is_an_error(tmp_path: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(tmp_path, GREY)
    for path in (folder / "train/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        DataError, match=r"no training image of class 'dog' can be read; 2 broken images \('train/dog"
    ):
        load_folder(folder)


def test_images_that_no_memory_holds_say_which_setting_helps(
    tmp_path: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    folder = image_folder(tmp_path, GREY)
    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(DataError, match=r"8 images of 3 x 4 x 1 need 0\.0 GB of memory: set data\.size"):
        load_folder(folder)


@pytest.mark.parametrize(("paper", "ink", "dark"), [(230, 30, False), (10, 220, True)])
def test_what_pads_an_image_is_no_background_of_it(tmp_path: Path, paper: int, ink: int, dark: bool) -> None:
    """Sheets that are higher than wide get black bars; they are on light background all the same."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(12):
            image = Image.new("L", (60, 100), paper)
            image.paste(ink, (20 + number % 3, 40, 40, 60 + number))
            image.save(tmp_path / name / f"{number}.png")
    dataset = load_folder(tmp_path, size=28)
    assert dataset.dark_background is dark
    assert wants_dark_background(dataset.train.images), "as the bars have it"  # type: ignore[union-attr]
    assert any("show one thing on an even background" in remark.text for remark in dataset.remarks)
