"""What ships of Fashion-MNIST is what the stated rule gives."""

import gzip
import importlib.util
import zlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from capsedge.data.idx import read_idx
from capsedge.data.known import KNOWN, SHIPPED_SUBSET

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

needs_the_whole = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_subset", ROOT / "scripts" / "make_subset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raw(folder: Path, part: str) -> tuple[list[bytes], bytes]:
    """Images and labels by the format's offsets (16 and 8 bytes of header), without capsedge's reader."""
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return [images[at : at + 784] for at in range(0, len(images), 784)], labels


@pytest.mark.parametrize(("part", "each"), [("train", 200), ("t10k", 100)])
def test_every_class_has_the_same_number_of_images(part: str, each: int) -> None:
    images, labels = raw(SHIPPED_SUBSET, part)
    assert len(images) == 10 * each
    assert Counter(labels) == dict.fromkeys(range(10), each)


@needs_the_whole
@pytest.mark.parametrize(("part", "each"), [("train", 200), ("t10k", 100)])
def test_the_subset_is_the_first_of_each_class_in_the_order_of_the_file(part: str, each: int) -> None:
    images, labels = raw(DEBIAN, part)
    seen: Counter[int] = Counter()
    chosen = []
    for at, label in enumerate(labels):
        if seen[label] < each:
            chosen.append(at)
        seen[label] += 1
    assert raw(SHIPPED_SUBSET, part) == ([images[at] for at in chosen], bytes(labels[at] for at in chosen))


@needs_the_whole
def test_the_script_makes_the_shipped_files_again(script: ModuleType, tmp_path: Path) -> None:
    script.write_subset(DEBIAN, tmp_path)
    for file in FILES:
        made, shipped = (tmp_path / file).read_bytes(), (SHIPPED_SUBSET / file).read_bytes()
        assert gzip.decompress(made) == gzip.decompress(shipped)
        # zlib-ng packs the same content into other bytes.
        if "ng" not in zlib.ZLIB_RUNTIME_VERSION:
            assert made == shipped


@needs_the_whole
def test_the_script_makes_the_samples_again(script: ModuleType, tmp_path: Path) -> None:
    script.write_samples(DEBIAN, tmp_path)
    made, shipped = (
        {path.name: np.asarray(Image.open(path)) for path in f.glob("*.png")} for f in (tmp_path, SAMPLES)
    )
    assert made.keys() == shipped.keys()
    for name, pixels in shipped.items():
        np.testing.assert_array_equal(made[name], pixels)


@needs_the_whole
def test_a_sample_is_the_test_image_that_its_name_says_and_the_101st_of_its_class() -> None:
    images, labels = raw(DEBIAN, "t10k")
    for path in SAMPLES.glob("*.png"):
        name, _, position = path.stem.rpartition("-")
        label = KNOWN["fashion-mnist"].classes.index(name)
        assert Image.open(path).tobytes() == images[int(position)]
        assert labels[int(position)] == label
        assert labels[: int(position)].count(label) == 100


def test_there_is_one_grey_sample_of_each_class_and_none_is_in_the_subset() -> None:
    subset = {image.tobytes() for image in read_idx(SHIPPED_SUBSET / "t10k-images-idx3-ubyte.gz")}
    samples = {path.stem.rpartition("-")[0]: Image.open(path) for path in SAMPLES.glob("*.png")}
    assert set(samples) == set(KNOWN["fashion-mnist"].classes)
    for image in samples.values():
        assert (image.mode, image.size) == ("L", (28, 28))
        assert image.tobytes() not in subset


def test_the_licence_and_the_origin_ship_with_the_images() -> None:
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in (SHIPPED_SUBSET / "LICENSE").read_text()
    assert "first 200 training and the first 100 test images" in (SHIPPED_SUBSET / "README.md").read_text()


def test_what_ships_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED_SUBSET.iterdir()) < 1_500_000


def test_the_script_says_what_it_needs(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not hold Fashion-MNIST; install Debian's package"):
        script.write_samples(tmp_path, tmp_path)
