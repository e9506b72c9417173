"""Saves a run's best weights in fp16, and restores a run from them: `python -m benchmarks.card.weights zoo/NAME RUN`.

weights.safetensors holds the tensors of more than one dimension (kernels, transformations, coefficients b) in fp16,
and the small rest (biases, normalization) unchanged. With recipe.toml and run.json it becomes a run again, which
`capsedge export` can export; the scores in its run.json are those of the weights before rounding.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from benchmarks.card.record import WEIGHTS
from capsedge.errors import CapsedgeError, ModelError, WrongUse
from capsedge.files import write_atomically
from capsedge.models import CapsNet, build_network
from capsedge.training import Run
from capsedge.training.checkpoint import load_network, save_weights

COPIED = ("recipe.toml", "run.json", "metrics.jsonl")


def save_half(network: CapsNet, file: Path) -> None:
    """Write a network's weights with its larger tensors in fp16.

    Raises:
        ModelError: A weight is too large for fp16.
    """
    tensors = {f"network.{name}": _halved(name, tensor) for name, tensor in network.state_dict().items()}
    write_atomically(file, save(tensors))


def load_half(folder: Path) -> CapsNet:
    """The network of a folder of the zoo in fp32, in evaluation mode on the CPU.

    Args:
        folder: Folder with recipe.toml, run.json and weights.safetensors.

    Raises:
        ModelError: A file is missing, damaged or of another network.
    """
    run = Run(folder)
    record = run.read_record()
    network = build_network(run.read_recipe(), classes=len(record.classes), shape=record.shape)
    load_network(folder / WEIGHTS, network)  # converts each value to the network's fp32
    return network.eval()


def restore(folder: Path, target: Path) -> Run:
    """Make a finished run from a folder of the zoo.

    Raises:
        WrongUse: The target exists already.
        ModelError: See `load_half`.
    """
    if target.exists():
        raise WrongUse(f"'{target}' exists already: give a new folder")
    network = load_half(folder)
    run = Run(target)
    save_weights(run.best, network)
    for name in COPIED:
        shutil.copy(folder / name, target / name)
    return run


def _halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.ndim < 2:
        return tensor.detach().contiguous()
    half = tensor.detach().half().contiguous()
    if not half.isfinite().all():
        raise ModelError(f"a weight of '{name}' is too large for fp16: ship best.safetensors itself")
    return half


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore a run, and return the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args(arguments)
    try:
        run = restore(options.folder, options.run)
    except CapsedgeError as error:
        print(f"weights: {error}", file=sys.stderr)
        return error.exit_code
    print(f"next: capsedge export {run.path} --precision fp32,int8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
