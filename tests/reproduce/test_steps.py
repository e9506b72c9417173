"""Times of steps against a clock that the steps themselves move; memory of processes of their own."""

import statistics
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from capsedge.data import load_dataset
from capsedge.errors import CapsedgeError
from capsedge.reproduce import steps
from capsedge.reproduce.steps import measure, peak_memory, quartiles, ratios, whole_batches
from capsedge.training import Run, Trainer
from tests.tiny import tiny_recipe


class Machine:
    """Trainers whose steps take known seconds of a clock, which is slower in some rounds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[str] = []
        self.factor = 1.0

    def perf_counter(self) -> float:
        return self.now

    def trainer(self, label: str, seconds: float) -> Any:
        def iterate(_: object) -> None:
            self.taken.append(label)
            self.now += seconds * self.factor

        def epoch(_: int) -> Iterator[object]:
            yield SimpleNamespace(total=8)
            yield SimpleNamespace(total=3)  # the uneven last one

        return SimpleNamespace(
            iterate=iterate,
            batches=SimpleNamespace(epoch=epoch, images=11),
            devices=SimpleNamespace(device=torch.device("cpu")),
            recipe=SimpleNamespace(train=SimpleNamespace(batch_size=8)),
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(steps, "time", machine)
    return machine


def test_every_round_takes_one_step_of_each_in_an_order_that_moves_on(machine: Machine) -> None:
    trainers = {label: machine.trainer(label, 1.0) for label in "abc"}
    seconds = measure(trainers, rounds=4, warm_up=2)
    rounds = ["".join(machine.taken[start : start + 3]) for start in range(0, len(machine.taken), 3)]
    assert len(rounds) == 6
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert [each[0] for each in rounds] == ["b", "c", "a", "b", "c", "a"]
    assert {label: len(each) for label, each in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_busy_moment_changes_no_ratio(machine: Machine) -> None:
    def busy(share: float) -> None:
        machine.factor = 7.0 if 0.4 < share < 0.7 else 1.0

    seconds = measure(
        {"slow": machine.trainer("slow", 3.0), "fast": machine.trainer("fast", 2.0)},
        rounds=9,
        warm_up=1,
        progress=busy,
    )
    assert max(seconds["fast"]) == pytest.approx(14)
    assert set(ratios(seconds, "slow", "fast").__struct_fields__) == {"low", "median", "high"}
    for share in (ratio := ratios(seconds, "slow", "fast")).low, ratio.median, ratio.high:
        assert share == pytest.approx(1.5)


def test_the_first_steps_do_not_count(machine: Machine) -> None:
    machine.factor = 100.0

    def warm(share: float) -> None:
        machine.factor = 1.0

    assert measure({"a": machine.trainer("a", 1.0)}, rounds=3, warm_up=1, progress=warm)["a"] == pytest.approx(
        [1] * 3
    )


def test_quartiles_are_those_of_the_values() -> None:
    got = quartiles([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (got.low, got.median, got.high) == (2, 3, 4)
    assert quartiles([1.5]).median == 1.5
    values = [0.3, 0.7, 0.1, 0.9]
    assert quartiles(values).median == pytest.approx(statistics.median(values))


def test_uneven_batches_are_left_out_and_the_epochs_go_on() -> None:
    recipe = tiny_recipe("train.batch_size=600")  # 1,600 images: two whole batches an epoch
    trainer = Trainer(recipe, load_dataset("fashion-mnist-subset"), Run(SimpleNamespace()), device="cpu")  # type: ignore[arg-type]
    batches = whole_batches(trainer)
    drawn = [next(batches) for _ in range(5)]
    assert [len(batch.images) for batch in drawn] == [600] * 5
    assert not torch.equal(drawn[0].images, drawn[2].images)  # another epoch, another order


def test_memory_is_that_of_the_training_and_not_of_who_asked() -> None:
    """The asker holds 1.6 GB, which getrusage would hand down; a wider network is seen in the peak.

    torch's CUDA build alone takes 0.9 GB.
    """
    ballast = bytearray(1_600_000_000)
    small = peak_memory(tiny_recipe(), device="cpu", steps=1)
    wide = peak_memory(tiny_recipe("network.decoder=[2500, 2500]"), device="cpu", steps=1)
    if small is None or wide is None:
        pytest.skip("this system tells no process how much memory it held")
    assert small.before_bytes <= small.peak_bytes < len(ballast)
    # 8.3 million weights: once before the first step; then also gradients and Adam's two moments.
    weights = 4 * (40 * 2500 + 2500 * 2500 + 2500 * 784)
    assert wide.before_bytes - small.before_bytes == pytest.approx(weights, rel=0.3)
    assert wide.peak_bytes - small.peak_bytes > 3.5 * weights


def test_a_measurement_that_fails_says_why() -> None:
    recipe = tiny_recipe("data.source=nowhere")
    with pytest.raises(
        CapsedgeError, match=r"memory of recipe 'fashion-mnist-l2-small' could not be measured: .*nowhere"
    ):
        peak_memory(recipe, device="cpu")
