"""`capsedge data`: what a training would see, before it begins."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsedge.cli.app import COMMANDS
from capsedge.recipe import SIZE_BY_IMAGES
from tests.cli.conftest import one_line
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two classes 20 and 5 images of 60x40 pixels, all of one colour; and one that is broken."""
    folder = tmp_path_factory.mktemp("with space") / "my photos"
    for name, count in (("red", 20), ("blue", 5)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            colour = (200 + number, 0, 0) if name == "red" else (0, 0, 200 + number)
            Image.new("RGB", (60, 40), colour).save(folder / name / f"{number}.png")
    (folder / "red" / "broken.jpg").write_bytes(b"no image")
    return folder


def test_it_counts_and_tells_what_is_doubtful_and_what_comes_next(capsedge: Capsedge, photos: Path) -> None:
    done = capsedge("data", str(photos))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["blue", "3", "1", "1"] in rows
    assert ["red", "16", "2", "2"] in rows
    assert "48x48 pixels, colour" in done.stdout
    for said in (
        "images of 60x40 pixels are fitted to 48x48, 25 of 25; data.size takes another side",
        "1 broken image ('red/broken.jpg') left out; the first: ",
        "images are held out for the test",
        "2 of 2 classes have fewer than 20 training images (blue 3, red 1",
        "every class is drawn equally often, since one has over 3 times the images of another (data.balance)",
    ):
        assert f"note: {said}" in done.stdout or said in done.stdout
    assert done.stderr == f"next: capsedge train --data {shlex.quote(str(photos))}\n"
    assert json.loads(capsedge("data", str(photos), "--json").stdout)["drawn_equally"] is True
    assert json.loads(capsedge("data", "fashion-mnist-subset", "--json").stdout)["drawn_equally"] is False


def test_json_and_the_options_reach_the_data_set(capsedge: Capsedge, photos: Path) -> None:
    done = capsedge("data", str(photos), "--size", "16", "--group", r"/(.)", "--json")
    found = json.loads(done.stdout)
    assert found["shape"] == [16, 16, 3]
    assert sum(sum(counts.values()) for counts in found["classes"].values()) == 25
    (broken,) = (each for each in found["remarks"] if each["code"] == "broken-images")
    assert broken["numbers"] == {"count": 1}
    again = capsedge("data", str(photos), "--size", "16", "--group", r"/(.)")
    assert again.stderr.endswith("--set data.size=16 --set 'data.group=/(.)'\n")


def test_the_sheet_shows_every_class_as_it_is_fitted(capsedge: Capsedge, photos: Path, tmp_path: Path) -> None:
    place = tmp_path / "seen.png"
    assert capsedge("data", str(photos), "--sheet", str(place)).returncode == 0
    pixels = np.asarray(Image.open(place)).astype(int)
    red = (pixels[..., 0] > 190) & (pixels[..., 1] == 0)
    blue = (pixels[..., 2] > 190) & (pixels[..., 1] == 0)
    # Of red 12 images, of blue all three; of each 32 rows of 48, since 60x40 lies in a square of 48.
    assert (red.sum(), blue.sum()) == (12 * 48 * 32, 3 * 48 * 32)
    assert np.flatnonzero(blue.any(1)).max() < np.flatnonzero(red.any(1)).min()


@pytest.fixture
def without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine without data sets; gives the names of those that are fetched, of which nothing arrives."""
    monkeypatch.delenv("CAPSEDGE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("capsedge.data.known.SYSTEM_FOLDER", tmp_path / "system")
    fetched: list[str] = []
    monkeypatch.setattr("capsedge.data.fetch._fetch", lambda name, *_: fetched.append(name))
    return fetched


@pytest.mark.parametrize(
    "words",
    [["data", "mnist"], ["train", "mnist-l2"], ["eval", "builtin", "--data", "mnist"]],
    ids=lambda words: words[0],
)
def test_every_command_names_one_that_fetches_what_is_not_here(
    capsedge: Capsedge, without_data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = capsedge(*words).stderr
    assert without_data == []
    found = re.search(r"'mnist' is not on this machine: capsedge (.*) fetches it, or put", said)
    assert found is not None, said
    advised = shlex.split(found[1])
    assert advised[0] in COMMANDS
    assert capsedge(*advised).returncode == 1  # nothing has arrived
    assert without_data == ["mnist"]


def test_a_subset_that_stands_in_is_told(capsedge: Capsedge, without_data: list[str]) -> None:
    said = capsedge("data", "fashion-mnist").stderr
    assert said.startswith("note: the full fashion-mnist is not on this machine; --download downloads it\n")
    assert "note" not in capsedge("data", "fashion-mnist-subset").stderr
    capsedge("data", "fashion-mnist", "--download")
    assert without_data == ["fashion-mnist"]


def test_what_has_no_name_cannot_be_downloaded(capsedge: Capsedge, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\n")
    for place, kind in ((photos, "folder"), (tmp_path / "list.csv", "file")):
        done = capsedge("data", str(place), "--download")
        assert done.returncode == 2
        assert done.stderr.startswith(f"capsedge: '{place}' is a {kind}: name one of fashion-mnist, mnist")


def test_a_mistake_is_one_line(capsedge: Capsedge, photos: Path, tmp_path: Path) -> None:
    line = one_line(capsedge("data", str(photos), "--sheet", "seen.jpg"), 2)
    assert line.endswith("expected a file name that ends in .png, got 'seen.jpg': give 'seen.png'")
    line = one_line(capsedge("data", str(photos), "--size", "5000"), 2)
    assert line == f"capsedge: data.size: expected 8 to 4,096 pixels, got 5000; {SIZE_BY_IMAGES}"
    assert "has no images: they are expected in <class>/*" in one_line(capsedge("data", str(tmp_path)), 1)


def test_damaged_exif_data_gives_no_warnings_of_pillow(tmp_path: Path) -> None:
    tag = b"\x0e\x01\x02\x00\xff\xff\x00\x00\x10\x00\x00\x00"  # a text of 65,535 bytes, which are not there
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + tag + bytes(4)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), 20 * number).save(tmp_path / name / f"{number}.jpg", exif=exif)
    done = subprocess.run(
        [sys.executable, "-m", "capsedge", "data", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "UserWarning" not in done.stderr
