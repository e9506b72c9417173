"""What a training leaves behind, and resuming against never having stopped."""

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from capsedge.data import Dataset, Split
from capsedge.data.dataset import overlapped
from capsedge.errors import Interrupted, ModelError, ProviderError
from capsedge.models import build_network
from capsedge.recipe import Recipe, RoutingKind
from capsedge.training import Run, Trainer
from capsedge.training.checkpoint import Position
from capsedge.training.metrics import read_metrics
from tests.tiny import tiny_recipe


class Clock:
    """Stands in for the module `time`: a second passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


class Quiet:
    """An observer that counts, can press Ctrl-C after a number of steps, and lets a second pass at each."""

    def __init__(self, interrupt_after: int | None = None, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.steps = 0
        self.rows: list[dict[str, Any]] = []
        self.interrupt_after = interrupt_after

    def started(self, position: Position, epochs: int, batches: int) -> None:
        pass

    def stepped(self, images: int) -> None:
        self.steps += 1
        self.clock.seconds += 1
        if self.steps == self.interrupt_after:
            os.kill(os.getpid(), signal.SIGINT)

    def measured(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


def train(
    recipe: Recipe, data: Dataset, path: Path, interrupt_after: int | None = None, clock: Clock | None = None
) -> Run:
    run = Run(path)
    trainer = Trainer(recipe, data, run, device="cpu")
    if (path / "run.json").exists():
        trainer.resume()
    else:
        trainer.start()
    trainer.train(Quiet(interrupt_after, clock))
    return run


@pytest.mark.parametrize(
    "base",
    [f"fashion-mnist-{kind}-small" for kind in get_args(RoutingKind)],
)
def test_every_routing_kind_learns_and_leaves_a_finished_run(base: str, little: Dataset, tmp_path: Path) -> None:
    run = train(tiny_recipe("train.epochs=20", "train.rate=0.005", base=base), little, tmp_path / "run")
    record = run.read_record()
    assert record.status == "finished"
    rows = read_metrics(run.metrics)
    losses = [row["loss"] for row in rows if row["kind"] == "training"]
    assert losses[-1] < 0.75 * losses[0]
    validation = [row["error"] for row in rows if row["kind"] == "validation"]
    assert record.scores[0].error == min(validation)
    assert record.best_epoch == validation.index(min(validation)) + 1
    assert min(validation) < 0.6  # ten classes: guessing is wrong in 0.9
    assert rows[-1]["kind"] == "test"


@pytest.mark.parametrize("kind", ["l2", "dynamic"])
def test_a_network_of_two_hidden_layers_learns_with_the_recipes_scales(
    kind: str, little: Dataset, tmp_path: Path
) -> None:
    hidden = ("network.hidden=[[16, 16], [16, 16]]", "network.primary_dim=8", "network.class_dim=16")
    longer = ("train.epochs=25", "train.rate=0.003", "train.batch_size=32", "routing.rate=2e-4")
    run = train(tiny_recipe(*hidden, *longer, base=f"fashion-mnist-{kind}-small"), little, tmp_path / "run")
    assert min(row["error"] for row in read_metrics(run.metrics) if row["kind"] == "validation") < 0.7


def test_the_seed_alone_decides_the_weights(little: Dataset, tmp_path: Path) -> None:
    def weights(seed: int, drawn_before: int) -> Tensor:
        torch.manual_seed(drawn_before)
        trainer = Trainer(tiny_recipe(f"train.seed={seed}"), little, Run(tmp_path / "run"), device="cpu")
        return trainer.network.conv.weight.detach()

    assert torch.equal(weights(3, drawn_before=1), weights(3, drawn_before=2))
    assert not torch.equal(weights(3, drawn_before=1), weights(4, drawn_before=1))


def test_the_best_network_is_the_one_that_the_validation_images_choose(little: Dataset, tmp_path: Path) -> None:
    """The labels are what the network says after one epoch (validation) and after three (test)."""
    constant = ("train.schedule=constant", "train.rate=0.005")
    after_1 = train(tiny_recipe(*constant, "train.epochs=1"), little, tmp_path / "1")
    after_3 = train(tiny_recipe(*constant, "train.epochs=3"), little, tmp_path / "3")
    first, third = (answers(run, little.test) for run in (after_1, after_3))
    assert (first != third).any()
    torn = dataclasses.replace(
        little,
        validation=Split(little.validation.images, answers(after_1, little.validation)),
        test=Split(little.test.images, third),
    )
    run = train(tiny_recipe(*constant, "train.epochs=3"), torn, tmp_path / "run")

    record = run.read_record()
    assert record.best_epoch == 1
    assert [(score.split, score.error) for score in record.scores] == [
        ("validation", 0),
        ("test", pytest.approx((first != third).mean())),
    ]
    best, expected, last = (load_file(path) for path in (run.best, after_1.last, run.last))
    assert best.keys() == {key for key in expected if key.startswith("network.")}
    assert all(torch.equal(best[key], expected[key]) for key in best)
    assert not torch.equal(best["network.conv.weight"], last["network.conv.weight"])


def answers(run: Run, split: Split) -> NDArray[np.int64]:
    """First classes by the network of a run's last epoch."""
    recipe = run.read_recipe()
    network = build_network(recipe, classes=10, shape=(28, 28, 1))
    tensors = load_file(run.last)
    network.load_state_dict({name: tensors[f"network.{name}"] for name in network.state_dict()})
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        first: NDArray[np.int64] = network(images).lengths.argmax(1).numpy()
    return first


