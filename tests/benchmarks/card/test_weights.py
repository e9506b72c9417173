"""Weights in half the bytes, and the run that is made of them."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from benchmarks.card.record import Card
from benchmarks.card.weights import load_half, main, restore, save_half
from capsedge.errors import ModelError, WrongUse
from capsedge.export import RunExport
from capsedge.models import build_network
from capsedge.recipe import load_recipe
from capsedge.training import Run


def test_what_is_large_is_rounded_to_fp16_and_the_rest_is_kept(run: Run, folder: Path) -> None:
    best = run.load_best().state_dict()

    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        halves = {name.removeprefix("network."): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    loaded = load_half(folder).state_dict()

    assert halves.keys() == best.keys() == loaded.keys()
    assert {tensor.dtype for tensor in halves.values() if tensor.ndim > 1} == {torch.float16}
    for name, tensor in best.items():
        assert loaded[name].dtype == tensor.dtype
        bound = 2**-11 * tensor.abs() + 2**-25 if tensor.ndim > 1 else torch.zeros(())  # half of fp16's last place
        assert ((loaded[name] - tensor).abs() <= bound).all(), name


def test_a_network_with_normalization_comes_back(tmp_path: Path) -> None:
    network = build_network(load_recipe("edge-nano"), classes=10, shape=(28, 28, 1))
    torch.nn.init.normal_(next(buffer for name, buffer in network.named_buffers() if "running_mean" in name))

    save_half(network, tmp_path / "weights.safetensors")

    with safe_open(tmp_path / "weights.safetensors", framework="pt") as file:
        for name, buffer in network.named_buffers():
            assert torch.equal(file.get_tensor(f"network.{name}"), buffer)


def test_the_restored_run_exports_to_the_same_error(folder: Path, card: Card, tmp_path: Path) -> None:
    """0.3 points are 3 of the subset's 1,000 images."""
    run = restore(folder, tmp_path / "again")

    exported = RunExport(run).export("fp32")

    assert exported.contract.verdict is not None
    assert exported.contract.verdict.status == "accepted"
    (again,) = (score for score in exported.contract.scores if (score.stage, score.split) == ("fp32", "test"))
    assert again.images == 1000
    assert card.measured["fp32"].subset_error is not None
    assert abs(again.error - card.measured["fp32"].subset_error) <= 0.003
    assert run.read_recipe() == Run(folder).read_recipe()


def test_a_run_that_is_there_is_not_written_over(folder: Path, run: Run) -> None:
    with pytest.raises(WrongUse, match="exists already: give a new folder"):
        restore(folder, run.path)


def test_the_command_says_in_one_line_what_it_cannot_do(
    folder: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), str(run.path)]) == 2
    assert main([str(tmp_path / "gone"), str(tmp_path / "again")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "exists already" in first
    assert "is not a run" in second
    assert not (tmp_path / "again").exists()


def test_a_weight_beyond_fp16_is_refused(run: Run, tmp_path: Path) -> None:
    network = run.load_best()
    with torch.no_grad():
        network.primary.conv.weight[0, 0, 0, 0] = 1e6

    with pytest.raises(ModelError, match=r"a weight of 'primary\.conv\.weight' is too large for fp16"):
        save_half(network, tmp_path / "weights.safetensors")
