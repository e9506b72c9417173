"""What a training leaves behind, and resuming against never having stopped."""

import dataclasses
import os
import signal
from collections.abc import Callable
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
from capsedge.errors import Interrupted, ModelError, ProviderError, WrongUse
from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, RoutingKind
from capsedge.training import Evaluation, Run, Trainer, evaluate
from capsedge.training.checkpoint import Position
from capsedge.training.dropout import SharedDropout
from capsedge.training.metrics import read_metrics
from tests.tiny import Silent, tiny_recipe, train_tiny
from tests.training.residual import residual_recipe


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
    run = train(tiny_recipe("train.epochs=20", "train.learning_rate=0.005", base=base), little, tmp_path / "run")
    record = run.read_record()
    assert (record.status, record.warnings) == ("finished", ())
    rows = read_metrics(run.metrics)
    losses = [row["loss"] for row in rows if row["kind"] == "training"]
    assert losses[-1] < 0.75 * losses[0]
    validation = [(row["error"], row["loss"]) for row in rows if row["kind"] == "validation"]
    assert record.scores[0].error == min(validation)[0]
    assert record.best_epoch == validation.index(min(validation)) + 1
    assert min(validation)[0] < 0.6  # ten classes: guessing is wrong in 0.9
    assert rows[-1]["kind"] == "test"


@pytest.mark.parametrize("kind", ["l2", "dynamic"])
def test_a_network_of_two_hidden_layers_learns_with_the_recipes_scales(
    kind: str, little: Dataset, tmp_path: Path
) -> None:
    hidden = ("network.hidden=[[16, 16], [16, 16]]", "network.primary_dim=8", "network.class_dim=16")
    longer = ("train.epochs=25", "train.learning_rate=0.003", "train.batch_size=32", "routing.learning_rate=2e-4")
    plain = ("data.shift=0", "data.flip=false")
    run = train(tiny_recipe(*hidden, *longer, *plain, base=f"fashion-mnist-{kind}-small"), little, tmp_path / "run")
    assert min(row["error"] for row in read_metrics(run.metrics) if row["kind"] == "validation") < 0.7


def test_the_seed_alone_decides_the_weights(little: Dataset, tmp_path: Path) -> None:
    def weights(seed: int, drawn_before: int) -> Tensor:
        torch.manual_seed(drawn_before)
        trainer = Trainer(tiny_recipe(f"train.seed={seed}"), little, Run(tmp_path / "run"), device="cpu")
        return trainer.network.get_parameter("stem.conv.weight").detach()

    assert torch.equal(weights(3, drawn_before=1), weights(3, drawn_before=2))
    assert not torch.equal(weights(3, drawn_before=1), weights(4, drawn_before=1))


def test_the_best_network_is_the_one_that_the_validation_images_choose(little: Dataset, tmp_path: Path) -> None:
    """The labels are what the network says after one epoch (validation) and after three (test)."""
    constant = ("train.schedule=constant", "train.learning_rate=0.005")
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
    assert not torch.equal(best["network.stem.conv.weight"], last["network.stem.conv.weight"])


