"""Two models on the same images, each fitted as it wants them."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from PIL import Image

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.errors import DataError
from capsedge.export import export_run
from capsedge.fit import Fit
from capsedge.measure.evaluate.beside import as_another_takes
from capsedge.measure.evaluate.labelled import labelled
from capsedge.measure.evaluate.subject import EvaluatedNetwork
from capsedge.onnx_lite.file import read_metadata
from tests.in_process import Capsedge, in_this_process
from tests.measure.evaluate.made import subject
from tests.runtime.capsule_model import CLASSES, evaluate, images, save_with
from tests.tiny import tiny_recipe, train_tiny

capsedge = pytest.fixture(in_this_process)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without parts, of images of many sizes."""
    folder, random = tmp_path_factory.mktemp("own") / "pets", np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            pixels = random.integers(0, 200, (30 + number, 40, 1), np.uint8) + label * 20
            Image.fromarray(pixels[..., 0]).save(folder / name / f"{number}.png")
    return folder


def exported(folder: Path, source: str, size: int) -> str:
    batch = 8 if "/" in source else 256  # own images are few
    recipe = tiny_recipe(f"data.source={source}", f"data.size={size}", "train.epochs=1", f"train.batch_size={batch}")
    run = train_tiny(folder, recipe)
    export_run(run)
    return str(run.path)


@pytest.mark.parametrize("source", ["pets", "fashion-mnist-subset"])
def test_a_model_of_another_size_errs_beside_another_as_it_errs_alone(
    capsedge: Capsedge, pets: Path, tmp_path: Path, source: str
) -> None:
    place = str(pets) if source == "pets" else source
    large, small = (exported(tmp_path / f"of {size}", place, size) for size in (28, 22))
    for part in ("test", "validation"):
        done = capsedge("eval", large, "--compare", small, "--part", part, "--json")
        assert done.returncode == 0, done.stderr
        both, alone = json.loads(done.stdout), json.loads(capsedge("eval", small, "--part", part, "--json").stdout)
        assert both["images"] == alone["images"]
        assert both["comparison"]["error"] == alone["error"]
        assert both["remarks"][-1]["text"].endswith("takes the same images fitted to 22x22 pixels (pad)")
    named = json.loads(capsedge("eval", large, "--data", place, "--compare", small, "--json").stdout)
    assert named["comparison"]["error"] == json.loads(capsedge("eval", small, "--json").stdout)["error"]


def contract_in(file: Path) -> Contract:
    return decode(read_metadata(file)[METADATA_KEY], Contract, source=str(file))


def test_images_are_fitted_from_what_lies_there(pets: Path) -> None:
    first = subject(("cat", "dog"), shape=(8, 28, 1))
    given = labelled(str(pets), first)

    def taken(other: EvaluatedNetwork) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return as_another_takes(given, str(pets), own=False, part="test", first=first, other=other)

    assert taken(first) is given.images
    for other in (
        replace(first, fit=Fit(frame="stretch")),
        replace(first, shape=(30, 30, 1)),
    ):
        height, width, _ = other.shape
        with Image.open(pets / given.names[7]) as image:
            if other.fit.frame == "stretch":
                wanted = image.resize((width, height), Image.Resampling.BILINEAR)
            else:
                inner = image.resize(
                    (round(image.width * 30 / max(image.size)), round(image.height * 30 / max(image.size))), 2
                )
                wanted = Image.new("L", (30, 30))
                wanted.paste(inner, ((30 - inner.width) // 2, (30 - inner.height) // 2))
        assert np.array_equal(taken(other)[7, ..., 0], np.asarray(wanted))
    gone = replace(first, fit=Fit(frame="crop"))
    (pets / given.names[7]).rename(pets / "cat" / "renamed.png")
    with pytest.raises(DataError, match=r"pets' changed while it was read: '.*\.png' is gone"):
        taken(gone)


def test_classes_in_another_order_are_matched_by_name_and_others_are_refused(
    capsedge: Capsedge, good: Path, tmp_path: Path
) -> None:
    contract, model, batch = contract_in(good), onnx.load(good), images(30, seed=5)
    turned = (*CLASSES[3:], *CLASSES[:3])
    save_with(model, msgspec.structs.replace(contract, classes=turned), tmp_path / "turned.onnx")
    labels = np.array([CLASSES[number % len(CLASSES)] for number in range(30)])
    np.savez(tmp_path / "some.npz", images=batch, labels=labels)
    words = ("eval", str(good), "--data", str(tmp_path / "some.npz"), "--json", "--compare")

    found = json.loads(capsedge(*words, str(tmp_path / "turned.onnx")).stdout)

    answers = evaluate(good, batch)[0].argmax(1)
    assert found["error"] == np.mean(
        [CLASSES[answer] != label for answer, label in zip(answers, labels, strict=True)]
    )
    wrong = [turned[answer] != label for answer, label in zip(answers, labels, strict=True)]
    assert found["comparison"]["error"] == np.mean(wrong)
    assert not any(remark["code"] == "fitted-to-other" for remark in found["remarks"])
    save_with(model, msgspec.structs.replace(contract, classes=("horse", *CLASSES[1:])), tmp_path / "horse.onnx")
    done = capsedge(*words, str(tmp_path / "horse.onnx"))
    assert (done.returncode, done.stdout) == (2, "")
    line = f"--compare '{tmp_path / 'horse.onnx'}' has other classes"
    assert json.loads(done.stderr.splitlines()[-1])["error"] == {
        "code": "wrong-use",
        "text": line,
        "advice": "evaluate each on its own",
    }
