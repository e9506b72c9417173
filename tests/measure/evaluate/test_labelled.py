"""Which images an evaluation takes, and how their labels become the model's."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.measure.evaluate.labelled import Labelled, labelled, of_run, with_copies
from capsedge.measure.evaluate.remark import EvalCode
from capsedge.training import dataset_of
from tests.measure.evaluate.made import subject
from tests.tiny import tiny_recipe, train_tiny


def saved(path: Path, labels: list[int] | list[str]) -> str:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    np.savez(path / "some.npz", images=pixels, labels=np.array(labels))
    return str(path / "some.npz")


def test_numbers_that_the_model_knows_are_matched_by_name_however_it_orders_them(tmp_path: Path) -> None:
    classes = tuple(sorted(str(number) for number in range(12)))  # 0, 1, 10, 11, 2, ...
    found = labelled(saved(tmp_path, [*range(12)]), subject(classes))
    assert [classes[label] for label in found.labels] == [str(number) for number in range(12)]
    assert found.remarks == ()
    assert found.images[:, 0, 0, 0].tolist() == [*range(12)], "all of them, since there are no parts"


def test_numbers_that_it_does_not_know_are_taken_in_its_order_and_that_is_said(tmp_path: Path) -> None:
    found = labelled(saved(tmp_path, [1, 0, 2]), subject(("ant", "bee", "cat")))
    assert found.labels.tolist() == [1, 0, 2]
    (said,) = found.remarks
    assert "has numbers for classes, taken in the order of the model's: 0 ant, 1 bee, 2 cat" in said.text
    assert (said.code, said.numbers) == ("assumed-classes", {"classes": 3})
    with pytest.raises(DataError, match=r"has 2 classes \('0', '1'\) that the model does not know"):
        labelled(saved(tmp_path, [1, 0, 0]), subject(("ant", "bee", "cat")))


def test_names_as_labels_are_matched_by_name(tmp_path: Path) -> None:
    found = labelled(saved(tmp_path, ["cat", "bee"]), subject(("ant", "bee", "cat")))
    assert found.labels.tolist() == [2, 1]
    assert found.remarks == ()
    with pytest.raises(
        DataError, match=r"has 1 class \('cow'\) that the model does not know; it knows: ant, bee, cat"
    ):
        labelled(saved(tmp_path, ["cat", "cow"]), subject(("ant", "bee", "cat")))


def test_a_run_whose_images_are_others_now_or_gone_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(15):
            pixels = random.integers(0, 256, (28, 28), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    recipe = tiny_recipe(f"data.source={tmp_path / 'pets'}", "train.epochs=1", "train.batch_size=8")
    dataset = dataset_of(recipe.data)
    run = train_tiny(tmp_path / "run", recipe, dataset)

    def again() -> Labelled:
        return of_run(run.path, classes=dataset.classes, part="test")

    found = again()
    assert np.array_equal(found.images, dataset.test.images)
    assert list(found.names) == list(dataset.names[2])
    assert all((tmp_path / "pets" / name).is_file() for name in found.names)

    shutil.copytree(tmp_path / "pets", tmp_path / "more")
    more = labelled(str(tmp_path / "more"), subject(dataset.classes, shape=dataset.shape))
    told = with_copies(more, run.path, classes=dataset.classes)
    assert told.remarks[0].text.startswith(f"{len(dataset.train)} images (")
    assert told.remarks[0].text.endswith(
        "of 30 with the pixels of an image that the model is trained on: the error is too low"
    )
    assert with_copies(found, run.path, classes=dataset.classes) is found

    Image.new("L", (28, 28), 7).save(tmp_path / "pets/cat/new.png")
    with pytest.raises(DataError, match=r"now holds other images .*restore the former images, or give --data"):
        again()
    shutil.rmtree(tmp_path / "pets")
    with pytest.raises(DataError, match=r"run '.*run' was trained on pets: .*cannot be loaded: .*give --data"):
        again()


def drawn(folder: Path, name: str, *, background: int, ink: int) -> Path:
    image = Image.new("L", (60, 40), background)
    image.paste(ink, (20, 10, 40, 30))
    (folder / "thing").mkdir(parents=True, exist_ok=True)
    image.save(folder / "thing" / name)
    return folder


def test_light_and_dark_are_exchanged_as_by_infer_and_that_is_said(tmp_path: Path) -> None:
    for number in range(4):
        drawn(tmp_path / "some", f"{number}.png", background=230, ink=30)
    found = labelled(str(tmp_path / "some"), subject(["thing", "other"], shape=(20, 30, 1), dark_background=True))
    assert (found.images[:, 0] == 25).all()
    assert (found.images[:, 10, 15] == 225).all()
    assert found.remarks[-1].text == "light and dark were exchanged: the network was trained on a dark background"
    as_they_are = labelled(str(tmp_path / "some"), subject(["thing", "other"], shape=(20, 30, 1)))
    assert (as_they_are.images[:, 0] == 230).all()

    drawn(tmp_path / "some", "9.png", background=10, ink=200)
    mixed = labelled(str(tmp_path / "some"), subject(["thing", "other"], shape=(20, 30, 1), dark_background=True))
    assert mixed.images[-1, 0, 0, 0] == 10
    assert mixed.remarks[-1].text == "light and dark were exchanged in 4 of 5 images, and not in 1: thing/9.png"


def test_figures_are_framed_in_known_formats_too(tmp_path: Path) -> None:
    pixels = np.zeros((4, 28, 28), np.uint8)
    pixels[:, 2:9, 3:10] = 120
    np.savez(tmp_path / "corner.npz", images=pixels, labels=np.array([0, 1, 0, 1]))
    framed = subject(["0", "1"], shape=(28, 28, 1), fit=Fit(frame="figure", levels="full"))
    found = labelled(str(tmp_path / "corner.npz"), framed)
    assert (found.images[:, 14, 14] == 255).all()
    assert (found.images[:, :3] == 0).all()
    assert found.images[:, 6:22, 6:22].min() > 200


def test_the_guide_names_every_code_of_a_remark() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "images.md").read_text(encoding="utf-8")

    assert [code for code in get_args(EvalCode) if f"| `{code}` |" not in guide] == []