@pytest.mark.parametrize(
    ("overrides", "interrupt_after"),
    [
        (("data.shift=2",), 2),  # within the first epoch
        (("routing.step=ascent", "train.schedule=cosine"), 4),  # at the end of the first epoch
        (("network.decoder=[16]", "routing.kind=l1", "train.precision=bf16"), 6),  # within the second
        (("network.hidden=[[6, 4]]", "routing.kind=l1", "routing.proximal=true"), 2),
        (("train.validations=3",), 3),  # between two validations of an epoch
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    overrides: tuple[str, ...], interrupt_after: int, little: Dataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe(*overrides)
    whole = train(recipe, little, tmp_path / "whole")
    with pytest.raises(Interrupted, match="interrupted"):
        train(recipe, little, tmp_path / "parts", interrupt_after)
    assert Run(tmp_path / "parts").read_record().status == "training"
    parts = train(recipe, little, tmp_path / "parts")
    for name in ("last.safetensors", "best.safetensors"):
        expected, got = load_file(whole.path / name), load_file(parts.path / name)
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert timeless(whole) == timeless(parts)
    assert whole.read_record().scores == parts.read_record().scores


def timeless(run: Run) -> list[dict[str, Any]]:
    """The metrics rows without what the clock measured."""
    return [
        {key: value for key, value in row.items() if key != "images_per_second"} for row in read_metrics(run.metrics)
    ]


def test_rows_after_the_checkpoint_are_dropped_when_a_killed_run_is_resumed(little: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    whole = train(recipe, little, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(recipe, little, tmp_path / "parts", interrupt_after=5)
    with (tmp_path / "parts" / "metrics.jsonl").open("ab") as file:  # work done after the checkpoint, then a cut line
        file.write(b'{"kind":"training","step":7,"loss":9.0}\n{"kind":"trai')
    assert timeless(train(recipe, little, tmp_path / "parts")) == timeless(whole)


def test_a_resumed_run_counts_the_images_and_seconds_of_each_session_once(
    little: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock on which every iteration takes a second; each epoch has batches of 64, 64, 64 and 38 images."""
    clock = Clock()
    monkeypatch.setattr("capsedge.training.log.time", clock)
    with pytest.raises(Interrupted):
        train(tiny_recipe(), little, tmp_path / "run", interrupt_after=2, clock=clock)
    run = train(tiny_recipe(), little, tmp_path / "run", clock=clock)
    speeds = [row["images_per_second"] for row in read_metrics(run.metrics) if row["kind"] == "training"]
    assert speeds == [(64 + 38) / 2, 230 / 4, 230 / 4]  # the first 128 images are the interrupted session's
    assert run.read_record().seconds == 12


def test_a_run_that_ended_before_it_was_marked_finished_writes_its_test_row_once(
    little: Dataset, tmp_path: Path
) -> None:
    run = train(tiny_recipe(), little, tmp_path / "run")
    finished, rows = run.read_record(), read_metrics(run.metrics)
    run.write_record(msgspec.structs.replace(finished, status="training", scores=(), best_epoch=0))
    train(tiny_recipe(), little, run.path)
    assert read_metrics(run.metrics) == rows
    assert [row["kind"] for row in rows].count("test") == 1
    assert run.read_record() == finished


def test_frozen_coefficients_stay_and_the_others_move(little: Dataset, tmp_path: Path) -> None:
    moved = {}
    for kind in ("frozen", "l2"):
        run = train(tiny_recipe(base=f"fashion-mnist-{kind}-small"), little, tmp_path / kind)
        routing = run.load_best().routing
        assert isinstance(routing.b, Tensor)
        moved[kind] = (routing.b - 1).abs().max().item()
    assert moved["frozen"] == 0
    assert moved["l2"] > 0.01


def test_a_diverging_training_says_so(little: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe("routing.step=ascent", "routing.rate=1e30")
    with pytest.raises(ModelError, match=r"training diverged.*lower train\.rate or routing\.rate"):
        train(recipe, little, tmp_path / "run")


def test_cuda_without_cuda_is_an_error(little: Dataset, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ProviderError, match="finds no CUDA device here"):
        Trainer(tiny_recipe(), little, Run(tmp_path / "run"), device="cuda")


def test_the_metrics_file_holds_the_statistics_of_b(little: Dataset, tmp_path: Path) -> None:
    run = train(tiny_recipe(), little, tmp_path / "run")
    last = [row for row in read_metrics(run.metrics) if row["kind"] == "validation"][-1]
    b = load_file(run.last)["network.routing.b"]
    assert last["b"]["spread"] == pytest.approx(b.std().item())
    assert last["b"]["largest"] == pytest.approx(b.abs().max().item())
    assert last["b"]["negative"] == pytest.approx(float((b < 0).sum()) / b.numel())
    assert set(last["b"]) == {"mean", "spread", "largest", "negative", "zero"}
    assert msgspec.json.decode((run.path / "run.json").read_bytes())["classes"] == list(little.classes)


def test_validations_are_spread_over_the_epoch_and_the_best_of_all_is_kept(little: Dataset, tmp_path: Path) -> None:
    run = train(tiny_recipe("train.validations=2", "train.rate=0.005"), little, tmp_path / "run")
    rows = [row for row in read_metrics(run.metrics) if row["kind"] == "validation"]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 2), (1, 4), (2, 6), (2, 8), (3, 10), (3, 12)]
    best = min(rows, key=lambda row: float(row["error"]))
    record = run.read_record()
    assert (record.scores[0].error, record.best_epoch) == (best["error"], best["epoch"])


def test_two_overlapped_garments_are_learned_and_scored_by_exact_match(little: Dataset, tmp_path: Path) -> None:
    pairs = overlapped(little, 1, title="overlapped", evaluation_images=60)
    recipe = tiny_recipe("data.overlap=1", "data.epoch_images=230", "train.epochs=12", "train.rate=0.005")
    run = train(recipe, pairs, tmp_path / "run")
    network, split = run.load_best(), pairs.test
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        lengths = network(images).lengths
    wrong = [
        set(each.tolist()) != set(label.tolist())
        for each, label in zip(lengths.topk(2, 1).indices, split.labels, strict=True)
    ]
    assert run.read_record().scores[1].error == pytest.approx(sum(wrong) / len(wrong))
    losses = [row["loss"] for row in read_metrics(run.metrics) if row["kind"] == "training"]
    assert losses[-1] < 0.8 * losses[0]
