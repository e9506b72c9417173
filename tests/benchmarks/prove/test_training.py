"""The steps of training: the comparison on this machine's CPU, the rest with processes that answer as told."""

import json
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.prove import training
from benchmarks.prove.asked import Steps, StepsWanted
from benchmarks.prove.jobs import losses, waits
from benchmarks.prove.place import QUICK
from benchmarks.prove.process import Said
from benchmarks.prove.record import Failed, NotPossible
from capsedge.errors import ProviderError
from tests.benchmarks.prove.places import Stage, printed

RECORD = {
    "device": "cuda:0",
    "classes": list("abcdefghij"),
    "data_source": "fashion-mnist-subset",
    "scores": [{"split": "validation", "error": 0.4}, {"split": "test", "error": 0.41}],
}


def few_steps(*changes: str, device: str = "cpu") -> StepsWanted:
    recipe, own = QUICK.network
    return StepsWanted(recipe, (*own, *changes), device, 4)


@pytest.fixture(scope="module")
def cpu() -> Steps:
    return losses.work(few_steps())


def test_the_same_seed_gives_the_same_losses(cpu: Steps) -> None:
    found = training.compared(cpu, losses.work(few_steps()), "fp32")
    assert found.data["cpu"] == cpu.losses
    assert len(cpu.losses) == 4
    assert all(0.01 < loss < 10 for loss in cpu.losses)


def test_the_losses_are_those_of_the_metrics_file(tmp_path: Path) -> None:
    """A training row is the mean over its images: here of one batch, by `capsedge train`'s own way."""
    from capsedge.recipe import load_recipe
    from capsedge.training import Run, Trainer, dataset_of
    from tests.tiny import Silent

    recipe = load_recipe(QUICK.network[0], [*QUICK.network[1], "train.epochs=1", "train.validations=25"])
    trainer = Trainer(recipe, dataset_of(recipe.data), Run(tmp_path), device="cpu")
    trainer.start()
    trainer.train(Silent())
    rows = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    given = losses.work(few_steps("train.epochs=1")).losses
    first = [row["loss"] for row in rows if row["kind"] == "training"][: len(given)]
    assert first == pytest.approx(given, rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_losses_of_another_seed_are_not_accepted(cpu: Steps, precision: str) -> None:
    with pytest.raises(Failed, match="the first loss differs by"):
        training.compared(cpu, losses.work(few_steps("train.seed=1")), precision)


def test_a_rate_that_is_a_tenth_higher_is_not_accepted(cpu: Steps) -> None:
    with pytest.raises(Failed, match="are accepted"):
        training.compared(cpu, losses.work(few_steps("train.learning_rate=0.0011")), "fp32")


def test_bf16_is_not_fp32_and_both_limits_tell(cpu: Steps) -> None:
    bf16 = losses.work(few_steps("train.precision=bf16"))
    assert bf16.losses != cpu.losses
    training.compared(cpu, bf16, "bf16")


@pytest.mark.parametrize("lost", [0, 2])
def test_a_loss_that_is_not_a_number_is_not_accepted(lost: int) -> None:
    wrong = [1.0, 1.0, 1.0]
    wrong[lost] = nan
    with pytest.raises(Failed):
        training.compared(Steps("cpu", (1.0, 1.0, 1.0)), Steps("cuda:0", tuple(wrong)), "fp32")


def test_without_cuda_nothing_waits_for_it() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ProviderError, match="finds no CUDA device here"):
        waits.work(few_steps(device="cuda"))


