"""Minibatches: every image once, the same for the same seed, on any number of ranks, from any start."""

from collections import Counter

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from capsedge.data import Dataset, Overlaid, Split
from capsedge.recipe import DataRecipe
from capsedge.training import batches as module
from capsedge.training.batches import Batch, Batches, on_device

CPU = torch.device("cpu")
PLAIN = DataRecipe()
VARIED = DataRecipe(crop=20, flip=True, brightness=0.2, contrast=0.5)
TURNED = DataRecipe(shift=2, rotation=15, scale=0.1, erase=0.5)
OVERLAPPED = DataRecipe(overlap=4, brightness=0.2, contrast=0.5, epoch_images=230)


def batches_of(
    data: Split | Overlaid,
    recipe: DataRecipe = PLAIN,
    *,
    seed: int = 1,
    batch_size: int = 64,
    rank: int = 0,
    ranks: int = 1,
) -> Batches:
    return Batches(data, recipe=recipe, batch_size=batch_size, seed=seed, device=CPU, rank=rank, ranks=ranks)


def single(little: Dataset) -> Split:
    assert isinstance(little.train, Split)
    return little.train


def pairs(little: Dataset, per_image: int = 1000) -> Overlaid:
    return Overlaid(single(little), 4, seed=9, per_image=per_image)


def same(one: Batch, two: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True)) and one.total == two.total


def test_an_epoch_holds_every_image_once_with_its_label(little: Dataset) -> None:
    train = single(little)
    batches = batches_of(train)
    parts = list(batches.epoch(0))
    assert [len(part.labels) for part in parts] == [part.total for part in parts] == [64, 64, 64, 38]
    assert (len(batches), batches.images) == (4, 230)
    seen = {
        (image.numpy().tobytes(), int(label))
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    }
    scaled = (train.images.astype(np.float32) * np.float32(1 / 255)).transpose(0, 3, 1, 2)
    assert seen == {(scaled[i].tobytes(), int(train.labels[i])) for i in range(len(train))}


def test_what_erasing_hides_is_still_to_be_drawn(little: Dataset) -> None:
    """As it is without erasing, which is drawn last and so leaves the other variations what they are."""
    moved = DataRecipe(shift=2, flip=True, brightness=0.2, contrast=0.5)
    plain, hidden = (batches_of(single(little), recipe) for recipe in (moved, replace(moved, erase=1)))
    for whole, part in zip(plain.epoch(0), hidden.epoch(0), strict=True):
        assert torch.equal(part.parts, whole.images[:, None])
        assert (part.images != whole.images).flatten(1).any(1).all()


def test_the_order_depends_on_seed_and_epoch_alone(little: Dataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = batches_of(single(little), DataRecipe(shift=2), seed=seed)
        return [int(label) for part in batches.epoch(epoch) for label in part.labels]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_variations_differ_from_batch_to_batch_and_from_epoch_to_epoch(little: Dataset) -> None:
    grey = Split(np.full((128, 4, 4, 1), 100, np.uint8), np.zeros(128, np.int64))
    batches = batches_of(grey, DataRecipe(brightness=0.3))
    seen = [part.images[:, 0, 0, 0] for epoch in (0, 1) for part in batches.epoch(epoch)]
    assert len({tuple(values.tolist()) for values in seen}) == 4
    assert all(len(set(values.tolist())) > 60 for values in seen)


@pytest.mark.parametrize("recipe", [DataRecipe(shift=2), VARIED, TURNED, OVERLAPPED])
def test_an_epoch_resumed_in_its_middle_gives_the_same_varied_batches(little: Dataset, recipe: DataRecipe) -> None:
    batches = batches_of(pairs(little) if recipe.overlap else single(little), recipe)
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, first=2))
    assert len(rest) == 2
    assert all(same(one, two) for one, two in zip(whole[2:], rest, strict=True))


