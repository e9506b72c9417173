"""Checkpoints that are damaged, cut short or of another network give one clear line."""

from pathlib import Path

import msgspec
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
    named = r"^'.*best\.safetensors' holds the weights of another network than the recipe's: "
    with pytest.raises(
        ModelError, match=named + r"its 'network\.weight' has the shape \[2, 3\] instead of \[2, 4\];"
    ):
        load_network(path, nn.Linear(4, 2))
    with pytest.raises(ModelError, match=named + r"it has 'network\.bias', which the recipe's does not have;"):
        load_network(path, nn.Linear(3, 2, bias=False))
    with pytest.raises(ModelError, match=named + r"it has no 'network\.0\.bias';") as error:
        load_network(path, nn.Sequential(nn.Linear(3, 2)))
    assert "\n" not in str(error.value)


def test_an_average_comes_back_beside_its_network(tmp_path: Path) -> None:
    path, network, average = tmp_path / "last.safetensors", nn.Linear(3, 2), nn.Linear(3, 2)
    save_checkpoint(path, Position(), network, {}, torch.zeros(3), average)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    load_checkpoint(path, one, {}, other)
    assert torch.equal(one.weight, network.weight)
    assert torch.equal(other.weight, average.weight)
    save_checkpoint(path, Position(), network, {}, torch.zeros(3))
    with pytest.raises(ModelError, match=r"it has no 'average\.bias'"):
        load_checkpoint(path, one, {}, other)


@pytest.mark.parametrize(
    ("best", "found", "better"),
    [
        ((None, None), (0.9, 9.0), True),  # the first
        ((0.2, 0.5), (0.1, 0.9), True),  # a lower error, whatever the loss
        ((0.2, 0.5), (0.3, 0.1), False),
        ((0.2, 0.5), (0.2, 0.4), True),  # as many wrong, by a lower loss
        ((0.2, 0.5), (0.2, 0.5), False),
        ((0.2, 0.5), (0.2, 0.6), False),
        ((0.2, None), (0.2, 0.1), False),  # the loss of the first was not written down
        ((0.2, None), (0.1, 0.1), True),
    ],
)
def test_the_better_network_has_the_lower_error_and_then_the_lower_loss(
    best: tuple[float | None, float | None], found: tuple[float, float], better: bool
) -> None:
    assert Position(best_error=best[0], best_loss=best[1]).improved_by(*found) is better


def test_the_position_of_an_earlier_checkpoint_can_be_read() -> None:
    earlier = b'{"epoch":2,"batch":0,"step":24,"best_error":0.25,"best_epoch":1,"seconds":1.5}'
    position = msgspec.json.decode(earlier, type=Position)
    assert (position.best_error, position.best_loss) == (0.25, None)


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
    position = Position(epoch=2, batch=1, step=7, best_error=0.25, best_epoch=1, seconds=1.5, best_loss=0.125)
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
