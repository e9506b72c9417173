"""Which images an evaluation takes, and how their labels become the model's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsedge.contract import Fit
from capsedge.errors import DataError
from capsedge.runtime.evaluate.labelled import Labelled, labelled, of_run, with_copies
from capsedge.training import dataset_of
from tests.tiny import tiny_recipe, train_tiny

SHAPE = (4, 4, 1)


def saved(path: Path, labels: list[int] | list[str]) -> str:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    np.savez(path / "some.npz", images=pixels, labels=np.array(labels))
    return str(path / "some.npz")


def test_numbers_that_the_model_knows_are_matched_by_name_however_it_orders_them(tmp_path: Path) -> None:
    classes = tuple(sorted(str(number) for number in range(12)))  # 0, 1, 10, 11, 2, ...
    found = labelled(saved(tmp_path, [*range(12)]), classes=classes, shape=SHAPE, fit=Fit())
    assert [classes[label] for label in found.labels] == [str(number) for number in range(12)]
    assert found.remarks == ()
    assert found.images[:, 0, 0, 0].tolist() == [*range(12)], "all of them, since there are no parts"


def test_numbers_that_it_does_not_know_are_taken_in_its_order_and_that_is_said(tmp_path: Path) -> None:
    found = labelled(saved(tmp_path, [1, 0, 2]), classes=("ant", "bee", "cat"), shape=SHAPE, fit=Fit())
    assert found.labels.tolist() == [1, 0, 2]
    (said,) = found.remarks
    assert "has numbers for classes, taken in the order of the model's: 0 ant, 1 bee, 2 cat" in said
    with pytest.raises(DataError, match=r"has 2 classes \('0', '1'\) that the model does not know"):
        labelled(saved(tmp_path, [1, 0, 0]), classes=("ant", "bee", "cat"), shape=SHAPE, fit=Fit())


def test_names_as_labels_are_matched_by_name(tmp_path: Path) -> None:
    found = labelled(saved(tmp_path, ["cat", "bee"]), classes=("ant", "bee", "cat"), shape=SHAPE, fit=Fit())
    assert found.labels.tolist() == [2, 1]
    assert found.remarks == ()
    with pytest.raises(
        DataError, match=r"has 1 class \('cow'\) that the model does not know; it knows: ant, bee, cat"
    ):
        labelled(saved(tmp_path, ["cat", "cow"]), classes=("ant", "bee", "cat"), shape=SHAPE, fit=Fit())


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
        return of_run(run.path, classes=dataset.classes, shape=dataset.shape, fit=dataset.fit, part="test")

    found = again()
    assert np.array_equal(found.images, dataset.test.images)
    assert list(found.names) == list(dataset.names[2])
    assert all((tmp_path / "pets" / name).is_file() for name in found.names)

    shutil.copytree(tmp_path / "pets", tmp_path / "more")
    more = labelled(str(tmp_path / "more"), classes=dataset.classes, shape=dataset.shape, fit=dataset.fit)
    told = with_copies(more, run.path, classes=dataset.classes, shape=dataset.shape, fit=dataset.fit)
    assert told.remarks[0].startswith(f"{len(dataset.train)} images (")
    assert told.remarks[0].endswith(
        "of 30 with the pixels of an image that the run has learned from: the error is too low"
    )
    assert with_copies(found, run.path, classes=dataset.classes, shape=dataset.shape, fit=dataset.fit) is found

    Image.new("L", (28, 28), 7).save(tmp_path / "pets/cat/new.png")
    with pytest.raises(DataError, match=r"now holds other images .*may have learned from some: bring the first back"):
        again()
    shutil.rmtree(tmp_path / "pets")
    with pytest.raises(DataError, match=r"run '.*run' was trained on pets: .*cannot be loaded: .*give --data"):
        again()
