"""Image files in, predictions out."""

import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image

from capsedge.contract import Golden
from capsedge.data.images import decode_image
from capsedge.errors import WrongUse
from capsedge.golden import pack_images
from capsedge.runtime.infer.classify import Broken, Guess, Prediction, classify, predict
from capsedge.runtime.open import open_session
from tests.runtime.capsule_model import CLASSES, evaluate, graph, images, save, save_with


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of the model's size: 0.png to 4.png."""
    for index, image in enumerate(images(5, seed=3)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_each_image_gets_the_class_of_its_longest_capsule(good: Path, folder: Path, batch: int) -> None:
    lengths, _ = evaluate(good, images(5, seed=3))
    files = [folder / f"{index}.png" for index in (4, 2, 0, 1, 3)]

    with open_session(good) as session:
        answers = list(classify(session, files, batch=batch))

    for file, answer in zip(files, answers, strict=True):
        expected = lengths[int(file.stem)]
        assert isinstance(answer, Prediction)
        assert answer.path == str(file)
        assert answer.class_name == CLASSES[expected.argmax()]
        assert answer.length == pytest.approx(expected.max(), abs=1e-5)


def test_lengths_are_given_as_they_are_and_not_made_to_sum_to_1(good: Path, folder: Path) -> None:
    lengths, _ = evaluate(good, images(1, seed=3))

    with open_session(good) as session:
        (answer,) = classify(session, [folder / "0.png"], top=10)

    assert isinstance(answer, Prediction)
    given = {answer.class_name: answer.length} | {guess.class_name: guess.length for guess in answer.next_best}
    np.testing.assert_allclose([given[name] for name in CLASSES], lengths[0], atol=1e-5)
    assert sum(given.values()) == pytest.approx(float(lengths.sum()), abs=1e-4) != pytest.approx(1.0)
    assert list(given.values()) == sorted(given.values(), reverse=True)


@pytest.mark.parametrize(("top", "others"), [(None, 1), (1, 0), (2, 0), (5, 3)])
def test_a_model_of_images_that_show_two_classes_answers_with_two(
    top: int | None, others: int, folder: Path, tmp_path: Path
) -> None:
    save(graph(), tmp_path / "two.onnx", labels=2)
    lengths, _ = evaluate(tmp_path / "two.onnx", images(1, seed=3))
    order = np.argsort(-lengths[0])

    with open_session(tmp_path / "two.onnx") as session:
        (answer,) = classify(session, [folder / "0.png"], top=top)

    assert isinstance(answer, Prediction)
    assert [guess.class_name for guess in answer.answer] == [CLASSES[index] for index in order[:2]]
    assert [guess.length for guess in answer.answer] == pytest.approx(lengths[0, order[:2]], abs=1e-5)
    assert [guess.class_name for guess in answer.next_best] == [CLASSES[index] for index in order[2 : 2 + others]]


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_a_broken_file_is_reported_in_its_place_and_the_others_go_on(good: Path, folder: Path, batch: int) -> None:
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    files = [folder / f"{index}.png" for index in range(5)]

    with open_session(good) as session:
        answers = list(classify(session, files, batch=batch))

    assert [type(answer) for answer in answers] == [Prediction, Prediction, Broken, Prediction, Prediction]
    assert [answer.path for answer in answers] == list(map(str, files))
    assert isinstance(answers[2], Broken)
    assert "2.png" in answers[2].error
    with open_session(good) as session:
        assert list(classify(session, files[3:])) == answers[3:]
        assert list(classify(session, files[2:3])) == answers[2:3]  # a batch without an image


def test_an_image_is_read_from_standard_input(good: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO((folder / "1.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)

    with open_session(good) as session:
        (piped,) = classify(session, [Path("-")])
        (named,) = classify(session, [folder / "1.png"])

    assert isinstance(piped, Prediction)
    assert msgspec.structs.replace(piped, path="") == msgspec.structs.replace(named, path="")


def test_standard_input_is_waited_for_where_ctrl_c_can_end_it(
    good: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the main thread is told of Ctrl-C."""

    def silent() -> bytes:
        assert threading.current_thread() is threading.main_thread()
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=silent)))
    named = [folder / "0.png", folder / "1.png", folder / "2.png", Path("-"), folder / "3.png"]
    for paths in (named, named[3:], named[3:4]):
        with open_session(good) as session, pytest.raises(KeyboardInterrupt):
            list(classify(session, paths))


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (Prediction("a.png", "Coat", 0.5, ()), {"class": "Coat"}),
        (
            Prediction("a.png", "Coat", 0.5, (), (Guess("Dress", 0.25),)),
            {"class": "Coat", "also": [{"class": "Dress", "length": 0.25}]},
        ),
        (Prediction("a.png", None, 0.5, (), inverted=True), {"class": None, "inverted": True}),
    ],
)
def test_a_prediction_is_one_json_object(answer: Prediction, fields: dict[str, object]) -> None:
    assert (
        msgspec.json.decode(msgspec.json.encode(answer)) == {"path": "a.png", "length": 0.5, "next_best": []} | fields
    )
    assert len(answer.answer) == (0 if answer.class_name is None else 1 + len(answer.also))


@pytest.mark.parametrize("read_ahead", [True, False])
def test_reading_ahead_changes_no_answer(good: Path, folder: Path, read_ahead: bool) -> None:
    (folder / "3.png").write_text("no image")
    files = [folder / f"{index % 5}.png" for index in range(23)]
    with open_session(good) as session:
        answers = list(classify(session, files, batch=4, read_ahead=read_ahead))
        alone = {file: next(classify(session, [file])) for file in set(files)}
    assert answers == [alone[file] for file in files]


def test_images_are_asked_for_as_they_are_needed_and_never_all_at_once(good: Path, folder: Path) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield folder / "0.png"

    with open_session(good) as session:
        answers = classify(session, endless(), batch=4)
        for _ in range(100):
            next(answers)
        assert asked <= 100 + 4 + 2 * 4


def test_a_list_that_is_still_written_is_answered_line_by_line_without_reading_ahead(
    good: Path, folder: Path
) -> None:
    asked = []

    def coming() -> Iterator[Path]:
        for index in range(3):
            asked.append(index)
            yield folder / f"{index}.png"

    with open_session(good) as session:
        answers = classify(session, coming(), batch=1, read_ahead=False)
        for answered in range(3):
            next(answers)
            assert len(asked) == answered + 1


@pytest.mark.parametrize("place", range(4))
def test_the_answer_is_every_class_that_reaches_the_threshold(good: Path, folder: Path, place: int) -> None:
    lengths = np.sort(evaluate(good, images(1, seed=3))[0][0])[::-1]
    order = np.argsort(-evaluate(good, images(1, seed=3))[0][0])
    threshold = float(lengths[place - 1] + lengths[place]) / 2 if place else 1.0

    with open_session(good) as session:
        (answer,) = classify(session, [folder / "0.png"], threshold=threshold)
        (longer,) = classify(session, [folder / "0.png"], threshold=threshold, top=5)

    assert isinstance(answer, Prediction)
    assert isinstance(longer, Prediction)
    assert [guess.class_name for guess in answer.answer] == [CLASSES[index] for index in order[:place]]
    assert [guess.class_name for guess in answer.next_best] == [CLASSES[order[place]]]
    assert len(longer.answer + longer.next_best) == 5
    assert answer.length == pytest.approx(float(lengths[0]), abs=1e-5)


def test_a_length_that_is_the_threshold_reaches_it(good: Path, folder: Path) -> None:
    with open_session(good) as session:
        (detailed,) = predict(session, [folder / "0.png"])
        assert not isinstance(detailed, Broken)
        (answer,) = classify(session, [folder / "0.png"], threshold=float(detailed.lengths.max()))
    assert isinstance(answer, Prediction)
    assert answer.class_name == detailed.prediction.class_name


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_is_a_length(good: Path, folder: Path, threshold: float) -> None:
    with (
        open_session(good) as session,
        pytest.raises(WrongUse, match=r"threshold: expected a length of 0 to 1, got (-0.1|1.5)"),
    ):
        next(classify(session, [folder / "0.png"], threshold=threshold))


@pytest.fixture(scope="module")
def dark_background(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose golden images are light things on black."""
    file = tmp_path_factory.mktemp("dark") / "dark.onnx"
    contract = save(graph(), file, count=2)
    pixels = np.zeros((2, 28, 28, 1), np.uint8)
    pixels[:, 8:20, 8:20] = 200
    golden: Golden = msgspec.structs.replace(contract.golden, images=pack_images(pixels))
    save_with(graph(), msgspec.structs.replace(contract, golden=golden), file)
    return file


def product(background: int, thing: int) -> Image.Image:
    """A shoe box, 56 x 28."""
    image = Image.new("L", (56, 28), background)
    image.paste(thing, (14, 7, 42, 21))
    return image


def test_dark_on_light_is_inverted_for_a_network_of_light_on_dark_and_said(
    dark_background: Path, tmp_path: Path
) -> None:
    product(255, 30).save(tmp_path / "dark-on-light.png")
    product(0, 225).save(tmp_path / "light-on-dark.png")
    files = [tmp_path / "dark-on-light.png", tmp_path / "light-on-dark.png"]

    with open_session(dark_background) as session:
        turned, plain = predict(session, files)
        (never,) = predict(session, files[:1], invert="no")
        (always,) = predict(session, files[1:], invert="yes")

    assert not any(isinstance(each, Broken) for each in (turned, plain, never, always))
    assert (turned.prediction.inverted, plain.prediction.inverted) == (True, False)  # type: ignore[union-attr]
    np.testing.assert_array_equal(turned.pixels, plain.pixels)  # type: ignore[union-attr]
    np.testing.assert_array_equal(turned.lengths, plain.lengths)  # type: ignore[union-attr]
    inside = np.asarray(decode_image(files[0]).resize((28, 14), Image.Resampling.BILINEAR))
    for detailed, middle in ((never, inside), (always, inside)):
        np.testing.assert_array_equal(detailed.pixels[7:21, :, 0], middle)  # type: ignore[union-attr]
        assert detailed.pixels[:7].max() == 0  # type: ignore[union-attr]
    assert (never.prediction.inverted, always.prediction.inverted) == (False, True)  # type: ignore[union-attr]


def test_an_image_that_is_unclear_alone_is_judged_by_its_folder(dark_background: Path, tmp_path: Path) -> None:
    for number in range(4):
        product(255, 30).save(tmp_path / f"{number}.png")
    shadow = np.asarray(product(255, 30)).astype(float) * np.linspace(0.4, 1, 56)
    Image.fromarray(shadow.astype(np.uint8)).save(tmp_path / "9.png")
    files = sorted(tmp_path.glob("*.png"))
    with open_session(dark_background) as session:
        together = [each.inverted for each in classify(session, files) if isinstance(each, Prediction)]
        (alone,) = classify(session, files[-1:])
    assert together == [True] * 5
    assert isinstance(alone, Prediction)
    assert not alone.inverted


def test_what_the_contract_says_of_the_background_counts_more_than_the_golden_sample(
    dark_background: Path, good: Path, tmp_path: Path
) -> None:
    """Images that were padded have black bars in the sample, whatever they lay on; the sample of `good` has none."""
    model = graph()
    contract = msgspec.structs.replace(save(model, tmp_path / "plain.onnx", count=2), dark_background=False)
    pixels = np.zeros((2, 28, 28, 1), np.uint8)
    golden: Golden = msgspec.structs.replace(contract.golden, images=pack_images(pixels))
    save_with(graph(), msgspec.structs.replace(contract, golden=golden), tmp_path / "light.onnx")
    product(255, 30).save(tmp_path / "a.png")
    for file, expected in ((dark_background, True), (tmp_path / "light.onnx", False), (good, False)):
        with open_session(file) as session:
            (answer,) = classify(session, [tmp_path / "a.png"])
        assert isinstance(answer, Prediction)
        assert answer.inverted is expected


def test_a_dark_drawing_on_nothing_becomes_light_on_black(dark_background: Path, tmp_path: Path) -> None:
    image = Image.new("LA", (28, 28), (0, 0))
    image.paste((0, 255), (8, 8, 20, 20))
    image.save(tmp_path / "icon.png")
    with open_session(dark_background) as session:
        (detailed,) = predict(session, [tmp_path / "icon.png"])
    assert not isinstance(detailed, Broken)
    assert detailed.prediction.inverted
    assert (detailed.pixels[8:20, 8:20] == 255).all()
    assert detailed.pixels.astype(int).sum() == 144 * 255
