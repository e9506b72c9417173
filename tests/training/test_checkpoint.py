"""Checkpoints that are damaged, cut short or of another network give one clear line."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from capsedge.errors import ModelError
from capsedge.recipe import TrainRecipe
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
        ModelError, match=named + r"its 'network\.weight' has the shape \[2, 3\] instead of \[2, 4\]:"
    ):
        load_network(path, nn.Linear(4, 2))
    with pytest.raises(ModelError, match=named + r"it has 'network\.bias', which the recipe's does not have:"):
        load_network(path, nn.Linear(3, 2, bias=False))
    with pytest.raises(ModelError, match=named + r"it has no 'network\.0\.bias':") as error:
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
    position = Position(best_error=best[0], best_loss=best[1])
    assert position.validated(*found, 100, TrainRecipe()) is better
    # By the loss, the two change places.
    if best[1] is not None:
        turned = Position(best_error=best[1], best_loss=best[0])
        assert turned.validated(*found[::-1], 100, TrainRecipe(best="loss")) is better


def test_the_latest_in_the_interval_of_the_lowest_error_is_kept() -> None:
    recipe, position = TrainRecipe(best="latest"), Position()
    # The intervals of 36, 20, 10 and 0 of 100 (Wilson) end at 45.8, 28.9, 17.4 and 3.7 %.
    for number, (error, kept) in enumerate(
        [
            (0.36, 1),
            (0.46, 1),
            (0.45, 3),
            (0.2, 4),
            (0.29, 4),
            (0.28, 6),
            (0.1, 7),
            (0.18, 7),
            (0.17, 9),
            (0, 10),
            (0.04, 10),
        ]
    ):
        position.epoch = number
        loss = 1.0 - number  # falls whether kept or not
        assert position.validated(error, loss, 100, recipe) is (kept == number + 1)
        assert position.best_epoch == kept
    assert (position.best_error, position.best_loss, position.lowest_error) == (0, -8.0, 0)
    assert [position.waited(TrainRecipe(best="latest", patience=patience)) for patience in (1, 2)] == [False, False]
    position.epoch = 11  # one epoch is over since that of the lowest error, the tenth
    assert [position.waited(TrainRecipe(best="latest", patience=patience)) for patience in (1, 2)] == [True, False]
    # A quarter of the images has a wider interval.
    assert not Position(best_error=0.2).validated(0.36, 1.0, 100, recipe)
    assert Position(best_error=0.2).validated(0.36, 1.0, 25, recipe)


def test_a_first_network_is_kept_however_many_are_wrong() -> None:
    for images in range(1, 300):
        assert Position().validated(1.0, 1.0, images, TrainRecipe(best="latest")), images


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


def adam_after_a_step(network: nn.Module, *groups: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    adam = torch.optim.AdamW([{"params": group} for group in groups])
    network(torch.ones(1, 3)).sum().backward()
    adam.step()
    return adam


@pytest.mark.parametrize("told", [True, False], ids=["groups told", "of an earlier capsedge"])
def test_moments_of_other_shapes_are_refused_in_one_line(told: bool, tmp_path: Path) -> None:
    path, network = tmp_path / "last.safetensors", nn.Linear(3, 2)
    adam = adam_after_a_step(network, [network.bias], [network.weight])
    save_checkpoint(path, Position(), network, {"weights": adam}, torch.zeros(3))
    if not told:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
            save_file(tensors, path, {"position": file.metadata()["position"]})
    misfit = (
        r"its optimizer of the weights had groups of 1 and 1 parameters, and the recipe's has groups of 2 parameters"
        if told
        else r"its 'weights\.0\.exp_avg' has the shape \[2\] instead of \[2, 3\]"
    )
    wanted = (
        rf"^'.*last\.safetensors' was saved with another recipe than the run's recipe\.toml is now: {misfit}: restore"
    )
    with pytest.raises(ModelError, match=wanted) as error:
        load_checkpoint(path, network, {"weights": torch.optim.AdamW(network.parameters())})
    assert "\n" not in str(error.value)


def test_moments_go_to_no_other_parameters_of_the_same_shape(tmp_path: Path) -> None:
    path, network = (
        tmp_path / "last.safetensors",
        nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)),
    )
    first, second = network.parameters()
    save_checkpoint(
        path, Position(), network, {"weights": adam_after_a_step(network, [second], [first])}, torch.zeros(3)
    )
    other = torch.optim.AdamW(network.parameters())
    with pytest.raises(
        ModelError, match="had groups of 1 and 1 parameters, and the recipe's has groups of 2 parameters"
    ):
        load_checkpoint(path, network, {"weights": other})
    assert not other.state
    with pytest.raises(
        ModelError, match=r"its optimizer of the weights had groups of 1 and 1 parameters, and .* has no"
    ):
        load_checkpoint(path, network, {})


def test_a_checkpoint_without_groups_still_loads(tmp_path: Path) -> None:
    path, network = tmp_path / "last.safetensors", nn.Linear(3, 2)
    adam = adam_after_a_step(network, list(network.parameters()))
    save_checkpoint(path, Position(step=7), network, {"weights": adam}, torch.zeros(3))
    tensors = load_file(path)
    save_file(tensors, path, {"position": '{"step":7}'})
    other = torch.optim.AdamW(network.parameters())
    assert load_checkpoint(path, network, {"weights": other})[0].step == 7
    assert torch.equal(other.state[network.weight]["exp_avg"], adam.state[network.weight]["exp_avg"])


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path, network = tmp_path / "best.safetensors", nn.Linear(3, 2)
    save_weights(path, network)
    whole = path.read_bytes()
    hash_name = whole.index(b"sha256")  # without it the file looks like one of an earlier capsedge, which has none
    for place in {*range(len(whole))} - {*range(hash_name, hash_name + len("sha256"))}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(ModelError, match=r"damaged|holds the weights of another network"):
            load_network(path, network)


@pytest.mark.parametrize(
    ("position", "tensor"), [('{"epoch": -3}', "sums"), ('{"epoch": 1e99}', "sums"), ("{}", "weights.foo")]
)
def test_what_no_checkpoint_holds_is_refused(tmp_path: Path, position: str, tensor: str) -> None:
    network = nn.Linear(3, 2)
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    save_file({**tensors, "sums": torch.zeros(3), tensor: torch.zeros(3)}, tmp_path / "last", {"position": position})
    optimizer = torch.optim.Adam(network.parameters())
    with pytest.raises(ModelError, match=r"is not a checkpoint to resume from|is not a parameter's"):
        load_checkpoint(tmp_path / "last", network, {"weights": optimizer})
