"""Image files in, predictions out."""

import io
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image

from capsedge.errors import ModelError, WrongUse
from capsedge.runtime import classify as module
from capsedge.runtime.classify import Broken, Prediction, classify, find_images
from capsedge.runtime.open import open_session
from tests.runtime.capsule_model import CLASSES, evaluate, graph, images, save


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


@pytest.mark.parametrize(("top", "others"), [(1, 0), (3, 2), (100, 9)])
def test_as_many_classes_are_named_as_were_asked_for(good: Path, folder: Path, top: int, others: int) -> None:
    with open_session(good) as session:
        (answer,) = classify(session, [folder / "0.png"], top=top)

    assert isinstance(answer, Prediction)
    assert len(answer.next_best) == others


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


def test_nothing_but_broken_files_is_no_failure_of_the_model(good: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")

    with open_session(good) as session:
        assert [type(answer) for answer in classify(session, [tmp_path / "a.png"])] == [Broken]


def test_an_image_is_read_from_standard_input(good: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO((folder / "1.png").read_bytes()))
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdin=stdin))

    with open_session(good) as session:
        (piped,) = classify(session, [Path("-")])
        (named,) = classify(session, [folder / "1.png"])

    assert isinstance(piped, Prediction)
    assert msgspec.structs.replace(piped, path="") == msgspec.structs.replace(named, path="")


def test_images_of_other_sizes_and_colours_are_fitted(good: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")

    with open_session(good) as session:
        (answer,) = classify(session, [tmp_path / "photo.png"])

    assert isinstance(answer, Prediction)


def test_a_model_without_a_contract_cannot_classify(models: Path, folder: Path) -> None:
    with (
        open_session(models / "foreign.onnx") as session,
        pytest.raises(ModelError, match="carries no capsedge contract, so its class names, its image size"),
    ):
        next(classify(session, [folder / "0.png"]))


def test_a_prediction_is_one_json_object() -> None:
    answer = Prediction("a.png", "Coat", 0.5, (module.Guess("Dress", 0.25),))

    assert msgspec.json.decode(msgspec.json.encode(answer)) == {
        "path": "a.png",
        "class": "Coat",
        "length": 0.5,
        "next_best": [{"class": "Dress", "length": 0.25}],
    }


def test_a_prediction_of_two_classes_names_the_second_in_a_field_of_its_own() -> None:
    answer = Prediction("a.png", "Coat", 0.5, (), (module.Guess("Dress", 0.25),))

    assert msgspec.json.decode(msgspec.json.encode(answer)) == {
        "path": "a.png",
        "class": "Coat",
        "length": 0.5,
        "next_best": [],
        "also": [{"class": "Dress", "length": 0.25}],
    }


def test_folders_are_searched_at_any_depth_and_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/deep/er.webp", "a/notes.txt", "c.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = find_images([tmp_path, tmp_path / "a" / "notes.txt", Path("-")])

    names = ["a/deep/er.webp", "a/z.JPG", "b.png", "c.tif", "a/notes.txt"]
    assert found == [*(tmp_path / name for name in names), Path("-")]


def test_a_path_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"there is no image file or folder '.*gone\.png'"):
        find_images([tmp_path / "gone.png"])


def test_a_folder_without_images_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(WrongUse, match=r"the folder '.*' holds no images \(.*\.png.*\)"):
        find_images([tmp_path])