@pytest.mark.parametrize("recipe", [VARIED, TURNED, OVERLAPPED], ids=["varied", "turned", "overlapped"])
@pytest.mark.parametrize("ranks", [2, 3, 50])
def test_ranks_share_each_minibatch_and_together_see_what_one_sees(
    little: Dataset, recipe: DataRecipe, ranks: int
) -> None:
    data = pairs(little) if recipe.overlap else single(little)
    alone = list(batches_of(data, recipe).epoch(2))
    shared = [list(batches_of(data, recipe, rank=rank, ranks=ranks).epoch(2)) for rank in range(ranks)]
    assert [part.total for part in alone] == [64, 64, 64, 38]
    for index, whole in enumerate(alone):
        for rank in range(ranks):
            mine = shared[rank][index]
            assert mine.total == whole.total
            assert len(mine.images) == len(range(rank, whole.total, ranks))  # none where ranks exceed the images
            for ours, theirs in zip(mine[:3], whole[:3], strict=True):
                assert torch.equal(ours, theirs[rank::ranks])


def test_overlapped_images_are_those_of_the_virtual_set_with_both_parts(little: Dataset) -> None:
    data = pairs(little, per_image=20)
    (part,) = batches_of(data, DataRecipe(overlap=4, epoch_images=60)).epoch(0)
    assert part.images.shape == (60, 1, 36, 36)
    assert part.parts.shape == (60, 2, 1, 36, 36)
    assert part.labels.shape == (60, 2)
    # Which items they are is known by making all of them.
    every = data.take(np.arange(len(data)))
    known = {image.tobytes(): labels.tolist() for image, labels in zip(every.images, every.labels, strict=True)}
    for image, labels, pair in zip(part.images, part.labels, part.parts, strict=True):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        assert known[pixels.tobytes()] == labels.tolist()
        assert torch.allclose(image, pair.sum(0).clamp(max=1))
    # Each part is a base image of the label beside it: its pixels' sum is one that such an image has.
    sums = Counter(
        (int(label), int(image.sum())) for image, label in zip(data.base.images, data.base.labels, strict=True)
    )
    for labels, pair in zip(part.labels.flatten(), part.parts.flatten(0, 1), strict=True):
        assert sums[int(labels), round(float(pair.double().sum()) * 255)]


def test_variations_of_overlapped_images_leave_their_parts_alone(little: Dataset) -> None:
    plain, varied = (
        next(batches_of(pairs(little), recipe).epoch(0))
        for recipe in (DataRecipe(overlap=4, epoch_images=60), DataRecipe(overlap=4, epoch_images=60, brightness=0.3))
    )
    assert torch.equal(plain.parts, varied.parts)
    assert not torch.equal(plain.images, varied.images)


def first_images(batches: Batches, epochs: int) -> list[int]:
    """Which base image is in the first part, known by its value."""
    parts = [part.parts[:, 0].amax((1, 2, 3)) for epoch in range(epochs) for part in batches.epoch(epoch)]
    return [round(value * 255) for value in torch.cat(parts).tolist()]


def test_no_overlapped_image_comes_twice_before_all_have_come() -> None:
    values = np.arange(1, 21, dtype=np.uint8).reshape(-1, 1, 1, 1)
    data = Overlaid(Split(values, np.arange(20, dtype=np.int64) % 4), 1, seed=0, per_image=6)  # 120 items
    batches = batches_of(data, DataRecipe(overlap=4, epoch_images=50), batch_size=16)
    assert (len(batches), batches.images) == (4, 50)
    firsts = first_images(batches, 12)  # 600 items: five times through, across epochs and within batches
    for start in range(0, 600, 120):
        assert Counter(firsts[start : start + 120]) == dict.fromkeys(range(1, 21), 6)
    assert firsts[:120] != firsts[120:240]


def test_an_epoch_of_no_stated_length_is_the_whole_virtual_set(little: Dataset) -> None:
    batches = batches_of(pairs(little, per_image=2))
    assert batches.images == 460
    assert sum(part.total for part in batches.epoch(0)) == 460


