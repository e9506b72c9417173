"""Pictures: what is on them, and where they go."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.errors import WrongUse
from capsedge.runtime.infer.classify import DetailedPrediction, Guess, Prediction
from capsedge.runtime.infer.picture import MOST_BARS, draw
from capsedge.runtime.infer.sources.walk import images_below
from capsedge.runtime.infer.visualize import Pictures

BLUE, GREY, RED = (0, 0x72, 0xB2), (0xC2, 0xC7, 0xCC), (0xD5, 0x5E, 0)
CLASSES = ("zero", "one", "two", "three")


def detailed(
    lengths: tuple[float, ...] = (0.1, 0.9, 0.25, 0.5), *, path: str = "a/b.png", **more: object
) -> DetailedPrediction:
    """An answer to four pixels of grey."""
    values = np.array(lengths, np.float32)
    longest = int(np.nanargmax(values))
    names = CLASSES if len(lengths) == len(CLASSES) else [f"class {index}" for index in range(len(lengths))]
    prediction = Prediction(path, names[longest], float(values[longest]), (), **more)  # type: ignore[arg-type]
    return DetailedPrediction(prediction, np.array([[0, 60], [120, 255]], np.uint8)[..., np.newaxis], values, None)


def is_colour(picture: Image.Image, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """[height, width]."""
    is_it: NDArray[np.bool_] = (np.asarray(picture) == colour).all(axis=2)
    return is_it


def bars(picture: Image.Image, colour: tuple[int, int, int]) -> list[int]:
    """Widths of the bars of a colour, from above; text in that colour and its smooth edges are no bars."""
    rows = is_colour(picture, colour).sum(axis=1)
    ends = np.flatnonzero(np.diff((rows > 3).astype(int), prepend=0, append=0))
    spans = ends.reshape(-1, 2)
    return [int(np.median(rows[start:end])) for start, end in spans if end - start > 10]


def test_the_bars_are_as_long_as_the_capsules_and_the_answer_has_its_own_colour() -> None:
    picture = draw(detailed(), CLASSES)
    (answer,), others = bars(picture, BLUE), bars(picture, GREY)
    np.testing.assert_allclose(np.array(others) / answer, np.array([0.1, 0.25, 0.5]) / 0.9, atol=0.02)


def test_all_classes_of_the_answer_are_in_its_colour_and_none_where_there_is_none() -> None:
    assert len(bars(draw(detailed(also=(Guess("three", 0.5),)), CLASSES), BLUE)) == 2
    none = DetailedPrediction(Prediction("a.png", None, 0.9, ()), detailed().pixels, detailed().lengths, None)
    assert bars(draw(none, CLASSES), BLUE) == []
    assert len(bars(draw(none, CLASSES), GREY)) == 4


def test_the_title_is_the_answer_or_says_that_there_is_none() -> None:
    def title(prediction: Prediction) -> bytes:
        pictured = DetailedPrediction(prediction, detailed().pixels, detailed().lengths, None)
        return draw(pictured, CLASSES).crop((0, 0, 150, 50)).tobytes()

    none = title(Prediction("a.png", None, 0.9, ()))
    assert none == title(Prediction("a.png", "no class", 0.9, ()))
    assert len({none, title(detailed().prediction), title(Prediction("a.png", "two", 0.9, ()))}) == 3


def test_the_threshold_is_a_line_between_those_that_reach_it_and_those_that_do_not() -> None:
    picture = draw(detailed(), CLASSES, threshold=0.75)
    assert not is_colour(draw(detailed(), CLASSES), RED).any()
    line = int(np.argmax(is_colour(picture, RED).sum(axis=0)))
    blue = np.flatnonzero(is_colour(picture, BLUE).any(axis=0))
    assert (line - blue[0]) / (blue[-1] - blue[0]) == pytest.approx(0.75 / 0.9, abs=0.02)


def test_the_pixels_are_enlarged_as_sharp_squares_in_their_own_shades() -> None:
    panel = np.asarray(draw(detailed(), CLASSES))[:, :260]
    for shade in (0, 60, 120, 255):
        assert (panel == shade).all(axis=2).sum() >= 112 * 112
    assert (panel == 60).all(axis=2).sum() == 112 * 112


@pytest.mark.parametrize(("drawn", "panels"), [((2, 2, 1), 1), ((2, 2, 2, 1), 2)])
def test_reconstructions_are_drawn_beside_the_image(drawn: tuple[int, ...], panels: int) -> None:
    plain = detailed()
    more = DetailedPrediction(plain.prediction, plain.pixels, plain.lengths, np.full(drawn, 0.6, np.float32))
    assert is_colour(draw(more, CLASSES), (153, 153, 153)).sum() == panels * 224 * 224


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (32, 20, 3), (700, 900, 3)])
def test_images_of_any_size_and_colour_fit(shape: tuple[int, int, int]) -> None:
    plain = detailed()
    picture = draw(DetailedPrediction(plain.prediction, np.full(shape, 77, np.uint8), plain.lengths, None), CLASSES)
    assert max(picture.size) < 1000


def test_a_length_that_is_no_number_is_an_empty_bar() -> None:
    picture = draw(detailed((0.1, 0.9, 0.25, float("nan"))), CLASSES)
    assert len(bars(picture, GREY)) == 2


def test_of_very_many_classes_the_longest_are_drawn_and_long_names_are_cut() -> None:
    lengths = tuple(np.linspace(0.01, 0.99, 100).tolist())
    names = [f"class {index}" for index in range(100)]
    picture = draw(detailed(lengths, path="folder/" * 40 + "image.png"), names)
    assert len(bars(picture, BLUE)) == 1
    assert len(bars(picture, GREY)) == MOST_BARS - 1
    long = draw(detailed(lengths), [f"{name} with a name that goes on and on and on and on" for name in names])
    assert picture.height == long.height
    assert long.width < 1000


def test_a_folder_gets_a_file_for_each_image_whose_names_cannot_collide(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path / "seen", alone=False)
    paths = ["a/1.png", "b/1.png", "c.zip/../../1.png", "x\x1b[31m?.jpg", "-", "n" * 300 + ".png"]
    files = [pictures.keep(number, detailed(path=path), CLASSES) for number, path in enumerate(paths, 1)]
    names = ["00001-1", "00002-1", "00003-1", "00004-x_31m", "00005-image", "00006-" + "n" * 60]
    assert [file.name for file in files] == [f"{name}.png" for name in names]
    assert sorted((tmp_path / "seen").iterdir()) == files
    assert list(tmp_path.iterdir()) == [tmp_path / "seen"]


def test_a_picture_of_ours_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "seen.png"
    Pictures(file, alone=True).keep(1, detailed(), CLASSES)
    before = file.read_bytes()
    Pictures(file, alone=True).keep(1, detailed((0.9, 0.1, 0.1, 0.1)), CLASSES)
    assert file.read_bytes() != before
    for foreign in (b"notes", Path(__file__).read_bytes()):
        file.write_bytes(foreign)
        with pytest.raises(WrongUse, match=r"seen\.png' exists and was not drawn by capsedge infer"):
            Pictures(file, alone=True)
        assert file.read_bytes() == foreign
    Image.new("L", (2, 2)).save(file)
    with pytest.raises(WrongUse, match="was not drawn by capsedge infer"):
        Pictures(file, alone=True)
    (tmp_path / "00007-b.png").write_text("mine")
    with pytest.raises(WrongUse, match=r"00007-b\.png' exists"):
        Pictures(tmp_path, alone=False).keep(7, detailed(), CLASSES)


def test_one_file_is_for_one_image_and_a_folder_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="--visualize: expected a folder for several images"):
        Pictures(tmp_path / "seen.png", alone=False)
    (tmp_path / "notes").touch()
    with pytest.raises(WrongUse, match=r"expected a folder, got the file"):
        Pictures(tmp_path / "notes", alone=True)


def test_what_was_drawn_is_no_image_of_the_next_run(tmp_path: Path) -> None:
    drawn = Pictures(tmp_path / "seen", alone=False).keep(1, detailed(), CLASSES)

    assert drawn.is_file()
    assert list(images_below(tmp_path)) == []


@pytest.mark.parametrize("name", ["seen.svg", "seen.JPG", "seen.pdf"])
def test_a_picture_of_another_format_is_no_folder(tmp_path: Path, name: str) -> None:
    for alone in (True, False):
        with pytest.raises(
            WrongUse, match=r"--visualize: expected a folder or a PNG file, .*: give '.*seen\.png', or a folder"
        ):
            Pictures(tmp_path / name, alone=alone)
    (tmp_path / name).mkdir()
    assert not Pictures(tmp_path / name, alone=False).single
