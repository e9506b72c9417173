"""What is found in folders and lists of any build, and what is said of the rest."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from capsedge.data.items import Listing
from capsedge.data.listing import about_groups, list_images
from capsedge.errors import DataError, WrongUse
from tests.shallow import DEEP, shallow

ImageFolder = Callable[..., Path]
GREY = ("L", (4, 3), 10)


def names(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(item.name, item.label, item.part) for item in listing.items]


@pytest.fixture
def made(tmp_path: Path, image_folder: ImageFolder) -> Callable[..., Path]:
    """Make a folder of images with these names."""
    return lambda *paths: image_folder(tmp_path / "photos", dict.fromkeys(paths, GREY))


def test_a_flat_folder_has_a_folder_for_each_class_in_which_images_lie_at_any_depth(
    made: Callable[..., Path],
) -> None:
    found = list_images(made("dog/b.png", "dog/2024/may/a.JPG", "cat/z.bmp"))
    assert names(found) == [
        ("cat/z.bmp", "cat", None),
        ("dog/2024/may/a.JPG", "dog", None),
        ("dog/b.png", "dog", None),
    ]
    assert found.classes == ("cat", "dog")
    assert found.remarks == []


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train", "valid", "TEST"),
        ("train", "dev", "test"),
    ],
)
def test_parts_are_known_by_their_usual_names(
    made: Callable[..., Path], train: str, validation: str, test: str
) -> None:
    found = list_images(made(f"{train}/a/1.png", f"{train}/b/2.png", f"{validation}/a/3.png", f"{test}/b/4.png"))
    assert {item.path.stem: item.part for item in found.items} == {
        "1": "train",
        "2": "train",
        "3": "validation",
        "4": "test",
    }
    assert found.classes == ("a", "b")
    assert [each.text for each in found.remarks] == [
        "the validation part has no images of 1 class ('b')",
        "the test part has no images of 1 class ('a')",
    ]


def test_classes_may_be_called_as_parts_are_where_there_is_no_train(made: Callable[..., Path]) -> None:
    assert list_images(made("test/1.png", "real/2.png")).classes == ("real", "test")


def test_an_archive_that_was_unpacked_into_a_folder_of_its_own_is_entered_and_that_is_said(
    made: Callable[..., Path],
) -> None:
    folder = made("photos/cat/1.png", "photos/dog/2.png")
    found = list_images(folder)
    assert found.classes == ("cat", "dog")
    assert [each.text for each in found.remarks] == [f"the images are those in '{folder / 'photos'}'"]


@pytest.mark.parametrize("inside", [1, DEEP], ids=["of a class", "around the classes"])
def test_folders_may_be_nested_deeper_than_calls(inside: int, made: Callable[..., Path]) -> None:
    around, below = "in/" * inside, "in/" * (DEEP + 1 - inside)
    folder = made(f"{around}cat/{below}1.png", f"{around}dog/2.png")
    (folder / "in" / "labels.csv").write_text("something else\n")
    with shallow():
        found = list_images(folder)
    assert found.classes == ("cat", "dog")
    assert [each.code for each in found.remarks] == ["folder-inside", "list-skipped"]
    assert found.remarks[0].text == f"the images are those in '{folder.joinpath(*['in'] * inside)}'"


def test_all_that_is_passed_over_is_told_and_hidden_files_are_not(made: Callable[..., Path]) -> None:
    folder = made("train/cat/1.png", "train/dog/2.png", "train/lost.png", "extra/cat/3.png", "train/cat/.4.png")
    (folder / "train/none").mkdir()
    (folder / "train/cat/notes.txt").write_text("x")
    (folder / "train/dog/Thumbs.db").write_text("x")
    (folder / "train/dog/.DS_Store").write_text("x")
    (folder / "train/dog/gone.png").symlink_to(folder / "nowhere.png")
    found = list_images(folder)
    assert [item.name for item in found.items] == ["train/cat/1.png", "train/dog/2.png"]
    assert [each.text for each in found.remarks] == [
        f"class folder '{folder / 'train/none'}' has no images and is skipped",
        "folder 'extra' beside train is skipped",
        "1 image outside the class folders skipped",
        "2 other files skipped (1 .txt, 1 .db)",
        "1 broken link ('train/dog/gone.png') skipped",
    ]


@pytest.mark.parametrize("name", ["list.csv", "metadata.csv", "labels.csv"])
@pytest.mark.parametrize(
    ("header", "separator"), [("path,label,split", ","), ("Label;file_name;subset", ";"), ("class\tIMAGE\tset", "\t")]
)
def test_a_list_names_its_images(made: Callable[..., Path], name: str, header: str, separator: str) -> None:
    folder = made("raw/1.png", "raw/2.png", "raw/3.png", "raw/4.png")
    rows = [
        ("raw/1.png", "cat", "train"),
        ("raw/2.png", "dog, big", "Training"),
        ("raw/3.png", "cat", "val"),
        ("raw/9.png", "cat", ""),
        ("raw/4.png", "", ""),
    ]
    first = header.lower().split(separator)[0] in ("label", "class")
    lines = [
        separator.join([f'"{label}"', path, part] if first else [path, f'"{label}"', part])
        for path, label, part in rows
    ]
    (folder / name).write_text("\ufeff" + "\n".join([header, *lines]), encoding="utf-8")
    found = list_images(folder / name if name == "list.csv" else folder)
    assert names(found) == [
        ("raw/1.png", "cat", "train"),
        ("raw/2.png", "dog, big", "train"),
        ("raw/3.png", "cat", "validation"),
    ]
    assert found.items[0].path == folder / "raw/1.png"
    assert [each.text for each in found.remarks] == [
        "1 listed file ('raw/9.png') missing and skipped",
        "1 listed file without a label skipped",
        "the validation part has no images of 1 class ('dog, big')",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"expected a first line that names the columns path and label .*, got none"),
        ("name,label\na,b", r"got name, label"),
        ("path,label,split\n1.png,a,trian", r"line 2: expected one of train, training.*, got 'trian'"),
        (
            "path,label\n1.png,a\n2.png,a",
            r"has training images of 1 class: two or more are expected, in <class>/\*, train",
        ),
    ],
)
def test_a_list_of_another_build_says_what_is_wanted(made: Callable[..., Path], text: str, said: str) -> None:
    folder = made("1.png", "2.png")
    (folder / "list.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        list_images(folder / "list.csv")


def test_a_list_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,a")
    with pytest.raises(DataError, match=r"list\.csv' is not text in UTF-8"):
        list_images(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], r"has no images: they are expected in <class>/\*"),
        (["cat/1.png"], r"has training images of 1 class: two or more"),
        (["1.png", "2.png"], r"has no images \(2 images outside the class folders skipped\): they are expected"),
        (["test/a/1.png", "val/a/2.png"], r"has training images of 0 classes: two or more are expected, in <class>"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], r"has test images of class 'c', .* there are: a, b"),
        (["train/a/1.png", "train/b/1.png", "val/c/1.png"], r"has validation images of class 'c'"),
    ],
)
def test_a_folder_of_another_build_says_what_is_wanted(
    tmp_path: Path, made: Callable[..., Path], paths: list[str], said: str
) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=said):
        list_images(made(*paths))


@pytest.mark.parametrize(("pattern", "groups"), [(r"p\d", ["p1", "p2", "p1"]), (r"(.)/p", ["t", "t", "g"])])
def test_a_group_is_what_the_expression_finds_in_a_name(
    made: Callable[..., Path], pattern: str, groups: list[str]
) -> None:
    found = list_images(made("cat/p1_a.png", "cat/p2_a.png", "dog/p1_b.png"), group=pattern)
    assert [item.group for item in found.items] == groups
    assert (
        about_groups(found.items).text
        == f"data.group finds 2 groups in 3 images, the largest '{max(groups, key=groups.count)}' with 2"
    )


def test_an_expression_that_is_none_or_misses_a_name_is_refused(made: Callable[..., Path]) -> None:
    folder = made("cat/p1.png", "dog/2.png")
    with pytest.raises(WrongUse, match=r"data\.group: expected a regular expression, such as patient_"):
        list_images(folder, group="(")
    with pytest.raises(DataError, match=r"data\.group 'p\\d' finds nothing in 1 name \('dog/2\.png'\), of 2"):
        list_images(folder, group=r"p\d")


def test_a_test_part_may_lie_beside_the_classes_to_train_on(made: Callable[..., Path]) -> None:
    found = list_images(made("cat/1.png", "dog/2.png", "test/cat/3.png", "test/dog/4.png"))
    assert {item.name: (item.label, item.part) for item in found.items} == {
        "cat/1.png": ("cat", "train"),
        "dog/2.png": ("dog", "train"),
        "test/cat/3.png": ("cat", "test"),
        "test/dog/4.png": ("dog", "test"),
    }


@pytest.mark.parametrize(
    "paths",
    [
        ("car/1.png", "bus/2.png", "train/steam/3.png", "train/diesel/4.png"),
        ("car/1.png", "train/2.png", "bus/3.png"),
    ],
)
def test_train_is_a_class_where_other_classes_lie_beside_it(
    made: Callable[..., Path], paths: tuple[str, ...]
) -> None:
    found = list_images(made(*paths))
    assert found.classes == ("bus", "car", "train")
    assert {item.part for item in found.items} == {None}


def test_a_pipe_among_the_images_is_passed_over_and_not_waited_for(made: Callable[..., Path]) -> None:
    folder = made("a/1.png", "a/2.png", "b/1.png")
    os.mkfifo(folder / "b" / "2.png")

    listing = list_images(folder)

    assert len(listing.items) == 3
    assert "1 other file skipped (1 pipe or device)" in [each.text for each in listing.remarks]


def test_links_to_folders_and_a_list_of_something_else_are_told(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("cat/1.png", "dog/2.png")
    (tmp_path / "elsewhere").mkdir()
    (folder / "cat/more").symlink_to(tmp_path / "elsewhere")
    (folder / "labels.csv").write_text("ClassId,Name\n1,cat")
    assert [each.text for each in list_images(folder).remarks] == [
        "'labels.csv' has no columns path and label and is skipped",
        "1 link to a folder ('cat/more') not followed",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [('path,label\n1.png,a\n"2.png,b', r"list\.csv' is not a valid \.csv after line 2: unexpected end of data"),
     ("path,label\n1.png," + "a" * 200_000, r"list\.csv' is not a valid \.csv after line 1: field larger than")],
)  # fmt: skip
def test_a_damaged_list_names_its_line(made: Callable[..., Path], text: str, said: str) -> None:
    folder = made("1.png", "2.png")
    (folder / "list.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        list_images(folder / "list.csv")


def test_a_label_keeps_its_odd_letters_and_a_name_without_a_group_is_alone(made: Callable[..., Path]) -> None:
    folder = made("p1_a.png", "p1_b.png", "other.png")
    (folder / "list.csv").write_text('path,label\np1_a.png,dog\np1_b.png,"a\nb"\nother.png,dog', encoding="utf-8")
    with pytest.raises(DataError, match="unprintable characters in its name"):
        list_images(folder / "list.csv")
    (folder / "list.csv").write_text("path,label\np1_a.png,dog\np1_b.png,cat\nother.png,dog", encoding="utf-8")
    found = list_images(folder / "list.csv", group="(p[0-9])?")
    assert [item.group for item in found.items] == ["other.png", "p1", "p1"]