class Training(Stage):
    """Each `capsedge train` gives a record, and leaves the files that it would."""

    def __init__(self, out: Path, **changes: Any) -> None:
        super().__init__(out, self.trained)
        self.record = RECORD | changes
        self.losses = {"small-on-2": (0.9, 0.5)}
        self.runs = {}

    def trained(self, *words: Any) -> Said:
        run = self.out / words[words.index("--run") + 1]
        run.mkdir()
        rows = [
            {"kind": "training", "loss": loss, "images_per_second": 9e4}
            for loss in self.losses.get(run.name, (0.9, 0.5))
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (run / "run.json").write_text(json.dumps(self.record))
        return printed(self.record)


def test_a_training_on_cuda_is_told_its_device_and_its_precision(tmp_path: Path) -> None:
    stage = Training(tmp_path)
    (found,) = training.on_cuda(stage, "full", "fp32")
    assert found.detail == "fashion-mnist-l2-small on cuda:0: validation error 40.00 %, 90,000 images/s"
    (words,) = stage.asked
    assert words[:2] == ("train", "fashion-mnist-l2-small")
    assert ("--device", "cuda") in pairwise(words)
    assert ("--set", "train.precision=fp32") in pairwise(words)


def test_the_full_network_in_fp32_is_what_all_files_are_made_of(tmp_path: Path) -> None:
    stage = Training(tmp_path)
    for kind, precision in (("small", "fp32"), ("full", "bf16"), ("full", "fp32")):
        list(training.on_cuda(stage, kind, precision))
    assert stage.runs == {"network": "full-fp32"}
    (found,) = training.network(stage)
    assert found.detail == "'full-fp32', which was trained on CUDA"
    assert len(stage.asked) == 3


def test_a_training_that_fell_back_to_the_cpu_fails(tmp_path: Path) -> None:
    stage = Training(tmp_path, device="cpu")
    with pytest.raises(Failed, match="it ran on cpu, and cuda was asked for"):
        list(training.on_cuda(stage, "full", "fp32"))
    assert stage.runs == {}


def test_a_network_that_only_guesses_fails(tmp_path: Path) -> None:
    stage = Training(tmp_path, scores=[{"split": "validation", "error": 0.85}])
    with pytest.raises(Failed, match=r"the validation error is 85\.00 %, and a guess has 90 %"):
        list(training.on_cuda(stage, "small", "fp32"))


def test_where_cuda_failed_the_cpu_trains_the_network_of_all_files(tmp_path: Path) -> None:
    stage = Training(tmp_path, device="cpu")
    list(training.network(stage))
    assert stage.runs == {"network": "network"}
    assert ("--device", "cpu") in pairwise(stage.asked[0])


def test_dynamic_routing_is_trained_beside_it_at_the_same_widths_on_the_same_device(tmp_path: Path) -> None:
    stage = Training(tmp_path)
    list(training.on_cuda(stage, "full", "fp32"))
    list(training.dynamic(stage))
    words = stage.asked[-1]
    pairs = set(pairwise(words))
    assert words[1] == "full-fp32/recipe.toml"
    assert {("--device", "cuda"), ("--data", "fashion-mnist-subset"), ("--set", "routing.kind=dynamic")} <= pairs
    assert stage.runs["dynamic"] == "dynamic"


def test_without_a_network_there_is_no_dynamic_routing_beside_it(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="there is no run 'network': its training failed"):
        list(training.dynamic(Training(tmp_path)))


def test_two_gpus_are_held_against_one(tmp_path: Path) -> None:
    stage = Training(tmp_path)
    with pytest.raises(NotPossible, match="it takes two CUDA devices"):
        list(training.two_gpus(stage))
    stage.cuda *= 2
    (found,) = training.two_gpus(stage)
    assert found.detail.startswith("two: fashion-mnist-l2-small on cuda:0")
    assert [words[words.index("--devices") + 1] for words in stage.asked] == ["1", "2"]


def test_two_gpus_that_take_other_steps_fail(tmp_path: Path) -> None:
    stage = Training(tmp_path)
    stage.cuda *= 2
    stage.losses = {"small-on-2": (0.9, 0.51)}
    with pytest.raises(Failed, match="are not those of one GPU"):
        list(training.two_gpus(stage))


def test_the_tests_that_need_a_gpu_fail_where_they_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a torch that lost its GPU between two steps: pytest itself would be content."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(Failed, match=r"pytest: \d+ skipped"):
        list(training.gpu_tests(Stage(tmp_path, printed)))
    monkeypatch.setattr(training, "_OF_THE_TESTS", ("pytest", "no_such_module"))
    with pytest.raises(NotPossible, match=r"the tests need no_such_module"):
        list(training.gpu_tests(Stage(tmp_path, printed)))


def test_a_run_that_was_given_is_copied_and_stays_as_it_was(tmp_path: Path) -> None:
    given = tmp_path / "mine"
    given.mkdir()
    for name in ("run.json", "recipe.toml", "best.safetensors", "model.onnx", "model.engine", "model.engine.json"):
        (given / name).write_text("{}")
    (tmp_path / "out").mkdir()
    stage = Training(tmp_path / "out")
    stage.given = given
    list(training.network(stage))
    assert sorted(path.name for path in (tmp_path / "out" / "mine").iterdir()) == [
        "best.safetensors", "recipe.toml", "run.json",
    ]  # fmt: skip
    assert len(list(given.iterdir())) == 6
    assert stage.runs == {"network": "mine"}
