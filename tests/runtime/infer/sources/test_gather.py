"""What a person names, checked at once and found one after the other."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from capsedge.errors import DataError, WrongUse
from capsedge.runtime.infer.sources import Images, find_images
from capsedge.runtime.infer.sources import gather as module
from capsedge.runtime.infer.sources.walk import DRAWN_BY, DRAWN_KEY


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a/z.JPG", "a/deep/er.webp", "a/notes.txt", "c.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("in.png", b"")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(images: Images, tree: Path) -> list[str]:
    return [source.name.removeprefix(f"{tree}/") for source in images]


def test_everything_that_can_be_named_is_found_in_the_order_it_was_named(tree: Path) -> None:
    (tree / "list.txt").write_text(f"{tree / 'c.tif'}\n{tree / 'a'}\n{tree / 'gone.png'}\n{tree / 'empty'}\n")
    images = Images([tree / "set.zip", Path("-"), tree / "*.png", tree / "a" / "notes.txt"], str(tree / "list.txt"))

    found = ["set.zip/in.png", "-", "b.png", "a/notes.txt", "c.tif", "a/deep/er.webp", "a/z.JPG", "gone.png", "empty"]
    assert names(images, tree) == found
    assert images.count() == 9
    assert not images.alone
    with pytest.raises(DataError, match=r"the folder '.*empty' holds no images"):
        list(images)[-1].read()


def test_a_line_that_is_no_name_is_told_shortly_and_the_others_go_on(tree: Path) -> None:
    (tree / "list.txt").write_text(f"{'n' * 5000}\n{tree / 'b.png'}\n{tree / ('n' * 300)}.zip\n")
    too_long, good, archive = Images([], str(tree / "list.txt"))

    assert good.read() == tree / "b.png"
    for source in (too_long, archive):
        with pytest.raises(DataError, match=r"^'.{90,110}…n+(\.zip)?' cannot be read: File name too long$"):
            source.read()
    assert too_long.name == "n" * 5000


def test_a_picture_that_visualize_drew_is_an_image_where_it_is_named(tree: Path) -> None:
    said = PngInfo()
    said.add_text(DRAWN_KEY, DRAWN_BY)
    Image.new("RGB", (60, 30)).save(tree / "b.png", pnginfo=said)
    (tree / "list.txt").write_text(f"{tree / 'b.png'}\n")

    assert names(Images([tree / "b.png"], str(tree / "list.txt")), tree) == ["b.png", "b.png"]
    with pytest.raises(DataError, match="nothing matches"):
        Images([tree / "*.png"])


def test_a_glob_opens_archives_and_an_existing_name_with_brackets_is_none(tree: Path) -> None:
    assert names(Images([tree / "*.zip"]), tree) == ["set.zip/in.png"]
    (tree / "b[1].png").touch()
    assert names(Images([tree / "b[1].png"]), tree) == ["b[1].png"]


@pytest.mark.parametrize(
    ("paths", "listed", "said"),
    [([Path("-")], "-", "cannot be both an image"), ([], None, "name an image, a folder, a glob in quotes, a zip")],
)
def test_standard_input_twice_and_nothing_at_all_are_wrong_use(
    paths: list[Path], listed: str | None, said: str
) -> None:
    with pytest.raises(WrongUse, match=said):
        Images(paths, listed)


@pytest.mark.parametrize(
    ("name", "alone"), [("b.png", True), ("a/notes.txt", True), ("a", False), ("set.zip", False), ("b.*", False)]
)
def test_only_a_file_is_alone(tree: Path, name: str, alone: bool) -> None:
    assert Images([tree / name]).alone is alone
    assert Images([Path("-")]).alone
    assert not Images([tree / "b.png", tree / "b.png"]).alone


def test_a_list_on_standard_input_is_not_counted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_list(name: str) -> io.BytesIO:
        opened.append(name)
        return io.BytesIO(b"x.png\n")

    monkeypatch.setattr(module, "open_list", open_list)
    images = Images([], "-")
    assert images.count() is None
    assert not opened
    assert [source.name for source in images] == ["x.png"]


@pytest.mark.parametrize(
    ("paths", "listed", "said"),
    [
        (["gone.png"], None, r"there is no image file or folder '.*gone\.png'"),
        (["empty"], None, r"the folder '.*empty' holds no images \(.*\.png.*\)"),
        (["*.gif"], None, r"nothing matches '.*\*\.gif'"),
        (["no/such/*.png"], None, "nothing matches"),
        (
            ["b.png"],
            "gone.txt",
            r"--list: expected a file with a path on each line, or -; 'gone\.txt' cannot be read",
        ),
        (["b.png"], ".", "--list: expected a file"),
        (["b.png"], "n" * 5000, r"--list: expected a file .*; 'n{100}…n{100}' cannot be read$"),
        (["n" * 5000], None, r"^'/.{99}…n{100}' cannot be read: File name too long$"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_read(
    tree: Path, paths: list[str], listed: str | None, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        Images([tree / path for path in paths], listed)


def test_an_empty_list_is_an_error(tree: Path) -> None:
    (tree / "list.txt").write_text("\n")
    with pytest.raises(DataError, match="the list is empty"):
        list(Images([], str(tree / "list.txt")))


def test_image_files_are_listed_for_a_figure(tree: Path) -> None:
    found = find_images([tree, tree / "a" / "notes.txt", Path("-")])
    files = ["a/deep/er.webp", "a/z.JPG", "b.png", "c.tif", "a/notes.txt"]
    assert found == [*(tree / name for name in files), Path("-")]
    with pytest.raises(DataError, match=r"there is no image file or folder '.*gone\.png'"):
        find_images([tree / "gone.png"])
