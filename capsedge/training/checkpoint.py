"""Saves and loads the state of a training: safetensors files, without pickle, written atomically."""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from capsedge.errors import ModelError, damage
from capsedge.files import check_utf8, write_atomically
from capsedge.recipe import TrainRecipe
from capsedge.records import DamagedRecord, decoded
from capsedge.statistics import wilson_interval

PREVIOUS = "previous.safetensors"

State = dict[int, dict[str, Tensor]]  # of an optimizer, by number of the parameter and name of the quantity
Count = Annotated[int, msgspec.Meta(ge=0)]
Groups = dict[str, tuple[int, ...]]  # parameters in each group of each optimizer


_HASH = "sha256"  # of everything else in the file, to detect flipped bits


class DamagedFile(ModelError):
    """A file of tensors is damaged."""


class Position(msgspec.Struct):
    """The progress of a training.

    Attributes:
        epoch: Finished epochs.
        batch: Finished minibatches of the current epoch.
        step: Finished iterations of Algorithm 1.
        best_error: Validation error of the network that is kept; None before the first validation.
        best_epoch: The epoch of that network, counted from 1.
        seconds: Training time over all sessions.
        best_loss: Its validation loss; None before the first validation, and in a checkpoint of an earlier capsedge.
        lowest_error: Lowest validation error so far; None as `best_loss`.
        lowest_epoch: The epoch, counted from 1, that first had it; 0 as None.
    """

    epoch: Count = 0
    batch: Count = 0
    step: Count = 0
    best_error: float | None = None
    best_epoch: Count = 0
    seconds: float = 0.0
    best_loss: float | None = None
    lowest_error: float | None = None
    lowest_epoch: Count = 0

    def waited(self, recipe: TrainRecipe) -> bool:
        """Whether the last improvement is as many epochs old as `train.patience` allows."""
        # With `latest`, networks that are no better are kept too.
        improved = self.lowest_epoch if recipe.best == "latest" else self.best_epoch
        return bool(recipe.patience) and improved > 0 and self.epoch - improved >= recipe.patience

    def validated(self, error: float, loss: float, images: int, recipe: TrainRecipe) -> bool:
        """Take note of a validation; returns whether its network is to be kept (`train.best`).

        Args:
            error: Validation error.
            loss: Validation loss.
            images: Number of validation images.
            recipe: The criterion.
        """
        known = self.best_error if self.lowest_error is None else self.lowest_error
        if known is None or error < known:
            self.lowest_error, self.lowest_epoch = error, self.epoch + 1
        lowest = error if known is None else min(error, known)
        if recipe.best == "latest":
            kept = error <= wilson_interval(round(lowest * images), images)[1]
        elif self.best_error is None:
            kept = True
        else:
            best = self.best_error, -math.inf if self.best_loss is None else self.best_loss
            kept = (error, loss) < best if recipe.best == "error" else (loss, error) < best[::-1]
        if kept:
            self.best_error, self.best_loss, self.best_epoch = error, loss, self.epoch + 1
        return kept


def save_checkpoint(
    path: Path,
    position: Position,
    network: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    sums: Tensor,
    average: nn.Module | None = None,
) -> None:
    """Write a checkpoint; a resumed training gives the same numbers. The previous checkpoint is kept as `PREVIOUS`.

    Args:
        path: The file.
        position: The progress of the training.
        network: The network that is trained.
        optimizers: By the prefix of their tensors' names.
        sums: Sums of the unwritten metrics row.
        average: The network's moving average, if the training has one.
    """
    tensors = _tensors_of("network", network)
    if average is not None:
        tensors |= _tensors_of("average", average)
    for name, optimizer in optimizers.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in _flatten(optimizer).items()}
    tensors["sums"] = sums
    more = {"position": position, "groups": _groups(optimizers)}
    if path.exists():
        path.replace(path.with_name(PREVIOUS))
    _save(path, tensors, {name: msgspec.json.encode(value).decode() for name, value in more.items()})


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    average: nn.Module | None = None,
) -> tuple[Position, Tensor]:
    """Load a checkpoint into the network and the optimizers.

    Returns:
        The position, and the sums of the unwritten metrics row.

    Raises:
        ModelError: The file is missing, damaged, of another network or of other optimizers.
    """
    tensors, metadata = _load(path)
    _fill(path, network, tensors, "network")
    if average is not None:
        _fill(path, average, tensors, "average")
    try:
        position, sums = decoded(metadata["position"], Position), tensors["sums"]
        groups = msgspec.convert(decoded(metadata.get("groups", "null"), object), Groups | None)
    except (KeyError, DamagedRecord, msgspec.ValidationError) as error:
        raise DamagedFile(f"'{path}' is not a checkpoint to resume from: {damage(error)}") from error
    states = {name: _state(tensors, name) for name in optimizers}
    if misfit := _groups_misfit(_groups(optimizers), groups) or _state_misfit(optimizers, states):
        raise ModelError(
            f"'{path}' was saved with another recipe than the run's recipe.toml is now: {misfit}",
            "restore what was changed there, such as train.weight_decay, or start a new run",
        )
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict({"state": states[name], "param_groups": optimizer.state_dict()["param_groups"]})
    return position, sums


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the network alone."""
    _save(path, _tensors_of("network", network), {})


def check_whole(path: Path) -> None:
    """Read a checkpoint or weights file, and refuse a damaged one.

    Raises:
        ModelError: The file is missing or damaged.
    """
    _load(path)


def load_network(path: Path, network: nn.Module) -> None:
    """Load the network's part of a checkpoint or weights file, in place.

    Raises:
        ModelError: The file is missing, damaged or of another network.
    """
    tensors, _ = _load(path)
    _fill(path, network, tensors, "network")


def _tensors_of(part: str, network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by their names in a file."""
    return {f"{part}.{name}": tensor for name, tensor in network.state_dict().items()}


