"""Overlapped images: the same item every time, made as the paper says, from images of different classes."""

import numpy as np
import pytest

from capsedge.data import Overlaid, Split
from capsedge.errors import DataError


def base(count: int = 40, classes: int = 4, height: int = 5, width: int = 6, channels: int = 1) -> Split:
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (count, height, width, channels)).astype(np.uint8)
    return Split(images, np.arange(count, dtype=np.int64) * 7 % classes)


def by_hand(data: Overlaid, item: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One item, pixel by pixel, from what `draw` says it is made of."""
    indices, offsets = data.draw(np.array([item]))
    height, width, channels = data.shape
    canvas = np.zeros((height, width, channels), dtype=int)
    for index, (down, right) in zip(indices[0], offsets[0], strict=True):
        image = data.base.images[index]
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                canvas[y + data.reach + down, x + data.reach + right] += image[y, x]
    return np.minimum(canvas, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_items_are_the_sums_of_two_shifted_images_cut_at_255(channels: int) -> None:
    data = Overlaid(base(channels=channels), 2, seed=3, per_image=10)
    items = np.arange(0, 400, 13)
    taken = data.take(items)
    assert taken.shape == data.shape == (9, 10, channels)
    for item, image in zip(items, taken.images, strict=True):
        np.testing.assert_array_equal(image, by_hand(data, int(item)))
    assert (taken.images == 255).any()


def test_labels_are_those_of_the_two_images_and_differ() -> None:
    data = Overlaid(base(), 2, seed=3)
    items = np.arange(0, len(data), 29)
    indices, _ = data.draw(items)
    labels = data.take(items).labels
    assert labels.tolist() == [[int(data.base.labels[i]) for i in pair] for pair in indices]
    assert (labels[:, 0] != labels[:, 1]).all()


def test_each_base_image_is_the_first_of_per_image_items() -> None:
    data = Overlaid(base(), 1, seed=0, per_image=7)
    assert len(data) == 40 * 7
    indices, _ = data.draw(np.arange(len(data)))
    assert np.bincount(indices[:, 0]).tolist() == [7] * 40


def test_the_second_image_is_any_of_another_class_equally_often() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2], dtype=np.int64)
    data = Overlaid(Split(np.zeros((6, 1, 1, 1), np.uint8), labels), 1, seed=1, per_image=6000)
    indices, _ = data.draw(np.arange(len(data)))
    for first in range(6):
        seen = np.bincount(indices[indices[:, 0] == first, 1], minlength=6)
        others = labels != labels[first]
        assert (seen[~others] == 0).all()
        # A binomial's five standard deviations.
        share = 6000 / others.sum()
        assert np.abs(seen[others] - share).max() < 5 * np.sqrt(share)


def test_shifts_reach_as_far_as_asked_in_every_direction_independently() -> None:
    data = Overlaid(base(), 4, seed=1)
    _, offsets = data.draw(np.arange(20_000))
    flat = offsets.reshape(-1, 4)
    for axis in range(4):
        assert np.bincount(flat[:, axis] + 4, minlength=9).min() > 1900  # of 2222; standard deviation 44
    correlation = np.corrcoef(flat.T)
    assert np.abs(correlation - np.eye(4)).max() < 0.04
    # Nor do they depend on the item's neighbours.
    assert abs(np.corrcoef(flat[:-1, 0], flat[1:, 0])[0, 1]) < 0.04


def test_an_item_is_the_same_in_any_company_and_in_another_process() -> None:
    one, two = Overlaid(base(), 2, seed=5), Overlaid(base(), 2, seed=5)
    items = np.array([39_999, 0, 17, 17, 8000])
    together = one.take(items)
    for position, item in enumerate(items):
        alone = two.take(np.array([item]))
        np.testing.assert_array_equal(alone.images[0], together.images[position])
        np.testing.assert_array_equal(alone.labels[0], together.labels[position])


def test_another_seed_gives_other_items() -> None:
    items = np.arange(100)
    one, two = (Overlaid(base(), 2, seed=seed).draw(items) for seed in (0, 1))
    assert (one[0][:, 1] != two[0][:, 1]).mean() > 0.8
    assert (one[1] != two[1]).mean() > 0.6


def test_many_items_are_made_in_pieces_without_a_seam() -> None:
    data = Overlaid(base(), 1, seed=2)
    whole = data.take(np.arange(9000))
    for item in (4095, 4096, 8191, 8192, 8999):
        np.testing.assert_array_equal(whole.images[item], by_hand(data, item))


def test_a_spread_of_items_meets_every_base_image() -> None:
    data = Overlaid(base(), 1, seed=2, per_image=25)
    spread = data.spread(80)
    np.testing.assert_array_equal(spread.images[3], by_hand(data, 37))  # 3 * 1000 // 80
    assert len(spread) == 80
    assert np.bincount(data.draw(np.arange(80) * 1000 // 80)[0][:, 0]).tolist() == [2] * 40
    assert len(data.spread(5000)) == 1000


def test_a_virtual_set_of_any_length_takes_no_more_memory() -> None:
    data = Overlaid(base(), 2, seed=5, per_image=10**12)
    assert len(data) == 4 * 10**13
    item = 39 * 10**12 + 5
    np.testing.assert_array_equal(data.take(np.array([item])).images[0], by_hand(data, item))


@pytest.mark.parametrize("item", [-1, 400])
def test_an_item_beyond_the_set_is_an_error(item: int) -> None:
    with pytest.raises(IndexError, match="expected items from 0 to 399"):
        Overlaid(base(), 2, seed=3, per_image=10).take(np.array([5, item]))


@pytest.mark.parametrize("classes", [1, 2])
def test_images_of_so_few_classes_that_every_answer_were_right_cannot_be_overlapped(classes: int) -> None:
    wanted = rf"expected images of three or more classes .* got 40 of {classes}: set data\.overlap=0, or add images"
    with pytest.raises(DataError, match=wanted):
        Overlaid(base(classes=classes), 2, seed=3)


def test_overlapped_images_cannot_be_overlapped_again() -> None:
    data = Overlaid(base(), 2, seed=3).spread(10)
    with pytest.raises(DataError, match=r"cannot be overlapped again: set data\.overlap=0"):
        Overlaid(data, 2, seed=3)


def test_torch_makes_the_same_items_from_the_same_places() -> None:
    torch = pytest.importorskip("torch")
    from capsedge.data.overlap import bordered, laid_over

    data = Overlaid(base(channels=3), 2, seed=3)
    items = np.arange(0, len(data), 777)
    source = torch.from_numpy(bordered(data.base.images))
    indices, offsets = (torch.from_numpy(each) for each in data.draw(items))
    made = laid_over(source[data.places(indices, offsets, count=torch.arange)])
    assert made.dtype == torch.uint8
    np.testing.assert_array_equal(made.numpy(), data.take(items).images)
