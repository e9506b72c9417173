"""A model in Python: every form of an image, threads, other processes."""

import multiprocessing
import os
import pickle
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import capsedge
from capsedge.errors import DataError, WrongUse
from capsedge.runtime.model import Array, Model, One
from tests.runtime.capsule_model import CLASSES, evaluate, images


@pytest.fixture
def model(good: Path) -> Iterable[Model]:
    with capsedge.load(good) as opened:
        yield opened


def lengths(predictions: Iterable[capsedge.Prediction]) -> list[dict[str, float]]:
    return [{guess.class_name: guess.length for guess in (*each.answer, *each.next_best)} for each in predictions]


def test_an_image_is_the_same_in_every_form(model: Model, good: Path, tmp_path: Path) -> None:
    pixels = images(1)[0, ..., 0]
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    forms: list[One | Array] = [file, str(file), file.read_bytes(), Image.open(file), pixels, pixels[..., np.newaxis]]
    forms.append(BytesIO(file.read_bytes()))
    found = [model.predict(form, top=len(CLASSES)) for form in forms]
    with file.open("rb") as first:
        found += [
            model.predict(first, top=len(CLASSES)),
            *model.predict([BytesIO(file.read_bytes())], top=len(CLASSES)),
        ]
    wanted, _ = evaluate(good, pixels[np.newaxis, ..., np.newaxis])
    for each in found:
        assert isinstance(each, capsedge.Prediction)
        (by_name,) = lengths([each])
        np.testing.assert_allclose([by_name[name] for name in CLASSES], wanted[0], atol=2e-6)
    assert found[0] == found[1]


def test_many_images_give_a_list_in_their_order(model: Model) -> None:
    batch = images(7, seed=2)
    together = model.predict(batch, top=len(CLASSES))
    assert isinstance(together, list)
    apart = [model.predict(image, top=len(CLASSES)) for image in batch]
    generated = model.predict((image for image in batch), top=len(CLASSES), batch=3)
    for other in (apart, generated):
        for one, two in zip(lengths(together), lengths(other), strict=True):
            assert one == pytest.approx(two, abs=2e-6)
    assert model.predict([]) == []


