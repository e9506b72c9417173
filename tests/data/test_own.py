"""How a person's images are divided: nothing on two sides, and what can mislead is said."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from capsedge.data import Dataset, Split
from capsedge.data.items import Part
from capsedge.data.own import Own, divided, put_in_order
from capsedge.errors import DataError


def own(
    labels: Sequence[int], *, pixels: Sequence[int] | None = None, parts: Sequence[Part | None] = (), **more: Any
) -> Own:
    """Images of 2x2 whose number is in their pixels."""
    numbers = np.array(range(len(labels)) if pixels is None else pixels)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = numbers % 256, numbers // 256
    classes = tuple("abcdefgh"[: max(labels) + 1])
    names = [f"{classes[label]}/{position}.png" for position, label in enumerate(labels)]
    return Own(Split(images, np.array(labels, np.int64)), classes, parts or [None] * len(labels), names, **more)


def dataset_of(given: Own) -> Dataset:
    return divided(given, name="n", location="/here", source="/here")


def numbers(split: Split) -> set[int]:
    return {int(low) + 256 * int(high) for low, high in split.images[:, 0, :, 0]}


def parts_of(dataset: Dataset) -> list[set[int]]:
    assert isinstance(dataset.train, Split)
    return [numbers(split) for split in (dataset.train, dataset.validation, dataset.test)]


def test_a_fifth_of_each_class_is_for_the_test_and_a_fifth_of_the_rest_for_validation() -> None:
    dataset = dataset_of(own([0] * 300 + [1] * 100 + [2] * 100))
    counts = [np.bincount(split.labels).tolist() for split in (dataset.test, dataset.validation)]
    # 500 // 5 // 3 of each class, but no more than a fifth of its images; then the same of the other 413.
    assert counts == [[33, 20, 20], [28, 16, 16]]
    train, validation, test = parts_of(dataset)
    assert len(train | validation | test) == 500
    assert len(train) + len(validation) + len(test) == 500
    assert dataset.remarks[0].text == "no test images were given: 73 of 500 images are held out for the test"
    assert parts_of(dataset_of(own([0] * 300 + [1] * 100 + [2] * 100))) == [train, validation, test]


def test_parts_that_were_given_stay_as_they_are() -> None:
    labels = [0, 1] * 30
    parts: list[Part | None] = [("train", "validation", "test")[i % 3] for i in range(60)]
    dataset = dataset_of(own(labels, parts=parts))
    assert parts_of(dataset) == [{*range(start, 60, 3)} for start in range(3)]
    without_validation = [None if part == "validation" else part for part in parts]
    train, validation, test = parts_of(dataset_of(own(labels, parts=without_validation)))
    assert test == {*range(2, 60, 3)}
    assert len(validation) == 8
    assert not train & validation


def test_images_with_the_same_pixels_stay_on_one_side() -> None:
    labels = [0, 1] * 100
    pixels = [position // 4 * 2 + position % 2 for position in range(200)]  # each number twice
    parts = parts_of(dataset_of(own(labels, pixels=pixels)))
    assert sum(map(len, parts)) == 100  # no number in two parts
    assert all(parts)


def test_images_of_one_group_stay_on_one_side_whatever_their_class() -> None:
    labels = [0, 1] * 60
    patients = [position // 6 for position in range(120)]
    parts = parts_of(dataset_of(own(labels, groups=[f"patient {each}" for each in patients])))
    seen = [{patients[number] for number in part} for part in parts]
    assert sum(map(len, seen)) == 20
    assert all(seen)


def test_a_class_that_is_all_of_one_group_is_refused() -> None:
    with pytest.raises(DataError, match=r"the 4 images of class 'b' belong together, .* \(data\.group, or the same"):
        dataset_of(own([0] * 40 + [1] * 4, groups=[*map(str, range(40)), *"xxxx"]))


@pytest.mark.parametrize(("count", "said"), [(1, "1 image,"), (2, "2 images,")])
def test_a_class_with_fewer_than_three_images_is_refused(count: int, said: str) -> None:
    with pytest.raises(DataError, match=rf"class 'b' has {said} and at least 3 are needed: one to learn from"):
        dataset_of(own([0] * 10 + [1] * count))
    assert len(dataset_of(own([0] * 10 + [1] * 3)).validation) >= 2


def test_copies_across_given_parts_and_under_two_classes_are_told() -> None:
    labels = [0, 1, 0, 1, 0, 1, 0, 1]
    pixels = [0, 1, 2, 3, 0, 5, 2, 0]
    parts: list[Part | None] = ["train", "train", "train", "train", "validation", "validation", "test", "test"]
    found = dataset_of(own(labels, pixels=pixels, parts=parts)).remarks
    remarks = [each.text for each in found]
    assert (
        "1 validation image ('a/4.png' of 'a/0.png') with the same pixels as a training image: "
        "the validation error is too low"
    ) in remarks
    assert any(each.startswith("3 test images ('a/6.png' of 'a/2.png', 'b/7.png' of 'a/0.png', ") for each in remarks)
    assert (
        "1 image ('b/7.png' of 'a/0.png') with the same pixels as an image of another class: one of the two is wrong"
        in remarks
    )


def test_few_images_of_a_class_and_a_small_validation_part_are_told() -> None:
    found = dataset_of(own([0] * 100 + [1] * 12)).remarks
    remarks = [each.text for each in found]
    assert any(
        each.startswith("class 'a' has 80 training images and 'b' 8: compare by the balanced") for each in remarks
    )
    assert any(
        each.startswith("1 of 2 classes has fewer than 20 training images (b 8): more images") for each in remarks
    )
    assert any(
        each.startswith("there are 11 validation images, so one more wrong answer is 9.1 points") for each in remarks
    )
    assert not any(each.code in ("few-images", "small-validation") for each in dataset_of(own([0, 1] * 400)).remarks)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_images_are_put_in_order_where_they_lie(count: int) -> None:
    random = np.random.default_rng(count)
    given = random.integers(0, 256, (count, 3, 2, 1), np.uint8)
    for order in (np.arange(count), np.arange(count)[::-1], random.permutation(count), np.roll(np.arange(count), 1)):
        images = given.copy()
        put_in_order(images, order)
        assert np.array_equal(images, given[order])
