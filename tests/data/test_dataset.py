"""Splits, and the rule by which the validation images are held out."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import Dataset, Overlaid, Split
from capsedge.data.dataset import VALIDATION_SEED, assemble, overlapped
from capsedge.data.dataset import hold_out as chosen
from capsedge.errors import DataError
from capsedge.fit import Fit

# Each image shows its own position, so that a split can be asked which images it has.
SHAPE = 1, 2, 1


def numbered(labels: list[int] | NDArray[np.int64]) -> Split:
    count = len(labels)
    positions = np.stack([np.arange(count) // 256, np.arange(count) % 256], axis=1).astype(np.uint8)
    return Split(positions.reshape(count, *SHAPE), np.asarray(labels, dtype=np.int64))


def hold_out(split: Split, classes: tuple[str, ...]) -> tuple[Split, Split]:
    """What stays, and what is held out."""
    held = chosen(split.labels, classes)
    return Split(split.images[~held], split.labels[~held]), Split(split.images[held], split.labels[held])


def positions(split: Split) -> list[int]:
    pixels = split.images.reshape(len(split), 2).astype(int)
    return [int(high) * 256 + int(low) for high, low in pixels]


def permutation_by_the_book(seed: int, count: int) -> list[int]:
    """MT19937 (Matsumoto and Nishimura 1998) and Fisher-Yates with masked rejection, without numpy."""
    key = [seed]
    for i in range(1, 624):
        key.append((1812433253 * (key[-1] ^ (key[-1] >> 30)) + i) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*key, 624), None))
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        while (chosen := generator.getrandbits(32) & mask) > last:
            pass
        order[last], order[chosen] = order[chosen], order[last]
    return order


def test_the_parts_are_disjoint_together_the_whole_and_in_the_order_of_the_files() -> None:
    labels = [i % 3 for i in range(90)]
    parts = hold_out(numbered(labels), ("a", "b", "c"))
    assert sorted(at for part in parts for at in positions(part)) == list(range(90))
    for part in parts:
        assert positions(part) == sorted(positions(part))
        assert [labels[at] for at in positions(part)] == part.labels.tolist()


@pytest.mark.parametrize(("count", "each"), [(2000, 40), (60_000, 500)])  # 2000 / 5 / 10, and 5000 / 10
def test_validation_is_a_fifth_up_to_5000_with_the_same_number_of_every_class(count: int, each: int) -> None:
    held = chosen(np.arange(count, dtype=np.int64) % 10, tuple("abcdefghij"))
    assert np.bincount(np.flatnonzero(held) % 10).tolist() == [each] * 10


def test_an_imbalanced_class_gives_at_most_a_fifth_and_at_least_one() -> None:
    labels = [0] * 100 + [1] * 10 + [2] * 2
    train, validation = hold_out(numbered(labels), ("many", "few", "two"))
    # 112 // 5 = 22 images, 22 // 3 = 7 a class; a fifth of 10 is 2; of 2 images one is kept for training.
    assert np.bincount(validation.labels).tolist() == [7, 2, 1]
    assert np.bincount(train.labels).tolist() == [93, 8, 1]


@pytest.mark.parametrize(("count", "told"), [(0, "0 training images"), (1, "1 training image")])
def test_a_class_that_cannot_be_in_both_parts_is_refused(count: int, told: str) -> None:
    with pytest.raises(DataError, match=f"class 'rare' has {told}; at least 2"):
        hold_out(numbered([0] * 10 + [1] * count), ("common", "rare"))


def test_the_choice_is_the_stated_permutation_whatever_numpy_or_the_seed_of_others_is() -> None:
    labels = [i % 3 for i in range(90)]
    np.random.seed(5)
    _, validation = hold_out(numbered(labels), ("a", "b", "c"))
    # 90 // 5 // 3 = 6 of each class, whose members are every third image.
    expected = [c + 3 * at for c in range(3) for at in permutation_by_the_book(VALIDATION_SEED + c, 30)[:6]]
    assert positions(validation) == sorted(expected)


def test_the_description_counts_the_images_of_the_three_splits() -> None:
    dataset = assemble(
        numbered([0, 1] * 10),
        numbered([0, 1, 0]),
        name="n",
        title="Things",
        classes=("a", "b"),
        location="/here",
        source="/here",
    )
    assert dataset.description == "Things: 16 training, 4 validation, 3 test images"
    assert (dataset.shape, dataset.name, dataset.location, dataset.fit) == (SHAPE, "n", "/here", Fit())


def test_the_hash_tells_any_other_pixel_or_label() -> None:
    one, two = made_of(numbered([0, 1]), numbered([0])), made_of(numbered([0, 1]), numbered([1]))
    assert one.sha256() == made_of(numbered([0, 1]), numbered([0])).sha256()
    assert one.sha256() != two.sha256()
    two = made_of(numbered([0, 1]), numbered([0]))
    assert isinstance(two.train, Split)
    two.train.images[1, 0, 0, 0] ^= 1
    assert one.sha256() != two.sha256()


def made_of(train: Split, test: Split) -> Dataset:
    return Dataset("n", "n", ("a", "b"), train, train, test, Fit(), "", "", "")


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (numbered([]), "'n' has no test images"),
        (Split(np.zeros((1, 3, 5, 1), np.uint8), np.zeros(1, np.int64)), "images of 1 x 2 x 1 and test .* 3 x 5 x 1"),
        (numbered([0, -1]), "has 2 classes and test labels from -1 to 0"),
        (numbered([0, 2]), "has 2 classes and test labels from 0 to 2"),
        (
            Split(np.zeros((1, *SHAPE), np.uint8), np.zeros((1, 2), np.int64)),
            "has 1 label for a training image and 2 for a test image",
        ),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(test: Split, said: str) -> None:
    with pytest.raises(DataError, match=said):
        made_of(numbered([0, 1]), test)


def small(count: int = 60) -> Dataset:
    """Each image has its own value from 1 upwards; three classes."""
    images = np.arange(1, count + 21, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.arange(count + 20, dtype=np.int64) % 3
    train, test = Split(images[:count], labels[:count]), Split(images[count:], labels[count:])
    names = ("a", "b", "c")
    return assemble(train, test, name="n", title="Things", classes=names, location="/here", source="/here")


def test_overlapped_parts_are_made_of_their_own_images_alone() -> None:
    single = small()
    double = overlapped(single, 1, title="Things", evaluation_images=300)
    assert (len(double.validation), len(double.test)) == (12, 20)
    assert isinstance(single.train, Split)
    assert isinstance(double.train, Overlaid)
    assert double.train.base is single.train
    assert (double.shape, double.labels_per_image, double.train.per_image) == ((3, 3, 1), 2, 1000)
    for part, of in ((double.validation, single.validation), (double.test, single.test)):
        own = set(of.images.ravel().tolist())
        sums = {a + b for a in own for b in own}
        assert set(part.images.ravel().tolist()) <= {0} | own | sums
        brightest = part.images.max(axis=(1, 2, 3))
        assert set(part.labels.ravel().tolist()) == {0, 1, 2}
        assert brightest.min() >= min(own)


def test_no_part_has_more_overlapped_images_than_single_ones_nor_more_than_asked() -> None:
    single = small()
    lengths = {}
    for wanted in (5, 15, 10_000):
        double = overlapped(single, 1, title="Things", evaluation_images=wanted)
        lengths[wanted] = len(double.validation), len(double.test)
    assert lengths == {5: (5, 5), 15: (12, 15), 10_000: (12, 20)}
    assert double.description.endswith("12 validation images of 12, 20 test images of 20")
    # Each single image is the first of one pair.
    assert double.test.labels[:, 0].tolist() == single.test.labels.tolist()


def test_a_part_that_cannot_be_overlapped_is_named() -> None:
    images = np.arange(1, 61, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.arange(60, dtype=np.int64) % 3
    whole, of_two = Split(images, labels), Split(images[labels < 2], labels[labels < 2])
    for at, part in enumerate(("training", "validation", "test")):
        train, validation, test = (of_two if at == position else whole for position in range(3))
        single = Dataset("n", "n", ("a", "b", "c"), train, validation, test, Fit(), "", "", "")
        with pytest.raises(
            DataError,
            match=rf"data set 'n', {part} images: expected images of three .* 40 of 2: set data\.overlap=0, or",
        ):
            overlapped(single, 1, title="", evaluation_images=5)


def test_overlapped_parts_are_drawn_differently() -> None:
    labels = np.arange(20, dtype=np.int64) % 3
    same = Split(np.full((20, 2, 2, 1), 9, np.uint8), labels)
    single = Dataset("n", "n", ("a", "b", "c"), same, same, same, Fit(), "", "", "")
    double = overlapped(single, 2, title="", evaluation_images=50)
    assert (double.validation.images != double.test.images).any()


def test_the_hash_of_overlapped_images_tells_what_decides_them() -> None:
    hashes = {
        overlapped(small(count), reach, title="", evaluation_images=number).sha256()
        for count, reach, number in ((60, 1, 20), (60, 2, 20), (60, 1, 10), (57, 1, 20))
    }
    assert len(hashes) == 4
    assert overlapped(small(), 1, title="", evaluation_images=20).sha256() in hashes
    split = small().train
    assert isinstance(split, Split)
    parts = [Overlaid(split, 1, 0), Overlaid(split, 1, 1), Overlaid(split, 2, 0), Overlaid(split, 1, 0, 10)]
    assert len({b"".join(bytes(piece) for piece in part.content()) for part in parts}) == 4