def _fill(path: Path, network: nn.Module, tensors: dict[str, Tensor], part: str) -> None:
    """Load a network's tensors, after checking that they fit."""
    wanted = _tensors_of(part, network)
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
    if misfit := _misfit(wanted, given):
        raise ModelError(
            f"'{path}' holds the weights of another network than the recipe's: {misfit}",
            "give the recipe that they were trained with",
        )
    network.load_state_dict({name.removeprefix(f"{part}."): tensor for name, tensor in given.items()})


def _misfit(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """The first difference; "" if there is none."""
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
    write_atomically(path, save(plain, metadata | {_HASH: _sha256(plain, metadata)}))


def _sha256(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Hash of the names, types, shapes and bytes of all tensors, and of the metadata."""
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    check_utf8(path)  # or safetensors would refuse it, as if the file were damaged
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
            metadata = dict(file.metadata() or {})
    except FileNotFoundError as error:
        raise ModelError(f"there is no checkpoint '{path}'") from error
    except (SafetensorError, OSError) as error:
        raise DamagedFile(f"'{path}' is damaged ({error})", "restore it from a copy, or train again") from error
    # Files of an earlier capsedge have no hash.
    if (written := metadata.pop(_HASH, None)) is not None and written != _sha256(tensors, metadata):
        raise DamagedFile(
            f"'{path}' is damaged (its content does not match its hash)", "restore it from a copy, or train again"
        )
    return tensors, metadata


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by "<parameter>.<quantity>"; its hyperparameters come from the recipe."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value
        for index, quantities in state.items()
        for key, value in quantities.items()
        if isinstance(value, Tensor)
    }


def _state(tensors: dict[str, Tensor], name: str) -> State:
    """The state of one optimizer, from the tensors that `_flatten` named."""
    state: State = {}
    for full, value in tensors.items():
        optimizer, _, rest = full.partition(".")
        if optimizer == name:
            index, _, key = rest.partition(".")
            if not index.isdecimal():
                raise DamagedFile(f"'{full}' in the checkpoint is not a parameter's", "restore the file from a copy")
            state.setdefault(int(index), {})[key] = value
    return state


def _groups(optimizers: dict[str, torch.optim.Optimizer]) -> Groups:
    return {
        name: tuple(len(group["params"]) for group in optimizer.param_groups)
        for name, optimizer in optimizers.items()
    }


def _groups_misfit(wanted: Groups, given: Groups | None) -> str:
    """The first difference between the groups, which number the parameters of a state; "" if there is none.

    A checkpoint of an earlier capsedge has no groups (None).
    """
    if given is None:
        return ""
    for name in sorted(wanted.keys() | given.keys()):
        was, now = given.get(name), wanted.get(name)
        if was != now:
            return f"its optimizer of the {name} had {_group_text(was)}, and the recipe's has {_group_text(now)}"
    return ""


def _group_text(groups: tuple[int, ...] | None) -> str:
    return "no parameters" if groups is None else f"groups of {' and '.join(map(str, groups))} parameters"


def _state_misfit(optimizers: dict[str, torch.optim.Optimizer], states: dict[str, State]) -> str:
    """The first quantity whose shape is not that of its parameter; "" if there is none."""
    for name, optimizer in optimizers.items():
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        for index, quantities in states[name].items():
            if index >= len(parameters):
                return f"its optimizer of the {name} had more parameters than the {len(parameters)} of the recipe's"
            wanted = list(parameters[index].shape)
            for key, value in quantities.items():
                if key != "step" and list(value.shape) != wanted:  # the step count is a single number
                    return f"its '{name}.{index}.{key}' has the shape {list(value.shape)} instead of {wanted}"
    return ""
