"""Saving and loading what a training needs to go on: safetensors files, no pickle, written in one step."""

import math
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from capsedge.errors import ModelError
from capsedge.files import write_atomically


class Position(msgspec.Struct):
    """Where a training stands.

    Attributes:
        epoch: Epochs finished.
        batch: Minibatches done in the current epoch.
        step: Iterations of Algorithm 1 done in all.
        best_error: Lowest validation error so far; None before the first epoch ends.
        best_epoch: The epoch that reached it, counted from 1.
        seconds: Time spent training, over all sessions.
        best_loss: Validation loss of the network with that error, which decides between equal errors; None before
            the first epoch ends, and in a checkpoint of an earlier capsedge.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_error: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    best_loss: float | None = None

    def improved_by(self, error: float, loss: float) -> bool:
        """Whether a network with this validation error and loss is better than the best so far."""
        if self.best_error is None:
            return True
        return (error, loss) < (self.best_error, -math.inf if self.best_loss is None else self.best_loss)


def save_checkpoint(
    path: Path,
    position: Position,
    network: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    sums: Tensor,
    average: nn.Module | None = None,
) -> None:
    """Write a checkpoint from which training continues to the same numbers.

    Args:
        path: The file.
        position: Where the training stands.
        network: The network that is trained.
        optimizers: By the names that their tensors get.
        sums: Of the unwritten metrics row.
        average: The network's moving average, where the training has one.
    """
    tensors = _named("network", network)
    if average is not None:
        tensors |= _named("average", average)
    for name, optimizer in optimizers.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in _flatten(optimizer).items()}
    tensors["sums"] = sums
    _save(path, tensors, {"position": msgspec.json.encode(position).decode()})


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    average: nn.Module | None = None,
) -> tuple[Position, Tensor]:
    """Restore what `save_checkpoint` wrote, in place.

    Returns:
        The position, and the sums of the unwritten metrics row.

    Raises:
        ModelError: The file is missing, damaged or of another network.
    """
    tensors, metadata = _load(path)
    _fill(path, network, tensors, "network")
    if average is not None:
        _fill(path, average, tensors, "average")
    for name, optimizer in optimizers.items():
        prefix = f"{name}."
        flat = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        optimizer.load_state_dict(_unflatten(flat, optimizer))
    try:
        return msgspec.json.decode(metadata["position"], type=Position), tensors["sums"]
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{path}' is not a checkpoint to resume from: {error}") from error


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the network alone."""
    _save(path, _named("network", network), {})


def load_network(path: Path, network: nn.Module) -> None:
    """Load the network's part of a checkpoint or weights file, in place.

    Raises:
        ModelError: The file is missing, damaged or of another network.
    """
    tensors, _ = _load(path)
    _fill(path, network, tensors, "network")


def _named(part: str, network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as a file names them."""
    return {f"{part}.{name}": tensor for name, tensor in network.state_dict().items()}


def _fill(path: Path, network: nn.Module, tensors: dict[str, Tensor], part: str) -> None:
    """Load a network's tensors, once it is known that they fit."""
    wanted = _named(part, network)
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
    if misfit := _misfit(wanted, given):
        raise ModelError(
            f"'{path}' holds the weights of another network than the recipe's: {misfit}; "
            "give the recipe that they were trained with"
        )
    network.load_state_dict({name.removeprefix(f"{part}."): tensor for name, tensor in given.items()})


def _misfit(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """The first thing that differs; "" for nothing."""
    if lacking := sorted(wanted.keys() - given.keys()):
        return f"it has no '{lacking[0]}'"
    if unknown := sorted(given.keys() - wanted.keys()):
        return f"it has '{unknown[0]}', which the recipe's does not have"
    for name, tensor in wanted.items():
        if given[name].shape != tensor.shape:
            return f"its '{name}' has the shape {list(given[name].shape)} instead of {list(tensor.shape)}"
    return ""


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata))


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 not a dict
    except FileNotFoundError as error:
        raise ModelError(f"there is no checkpoint '{path}'") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"'{path}' is damaged ({error}): restore it from a copy, or train again") from error


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by "<parameter>.<quantity>"; its hyperparameters come from the recipe."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value
        for index, quantities in state.items()
        for key, value in quantities.items()
        if isinstance(value, Tensor)
    }


def _unflatten(flat: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
