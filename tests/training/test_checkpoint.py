"""Checkpoints that are damaged, cut short or of another network give one clear line."""

from pathlib import Path

import pytest
import torch
from torch import nn

from capsedge.errors import ModelError
from capsedge.training.checkpoint import Position, load_checkpoint, load_network, save_checkpoint, save_weights


def test_a_cut_checkpoint_is_named_as_damaged(tmp_path: Path) -> None:
    path, network = tmp_path / "last.safetensors", nn.Linear(3, 2)
    save_checkpoint(path, Position(), network, {}, torch.zeros(3))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError, match=r"last\.safetensors' is damaged"):
        load_checkpoint(path, network, {})


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_weights(path, nn.Linear(3, 2))
    with pytest.raises(ModelError, match="another network than its recipe"):
        load_network(path, nn.Linear(4, 2))


def test_a_weights_file_is_no_checkpoint(tmp_path: Path) -> None:
    path, network = tmp_path / "best.safetensors", nn.Linear(3, 2)
    save_weights(path, network)
    with pytest.raises(ModelError, match="not a checkpoint to resume from"):
        load_checkpoint(path, network, {})


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no checkpoint '.*last\.safetensors'"):
        load_checkpoint(tmp_path / "last.safetensors", nn.Linear(3, 2), {})


def test_adams_moments_and_the_position_come_back(tmp_path: Path) -> None:
    path, network = tmp_path / "last.safetensors", nn.Linear(3, 2)
    adam = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    adam.step()
    position = Position(epoch=2, batch=1, step=7, best_error=0.25, best_epoch=1, seconds=1.5)
    save_checkpoint(path, position, network, {"weights": adam}, torch.tensor([1.0, 2.0, 3.0]))
    other = nn.Linear(3, 2)
    fresh = torch.optim.Adam(other.parameters(), lr=0.5)
    got, sums = load_checkpoint(path, other, {"weights": fresh})
    assert got == position
    assert sums.tolist() == [1.0, 2.0, 3.0]
    assert fresh.param_groups[0]["lr"] == 0.5  # rates come from the recipe, not from the file
    for one, two in zip(adam.state_dict()["state"].values(), fresh.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(one[key], two[key]) for key in ("step", "exp_avg", "exp_avg_sq"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