def test_what_pillow_opened_is_read_as_its_file_is_and_stays_as_it_was(model: Model, tmp_path: Path) -> None:
    turned = Image.fromarray(images(1, seed=4)[0, ..., 0])
    exif = Image.Exif()
    exif[274] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    deep = images(1, seed=5)[0, ..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for name in ("turned.png", "deep.png"):
        opened = Image.open(tmp_path / name)
        size, mode = opened.size, opened.mode
        found = model.predict(opened, top=len(CLASSES))
        (wanted,) = model.predict([tmp_path / name], top=len(CLASSES))
        assert lengths([found]) == lengths([wanted])
        assert (opened.size, opened.mode) == (size, mode)
        assert "transparency" not in opened.info


def test_what_is_no_image_is_refused_in_words(model: Model, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken.png' cannot be read as an image"):
        model.predict(tmp_path / "broken.png")
    with pytest.raises(DataError, match=r"^image 1 cannot be read as an image"):
        model.predict([images(1)[0], b"no image"])
    with pytest.raises(WrongUse, match=r"is a folder: Model.stream takes folders"):
        model.predict(tmp_path)
    with pytest.raises(WrongUse, match=r"^the image: expected uint8 .*, got float64 \[28, 28\]$"):
        model.predict(images(1)[0, ..., 0] / 255)
    with pytest.raises(WrongUse, match=r"^image 0: expected uint8 .*, got uint8 \[28, 28, 4\]$"):
        model.predict(np.zeros((1, 28, 28, 4), np.uint8))
    with pytest.raises(WrongUse, match=r"^expected an image, .*, got int$"):
        model.predict(3)  # type: ignore[call-overload]
    with pytest.raises(WrongUse, match=r"^image 0: expected a path, bytes, .*, got NoneType$"):
        model.predict([None])  # type: ignore[list-item]
    with (tmp_path / "broken.png").open() as text, pytest.raises(WrongUse, match="open in binary mode"):
        model.predict(text)
    for asking in (model.predict, model.stream):
        with pytest.raises(WrongUse, match=r"^top: expected 1 or more classes, got 0$"):
            asking(tmp_path / "broken.png", top=0)


def test_a_stream_tells_of_broken_images_in_their_place(model: Model, tmp_path: Path) -> None:
    for number, image in enumerate(images(3)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    found = list(model.stream([tmp_path]))
    assert [type(each) for each in found] == [capsedge.Prediction, capsedge.Broken, capsedge.Prediction]
    with pytest.raises(DataError, match="there is no image file or folder"):
        model.stream([tmp_path / "nowhere"])
    with pytest.raises(WrongUse, match=r"expected paths, got numpy.ndarray: predict takes arrays"):
        model.stream(images(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("bound", [False, True])
def test_threads_share_it(good: Path, bound: bool) -> None:
    batch = images(24, seed=8)
    with capsedge.load(good, capsedge.Settings(io_binding=bound)) as model, ThreadPoolExecutor(8) as pool:
        wanted = [model.predict(image) for image in batch]
        assert list(pool.map(model.predict, batch)) == wanted


def _answer(model: Model, image: Array) -> tuple[str, float]:
    answer = model.predict(image)
    assert isinstance(answer, capsedge.Prediction)
    return str(answer.class_name), answer.length


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_other_processes_open_it_for_themselves(model: Model, way: str) -> None:
    batch = images(6, seed=9)
    wanted = [_answer(model, image) for image in batch]
    with multiprocessing.get_context(way).Pool(2) as pool:
        found = pool.starmap(_answer, [(model, image) for image in batch])
    assert found == wanted
    assert len(pickle.dumps(model)) < 1_000_000, "the file is named, not carried"


def _inherited(image: Array) -> tuple[str, float]:
    return _answer(SHARED[0], image)


SHARED: list[Model] = []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_opens_the_model_that_it_inherited_for_itself(good: Path, threads: int) -> None:
    """ONNX Runtime's threads do not follow a fork: to use, or to free, the other's session would wait for ever."""
    batch = images(6, seed=9)
    with capsedge.load(good, capsedge.Settings(threads=threads)) as model:
        wanted = [_answer(model, image) for image in batch]
        SHARED[:] = [model]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(_inherited, batch) == wanted
        child = os.fork()
        if not child:
            model.close()
            SHARED.clear()
            del model
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        SHARED.clear()


def test_a_stream_keeps_its_model_open(good: Path, tmp_path: Path) -> None:
    for number, image in enumerate(images(40)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number:02}.png")
    assert len(list(capsedge.load(good).stream(tmp_path, batch=4))) == 40
    model = capsedge.load(good)
    answers = model.stream(str(tmp_path), batch=4)
    next(answers)
    model.close()
    assert len(list(answers)) == 39


def test_it_may_be_closed_while_others_ask(good: Path) -> None:
    image = images(1)[0]
    with capsedge.load(good) as model, ThreadPoolExecutor(4) as pool:
        wanted = model.predict(image)
        asked = [pool.submit(model.predict, image) for _ in range(200)]
        for _ in range(50):
            model.close()
        assert all(each.result() == wanted for each in asked)


def test_what_cannot_be_asked_is_refused_in_words(model: Model) -> None:
    image = images(1)[0]
    with pytest.raises(WrongUse, match="batch: expected 1 or more images, got 0"):
        model.predict([image], batch=0)
    with pytest.raises(WrongUse, match="batch: expected 1 or more images, got -1"):
        model.stream("samples", batch=-1)
    with pytest.raises(WrongUse, match="invert: expected auto, yes, no, got 'maybe'"):
        model.predict(image, invert="maybe")  # type: ignore[call-overload]
    with pytest.raises(WrongUse, match=r"got uint8 \[0, 0\]"):
        model.predict(np.zeros((0, 0), np.uint8))
    with pytest.raises(WrongUse, match="provider: expected cpu, "):
        capsedge.Settings(provider="tpu")  # type: ignore[arg-type]


def test_it_says_what_it_is(model: Model, good: Path) -> None:
    assert (model.classes, model.provider, model.file) == (CLASSES, "CPUExecutionProvider", good.absolute())
    assert model.contract.input.shape == (28, 28, 1)
    assert model.verify().ok
    assert repr(model) == f"<capsedge.Model {good.absolute()} of {len(CLASSES)} classes>"
    model.close()
    assert model.predict(images(1)[0]) == capsedge.load(good).predict(images(1)[0]), "opened again"
