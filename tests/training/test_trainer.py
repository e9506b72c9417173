"""Algorithm 1 against a loop written from the paper, and resuming against never having stopped."""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from capsedge.data import Dataset
from capsedge.errors import Interrupted, ModelError, ProviderError
from capsedge.models import build_network
from capsedge.models.routing import StaticRouting
from capsedge.recipe import Recipe
from capsedge.training import Run, Trainer
from capsedge.training.batches import Batches
from capsedge.training.checkpoint import Position
from capsedge.training.metrics import read_metrics
from tests.tiny import tiny_recipe


class Quiet:
    """An observer that counts, and can press Ctrl-C after a number of steps."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.steps = 0
        self.rows: list[dict[str, Any]] = []
        self.interrupt_after = interrupt_after

    def started(self, position: Position, epochs: int, batches: int) -> None:
        pass

    def stepped(self, images: int) -> None:
        self.steps += 1
        if self.steps == self.interrupt_after:
            os.kill(os.getpid(), signal.SIGINT)

    def measured(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


def train(recipe: Recipe, data: Dataset, path: Path, interrupt_after: int | None = None) -> Run:
    run = Run(path)
    trainer = Trainer(recipe, data, run, device="cpu")
    if (path / "run.json").exists():
        trainer.resume()
    else:
        trainer.start()
    trainer.train(Quiet(interrupt_after))
    return run


@pytest.mark.parametrize(
    "base",
    ["fashion-mnist-l2-small", "fashion-mnist-l1-small", "fashion-mnist-frozen-small", "fashion-mnist-dynamic-small"],
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


def test_one_iteration_is_algorithm_1_computed_by_hand(little: Dataset, tmp_path: Path) -> None:
    """Two weight steps, then two routing steps on fresh primary capsules, by autograd on the objective."""
    recipe = tiny_recipe(
        "train.epochs=1", "train.batch_size=230", "routing.n_b=2", "routing.n_r=2", "routing.reuse_primary=false",
        "routing.step=ascent", "routing.rate=0.05", "routing.penalty=0.1", "train.schedule=constant",
    )  # fmt: skip
    trainer = Trainer(recipe, little, Run(tmp_path / "run"), device="cpu")
    trainer.start()
    trainer.train(Quiet())

    torch.manual_seed(recipe.train.seed)
    network = build_network(recipe, classes=10, shape=(28, 28, 1))
    adam = torch.optim.Adam(network.parameters(), lr=recipe.train.rate)
    batches = Batches(little.train, batch_size=230, seed=0, shift=0, device=torch.device("cpu"))
    ((images, labels),) = batches.epoch(0)
    for _ in range(2):
        lengths = network(images).lengths
        targets = torch.eye(10)[labels]
        loss = targets * (0.9 - lengths).clamp(min=0) ** 2 + 0.5 * (1 - targets) * (lengths - 0.1).clamp(min=0) ** 2
        adam.zero_grad()
        loss.sum(1).mean().backward()
        adam.step()
    u = network.primary(torch.relu(network.conv(images))).detach()
    assert isinstance(network.routing, StaticRouting)
    b = network.routing.b.clone()
    signs = 2 * torch.eye(10)[labels] - 1
    for _ in range(2):
        b = b.detach().requires_grad_()
        v = torch.einsum("bid,idjk,ij->bjk", u, network.routing.weight.detach(), b)
        value = (signs * v.square().sum(2)).sum() / len(labels) - 0.1 * b.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        assert b.grad is not None
        b = b + 0.05 * b.grad
    assert (b - 1).abs().max() > 1e-4  # the step is long enough to see
    torch.testing.assert_close(trainer.network.routing.b, b.detach(), atol=1e-6, rtol=1e-5)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(trainer.network.get_parameter(name), parameter, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("overrides", "interrupt_after"),
    [
        (("data.shift=2",), 2),  # within the first epoch
        (("routing.step=ascent", "train.schedule=cosine"), 4),  # at the end of the first epoch
        (("network.decoder=[16]", "routing.kind=l1", "train.precision=bf16"), 6),  # within the second
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
