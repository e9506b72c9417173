"""A person's images lie in memory once: where they fill it, there is no room for a second copy."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsedge.data import load_dataset
from capsedge.measure.evaluate.labelled import labelled
from tests.measure.evaluate.made import subject

COUNT, SHAPE = 300, (96, 96, 3)
SIZE = COUNT * 96 * 96 * 3


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Path:
    """300 images of three classes, and one that is broken, so that the others do not lie where they were read to."""
    place = tmp_path_factory.mktemp("many") / "photos"
    for number, image in enumerate(pixels):
        (place / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / "abc"[number % 3] / f"{number}.bmp")
    cut = (place / "a" / "0.bmp").read_bytes()[:5000]
    (place / "a" / "0-cut.bmp").write_bytes(cut)
    return place


def peak(load: Callable[[], object]) -> float:
    """The most memory that a load takes at once, in copies of the images."""
    load()  # what is imported and kept by the first
    tracemalloc.start()
    try:
        kept = load()
        most = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return most / SIZE


def test_a_folder_is_read_divided_and_evaluated_with_one_copy(folder: Path) -> None:
    dataset = load_dataset(str(folder), size=96)
    assert any("1 broken image" in each.text for each in dataset.remarks)
    for split, names in zip((dataset.train, dataset.validation, dataset.test), dataset.names, strict=True):
        for image, name in zip(split.images, names, strict=True):  # type: ignore[union-attr]  # nothing is overlapped
            with Image.open(folder / name) as file:
                assert np.array_equal(image, np.asarray(file)), name

    assert peak(lambda: load_dataset(str(folder), size=96)) < 1.5
    assert peak(lambda: labelled(str(folder), subject("abc", shape=SHAPE))) < 1.5


def test_arrays_are_divided_with_one_copy(
    tmp_path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    place = tmp_path / "all.npz"
    np.savez(place, images=pixels, labels=np.arange(COUNT) % 3)
    dataset = load_dataset(str(place))
    for split, names in zip((dataset.train, dataset.validation, dataset.test), dataset.names, strict=True):
        numbers = [int(name.removeprefix("image ")) for name in names]
        assert np.array_equal(split.images, pixels[numbers])  # type: ignore[union-attr]  # nothing is overlapped
        assert np.array_equal(split.labels, np.array(numbers) % 3)  # type: ignore[union-attr]

    assert peak(lambda: load_dataset(str(place))) < 1.5
    assert peak(lambda: load_dataset(str(place), size=48)) < 1.5
