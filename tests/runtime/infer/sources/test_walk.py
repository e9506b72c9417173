"""Folders and globs."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from capsedge.runtime.infer.sources.walk import DRAWN_BY, DRAWN_KEY, images_below, matches
from tests.shallow import DEEP, shallow

NAMES = (
    "a/deep/er.webp",
    "a/z.JPG",
    "a.png",
    "b.png",
    "b[1].png",
    "c/x/1.png",
    "c/x/2.png",
    "c/y/1.png",
    "c/notes.txt",
    "c/scan.dat",
    "d/x/x/1.png",
    ".hidden/1.png",
    "a/._z.png",
    "set.zip",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(tree: Path, pattern: str) -> list[str]:
    return [source.path.relative_to(tree).as_posix() for source in matches(tree / pattern)]


def test_a_folder_gives_its_images_sorted_at_any_depth_and_nothing_hidden(tree: Path) -> None:
    given = [source.path for source in images_below(tree)]
    shown = [tree / name for name in NAMES if name.lower().endswith((".png", ".jpg", ".webp")) and "." not in name[0]]
    assert given == sorted(path for path in shown if not path.name.startswith("."))
    assert len(given) == 9


@pytest.mark.parametrize("pattern", ["", "**/*.png", "*"])
def test_folders_may_be_nested_deeper_than_calls(pattern: str, tmp_path: Path) -> None:
    inner = tmp_path.joinpath("top", *["d"] * DEEP)
    inner.mkdir(parents=True)
    (inner / "a.png").touch()
    (tmp_path / "top" / "z.png").touch()
    with shallow():
        given = [*(matches(tmp_path / "top" / pattern) if pattern else images_below(tmp_path / "top"))]
    assert [source.path for source in given] == [inner / "a.png", tmp_path / "top" / "z.png"]


def test_a_link_to_a_folder_is_not_followed_into_a_circle(tree: Path) -> None:
    before = [source.path for source in images_below(tree)]
    (tree / "a" / "up").symlink_to(tree, target_is_directory=True)
    assert [source.path for source in images_below(tree)] == before
    assert found(tree, "**/1.png") == ["c/x/1.png", "c/y/1.png", "d/x/x/1.png"]


@pytest.mark.parametrize(
    "pattern",
    ["*.png", "**/*.png", "c/*/1.png", "?.png", "[ab].png", "**/x/*.png", "**/x/**/1.png", "c/**/*.png", "**/*.dat"],
)
def test_a_glob_finds_what_pythons_own_finds_once_each(tree: Path, pattern: str) -> None:
    paths = (path.relative_to(tree) for path in tree.glob(pattern))
    expected = {path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)}
    given = found(tree, pattern)
    assert len(given) == len(set(given))
    assert set(given) == expected
    assert given == [path.as_posix() for path in sorted(map(Path, given))]


def test_a_glob_without_a_suffix_takes_images_and_archives(tree: Path) -> None:
    assert found(tree, "c/**") == ["c/x/1.png", "c/x/2.png", "c/y/1.png"]
    assert found(tree, "s*") == ["set.zip"]
    assert found(tree, "c/n*") == []


def test_a_folder_that_matches_gives_all_its_images(tree: Path) -> None:
    assert found(tree, "[cd]") == ["c/x/1.png", "c/x/2.png", "c/y/1.png", "d/x/x/1.png"]


def test_hidden_names_match_only_a_pattern_with_a_dot(tree: Path) -> None:
    assert found(tree, ".hid*/*.png") == [".hidden/1.png"]


def test_a_glob_may_be_relative_and_its_beginning_missing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert [str(source.path) for source in matches(Path("c/x/*.png"))] == [
        str(Path("c", "x", name)) for name in ("1.png", "2.png")
    ]
    assert [str(source.path) for source in matches(Path("?.png"))] == ["a.png", "b.png"]
    assert list(matches(Path("gone/*.png"))) == []


def test_pictures_that_visualize_drew_are_no_images_in_a_folder_or_a_glob(tree: Path) -> None:
    said = PngInfo()
    said.add_text(DRAWN_KEY, DRAWN_BY)
    foreign = PngInfo()
    foreign.add_text(DRAWN_KEY, "a painter")
    for name, info in (("00001-a.png", said), ("painted.PNG", foreign), ("plain.png", None)):
        Image.new("RGB", (600, 300)).save(tree / "c" / "y" / name, pnginfo=info)

    there = ["c/y/1.png", "c/y/painted.PNG", "c/y/plain.png"]
    assert [source.path.relative_to(tree).as_posix() for source in images_below(tree / "c" / "y")] == there
    assert found(tree, "c/y/*.[pP]*") == there


def test_a_glob_below_a_name_that_is_too_long_matches_nothing(tree: Path) -> None:
    assert found(tree, "n" * 300 + "/*.png") == []