def test_by_the_loss_the_network_with_the_lowest_is_kept_and_patience_ends_the_training(
    little: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [(0.1, 0.6), (0.3, 0.4), (0.2, 0.5), (0.2, 0.45)]
    told = iter([*scores, (0.25, 0.7), (0.3, 0.4)])
    monkeypatch.setattr(Trainer, "_evaluate", lambda *_, **__: Evaluation(*next(told), images=100))
    recipe = tiny_recipe("train.epochs=9", "train.best=loss", "train.patience=2")
    trainer = Trainer(recipe, little, Run(tmp_path / "run"), device="cpu")
    trainer.start()
    record = trainer.train(Silent())
    assert (record.best_epoch, trainer.position.epoch) == (2, 4)
    assert next(told, None) is None


def test_the_balanced_error_is_in_the_record_where_the_classes_differ_in_images(
    little: Dataset, tmp_path: Path
) -> None:
    uneven = dataclasses.replace(little, test=Split(little.test.images[:37], little.test.labels[:37]))
    run = train_tiny(tmp_path / "run", tiny_recipe("train.epochs=1", "train.learning_rate=1e-7"), uneven)
    record = run.read_record()
    labels = uneven.test.labels
    wrong = answers(run, uneven.test) != labels
    wanted = np.mean([wrong[labels == label].mean() for label in np.unique(labels)])
    assert record.balanced == pytest.approx(wanted)
    assert record.scores[1].error == pytest.approx(wrong.mean())
    even = train_tiny(tmp_path / "even", tiny_recipe("train.epochs=1"), little).read_record()
    assert (even.balanced is None) == (np.ptp(np.bincount(little.test.labels)) == 0)


def test_advice_of_the_training_is_in_the_record(tmp_path: Path) -> None:
    record = train_tiny(tmp_path, tiny_recipe("train.epochs=1", "train.learning_rate=0.01")).read_record()
    (warning,) = record.warnings
    assert warning.code == "near-chance"
    assert "is near chance for 10 classes (90 %): 25 steps are few: raise train.epochs" in warning.text


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
    ("recipe", "interrupt_after"),
    [
        (tiny_recipe("data.shift=2"), 2),  # within the first epoch
        (tiny_recipe("routing.step=ascent", "train.schedule=cosine"), 4),  # at the end of the first epoch
        (tiny_recipe("network.decoder=[16]", "routing.kind=l1", "train.precision=bf16"), 6),  # within the second
        (tiny_recipe("network.hidden=[[6, 4]]", "routing.kind=l1", "routing.proximal=true"), 2),
        (tiny_recipe("train.validations=3"), 3),  # between two validations of an epoch
        (tiny_recipe("train.averaging=0.9", "train.weight_decay=0.5", "train.schedule=one-cycle"), 6),
        (residual_recipe("network.dropout=0.3", "train.averaging=0.99", "routing.reuse_primary=false"), 2),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    recipe: Recipe, interrupt_after: int, little: Dataset, tmp_path: Path
) -> None:
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


def test_a_run_goes_on_to_the_same_bits_with_the_threads_of_its_start(
    little: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("capsedge.training.trainer.usable_cores", lambda: 2)
    before, recipe = torch.get_num_threads(), tiny_recipe("train.epochs=4", "network.filters=64")
    try:
        torch.set_num_threads(2)
        whole = train(recipe, little, tmp_path / "whole")
        with pytest.raises(Interrupted):
            train(recipe, little, tmp_path / "parts", 5)
        torch.set_num_threads(1)
        parts = train(recipe, little, tmp_path / "parts")
        assert torch.get_num_threads() == 1, "the next training has its own number"
        chosen = Trainer(recipe, little, parts, device="cpu", threads=1)
        chosen.resume()
        assert torch.get_num_threads() == 1
        monkeypatch.setattr("capsedge.training.trainer.usable_cores", lambda: 1)
        Trainer(recipe, little, parts, device="cpu").resume()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert whole.read_record().threads == parts.read_record().threads == 2
    expected, got = load_file(whole.path / "last.safetensors"), load_file(parts.path / "last.safetensors")
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [flip_a_bit, Path.unlink])
def test_a_run_goes_on_to_the_same_bits_from_the_checkpoint_before_a_lost_one(
    harm: Callable[[Path], None], little: Dataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe("train.epochs=4")
    whole = train(recipe, little, tmp_path / "whole")
    assert not whole.previous.exists()  # of no use once finished
    with pytest.raises(Interrupted):
        train(recipe, little, tmp_path / "parts", 2 * whole.read_record().best_epoch + 3)
    run = Run(tmp_path / "parts")
    harm(run.last)

    resumed = Trainer(run.read_recipe(), little, run, device="cpu")
    said = resumed.resume()
    assert ("damaged" in said) == (harm is flip_a_bit)
    resumed.train(Silent())

    expected, got = load_file(whole.best), load_file(run.best)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert timeless(whole) == timeless(run)


def test_damaged_best_weights_are_named_before_the_training_goes_on(little: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.epochs=3")
    with pytest.raises(Interrupted):
        train(recipe, little, tmp_path, 10)
    run = Run(tmp_path)
    flip_a_bit(run.best)
    with pytest.raises(ModelError, match=r"best\.safetensors' is damaged"):
        Trainer(run.read_recipe(), little, run, device="cpu").resume()


def test_of_two_trainings_in_one_folder_the_second_changes_nothing(little: Dataset, tmp_path: Path) -> None:
    first, second = (
        Trainer(tiny_recipe(f"train.seed={seed}"), little, Run(tmp_path), device="cpu") for seed in (1, 2)
    )
    first.start()
    with pytest.raises(WrongUse, match="is now the run of another training"):
        second.start()
    assert Run(tmp_path).read_recipe().train.seed == 1
    assert first.train(Silent()).status == "finished"


@pytest.mark.parametrize("name", ["best.safetensors", "recipe.toml", "notes.txt"])
def test_a_folder_with_files_of_another_is_left_as_it_is(name: str, little: Dataset, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(WrongUse, match="is not an empty folder"):
        Trainer(tiny_recipe(), little, Run(tmp_path), device="cpu").start()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {name: "precious"}


def test_a_folder_that_a_killed_training_had_begun_can_be_used_again(little: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(tiny_recipe(), little, Run(tmp_path), device="cpu")
    trainer.start()
    (tmp_path / ".run.json.123.part").write_text("{")
    (tmp_path / "run.json").unlink()  # which is written last
    assert Run(tmp_path).is_free()
    trainer.start()
    assert not Run(tmp_path).is_free()


@pytest.mark.parametrize("name", ["recipe.toml", "photo.png"])
def test_a_folder_with_somebodys_file_is_not_free(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert not Run(tmp_path).is_free()


class Watching(Silent):
    """Keeps the network's state after each step."""

    def __init__(self, network: CapsNet) -> None:
        self.network = network
        self.states: list[dict[str, Tensor]] = []

    def stepped(self, images: int) -> None:
        self.states.append({name: each.clone() for name, each in self.network.state_dict().items()})


def test_an_averaging_training_validates_keeps_and_tests_the_average(little: Dataset, tmp_path: Path) -> None:
    recipe = residual_recipe("train.averaging=0.6", "train.learning_rate=0.02", "train.epochs=2")
    trainer = Trainer(recipe, little, Run(tmp_path / "run"), device="cpu")
    average = {name: each.double() for name, each in trainer.network.state_dict().items()}
    trainer.start()
    watching = Watching(trainer.network)
    record = trainer.train(watching)
    averages = []
    for step, state in enumerate(watching.states):
        kept = min(0.6, (1 + step) / (10 + step))
        average = {name: kept * average[name] + (1 - kept) * each.double() for name, each in state.items()}
        averages.append(average)

    last, best = load_file(trainer.run.last), load_file(trainer.run.best)
    for name, each in averages[-1].items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(last[f"average.{name}"].double(), each, rtol=1e-5, atol=1e-6)
        assert torch.equal(last[f"network.{name}"], watching.states[-1][name])
    for name, each in averages[4 * record.best_epoch - 1].items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(best[f"network.{name}"].double(), each, rtol=1e-5, atol=1e-6)

    rows = [row for row in read_metrics(trainer.run.metrics) if row["kind"] == "validation"]
    network = build_network(recipe, classes=10, shape=little.shape)
    for row, states in zip(rows, (averages[3], averages[7]), strict=True):
        network.load_state_dict(states)
        found = evaluate(network, little.validation, torch.device("cpu"), classes=10)
        assert (row["error"], row["loss"]) == (found.error, pytest.approx(found.loss, rel=1e-4))
        assert row["b"]["spread"] == pytest.approx(states["routing.b"].std().item(), rel=1e-3)
        network.load_state_dict(watching.states[row["step"] - 1])
        other = evaluate(network, little.validation, torch.device("cpu"), classes=10).loss
        assert other != pytest.approx(found.loss, rel=1e-3), "the last weights are another network"
    tested = evaluate(trainer.run.load_best(), little.test, torch.device("cpu"), classes=10)
    assert record.scores[1].error == tested.error


@pytest.mark.parametrize("n_b", [1, 2])
def test_the_routing_steps_own_pass_sees_new_weights_old_masks_and_leaves_no_statistics(
    n_b: int, little: Dataset, tmp_path: Path
) -> None:
    again = ("routing.reuse_primary=false", "network.dropout=0.5", f"routing.n_b={n_b}")
    trainer = Trainer(residual_recipe(*again), little, Run(tmp_path), device="cpu")
    batch = next(trainer.batches.epoch(0))
    seen: list[Tensor] = []
    monkey = trainer.routing_step
    assert monkey is not None

    def step(u: Tensor, *_: object, **__: object) -> None:
        seen.append(u)

    trainer.routing_step = step  # type: ignore[assignment]
    trainer.iterate(batch)
    counts = [each for name, each in trainer.network.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {n_b}, "each weight step counts its batch once"
    statistics = {name: each.clone() for name, each in trainer.network.named_buffers()}

    dropout = trainer.network.dropout
    assert isinstance(dropout, SharedDropout)
    dropout.begin(n_b - 1, batch.total)
    assert trainer.network.training
    with torch.no_grad():
        expected = trainer.network(batch.images).primary  # by the batch's statistics
    assert torch.equal(seen[0], expected)
    trainer.network.eval()
    with torch.no_grad():
        assert not torch.allclose(seen[0], trainer.network(batch.images).primary, atol=1e-3)
    trainer.network.load_state_dict(statistics, strict=False)


@pytest.mark.parametrize("averaging", [0, 0.9])
def test_a_training_starts_from_given_weights_also_after_it_was_killed(
    averaging: float, little: Dataset, tmp_path: Path
) -> None:
    source = train_tiny(tmp_path / "source", tiny_recipe("train.epochs=2", "train.learning_rate=0.005"), little)
    recipe = tiny_recipe("train.seed=5", f"train.averaging={averaging}")
    run = Run(tmp_path / "run")
    trainer = Trainer(recipe, little, run, device="cpu")
    trainer.start(source.best)
    resumed = Trainer(run.read_recipe(), little, run, device="cpu")  # before the first validation
    resumed.resume()
    wanted = load_file(source.best)
    for each in (trainer, resumed):
        for network in (each.network, each.validated):
            assert all(torch.equal(tensor, wanted[f"network.{key}"]) for key, tensor in network.state_dict().items())
        assert each.position == Position()
    assert (trainer.validated is trainer.network) == (averaging == 0)
    resumed.train(Silent())
    first = next(row for row in read_metrics(run.metrics) if row["kind"] == "training")
    fresh = train_tiny(tmp_path / "fresh", recipe, little)
    assert first["loss"] < next(row for row in read_metrics(fresh.metrics) if row["kind"] == "training")["loss"]


def test_weights_that_do_not_fit_are_refused_in_one_line_before_anything_is_written(
    little: Dataset, tmp_path: Path
) -> None:
    source = train_tiny(tmp_path / "source", tiny_recipe("train.epochs=1", "network.filters=4"), little)
    trainer = Trainer(tiny_recipe(), little, Run(tmp_path / "run"), device="cpu")
    before = trainer.network.get_parameter("stem.conv.weight").clone()
    with pytest.raises(
        ModelError, match=r"another network than the recipe's: its '\S+' has the shape \[.*\] instead of \["
    ):
        trainer.start(source.best)
    with pytest.raises(ModelError, match="there is no checkpoint"):
        trainer.start(tmp_path / "absent.safetensors")
    assert torch.equal(trainer.network.get_parameter("stem.conv.weight"), before)
    assert not (tmp_path / "run").exists()


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


def test_a_diverging_training_says_so(little: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe("routing.step=ascent", "routing.learning_rate=1e6", "routing.penalty=1e6")
    with pytest.raises(ModelError, match=r"training diverged.*lower train\.learning_rate or routing\.learning_rate"):
        train(recipe, little, tmp_path / "run")


def test_cuda_without_cuda_is_an_error(little: Dataset, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ProviderError, match="finds no CUDA device here"):
        Trainer(tiny_recipe(), little, Run(tmp_path / "run"), device="cuda")


def test_validations_are_spread_over_the_epoch_and_the_best_of_all_is_kept(little: Dataset, tmp_path: Path) -> None:
    run = train(tiny_recipe("train.validations=2", "train.learning_rate=0.005"), little, tmp_path / "run")
    rows = [row for row in read_metrics(run.metrics) if row["kind"] == "validation"]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 2), (1, 4), (2, 6), (2, 8), (3, 10), (3, 12)]
    best = min(rows, key=lambda row: float(row["error"]))
    record = run.read_record()
    assert (record.scores[0].error, record.best_epoch) == (best["error"], best["epoch"])


def test_two_overlapped_garments_are_learned_and_scored_by_exact_match(little: Dataset, tmp_path: Path) -> None:
    pairs = overlapped(little, 1, title="overlapped", evaluation_images=60)
    overlap = ("data.overlap=1", "data.epoch_images=230", "data.shift=0", "data.flip=false")
    recipe = tiny_recipe(*overlap, "train.epochs=12", "train.learning_rate=0.005")
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