def test_the_paper_s_sixty_million_images_take_no_memory(little: Dataset) -> None:
    data = pairs(little, per_image=60_000_000 // 230 + 1)
    batches = batches_of(data, DataRecipe(overlap=4, epoch_images=640))
    assert len(data) > 60_000_000
    assert sum(part.total for part in batches.epoch(50_000)) == 640


def test_images_arrive_on_the_device_with_a_row_of_labels_each(little: Dataset) -> None:
    images, labels = on_device(little.test, CPU)
    assert images.shape == (100, 1, 28, 28)
    assert labels.tolist() == [[label] for label in little.test.labels]
    images, labels = on_device(pairs(little).spread(5), CPU)
    assert (images.shape, labels.shape) == ((5, 1, 36, 36), (5, 2))


def test_of_overlapped_images_only_what_they_are_made_of_is_sent(
    little: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, ...]] = []

    def record(tensor: Tensor, device: torch.device) -> Tensor:
        sent.append(tuple(tensor.shape))
        return tensor.to(device)

    monkeypatch.setattr(module, "_sent", record)
    next(batches_of(pairs(little), DataRecipe(overlap=4, epoch_images=60, brightness=0.3), ranks=2).epoch(0))
    assert sorted(sent) == [(30,), (30, 2), (30, 2, 2)]  # brightness, two images, two shifts


def test_what_is_sent_to_a_gpu_is_pinned_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    copied: list[tuple[Tensor, str, bool]] = []

    def pin(tensor: Tensor) -> Tensor:
        assert tensor.is_contiguous()  # else the copy goes by way of memory that is not pinned
        pinned.append(tensor.clone())
        return pinned[-1]

    def copy(tensor: Tensor, device: torch.device, non_blocking: bool = False) -> Tensor:
        copied.append((tensor, device.type, non_blocking))
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", copy)
    one, two = torch.arange(10)[1::2], torch.arange(3)
    assert module._sent(one, torch.device("cuda", 1)).tolist() == [1, 3, 5, 7, 9]
    assert module._sent(two, CPU) is two
    assert [(each is pinned[0], *rest) for each, *rest in copied] == [(True, "cuda", True), (False, "cpu", False)]
    assert len(pinned) == 1


def rare(counts: tuple[int, ...]) -> Split:
    """Images whose number is in their first pixels, of classes of these sizes."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.zeros((len(labels), 24, 24, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(len(labels)) % 256, np.arange(len(labels)) // 256
    return Split(images, labels)


def test_a_balanced_epoch_draws_every_class_alike_often_and_each_image_of_a_class_too() -> None:
    batches = batches_of(rare((300, 10, 41)), DataRecipe(balance=True))
    epochs = [torch.cat([batch.images[:, 0, 0, :2] for batch in batches.epoch(number)]) for number in range(2)]
    for pixels in epochs:
        numbers = (pixels * 255).round().long() @ torch.tensor([1, 256])
        drawn = Counter(numbers.tolist())
        of_class = [[drawn[number] for number in part] for part in (range(300), range(300, 310), range(310, 351))]
        assert [sum(counts) for counts in of_class] == [117, 117, 117]
        assert [(min(counts), max(counts)) for counts in of_class] == [(0, 1), (11, 12), (2, 3)]
        assert numbers.tolist() != sorted(numbers.tolist())
    assert not torch.equal(*epochs)
    labels = torch.cat([batch.labels for batch in batches.epoch(0)])[:, 0]
    assert 25 < int((labels[:64] == 1).sum()) + int((labels[:64] == 2).sum()) < 60, "classes are mixed"


@pytest.mark.parametrize("recipe", [DataRecipe(balance=True), PLAIN])
def test_classes_that_differ_by_no_more_than_three_to_one_are_left_alone(recipe: DataRecipe) -> None:
    even = rare((30, 10))
    found = torch.cat([batch.images for batch in batches_of(even, recipe).epoch(0)])
    assert torch.equal(found, torch.cat([batch.images for batch in batches_of(even).epoch(0)]))
    if recipe is PLAIN:
        uneven = rare((31, 10))
        labels = torch.cat([batch.labels for batch in batches_of(uneven, recipe).epoch(0)])
        assert torch.bincount(labels[:, 0]).tolist() == [31, 10]
