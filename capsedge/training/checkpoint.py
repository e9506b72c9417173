"""Saving and loading what a training needs to go on: safetensors files, no pickle, written in one step."""

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
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_error: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    position: Position,
    network: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    sums: Tensor,
) -> None:
    """Write a checkpoint from which training continues to the same numbers."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, optimizer in optimizers.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in _flatten(optimizer).items()}
    tensors["sums"] = sums
    _save(path, tensors, {"position": msgspec.json.encode(position).decode()})


def load_checkpoint(
    path: Path, network: nn.Module, optimizers: dict[str, torch.optim.Optimizer]
) -> tuple[Position, Tensor]:
    """Restore what `save_checkpoint` wrote, in place.

    Returns:
        The position, and the sums of the unwritten metrics row.

    Raises:
        ModelError: The file is missing, damaged or of another network.
    """
    tensors, metadata = _load(path)
    load_network(path, network, tensors)
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
    _save(path, {f"network.{name}": tensor for name, tensor in network.state_dict().items()}, {})


def load_network(path: Path, network: nn.Module, tensors: dict[str, Tensor] | None = None) -> None:
    """Load the network's part of a checkpoint or weights file, in place.

    Raises:
        ModelError: The file is missing, damaged or of another network.
    """
    if tensors is None:
        tensors, _ = _load(path)
    weights = {key.removeprefix("network."): t for key, t in tensors.items() if key.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"'{path}' holds the weights of another network than its recipe: {error}") from error


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
