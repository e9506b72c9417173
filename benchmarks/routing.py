"""Test error of the routing kinds after the same few epochs, several seeds: `python benchmarks/routing.py`.

Trains what is missing under --runs (a run that was stopped goes on), then compares each kind with frozen
coefficients on the same test images: the difference is paired, with a 95 % bootstrap interval over the images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.cli.progress import TrainingProgress
from capsedge.data import Dataset, load_dataset
from capsedge.recipe import load_recipe
from capsedge.training import Run, Trainer, lengths_of

KINDS = ("frozen", "l2", "l1", "dynamic")
RESAMPLES = 10_000


def main() -> None:
    """Train, score and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()

    dataset = load_dataset("fashion-mnist")
    wrong: dict[str, list[NDArray[np.bool_]]] = {kind: [] for kind in KINDS}
    for seed in options.seeds:
        for kind in KINDS:
            run = trained(kind, seed, options.epochs, dataset, options.runs)
            wrong[kind].append(mistakes(run, dataset))
    print(f"\n{dataset.description}; {options.epochs} epochs, recipes fashion-mnist-KIND-small\n")
    seeds = " | ".join(f"seed {seed}" for seed in options.seeds)
    print(f"| routing | {seeds} | mean | difference from frozen (95 %) |")
    print("|---|" + "---|" * (len(options.seeds) + 2))
    for kind in KINDS:
        errors = [100 * each.mean() for each in wrong[kind]]
        row = " | ".join(f"{error:.2f}" for error in errors)
        print(f"| {kind} | {row} | {np.mean(errors):.2f} | {difference(wrong[kind], wrong['frozen'])} |")


def trained(kind: str, seed: int, epochs: int, dataset: Dataset, folder: Path) -> Run:
    """A finished run, trained or taken up where it is not finished yet."""
    recipe = load_recipe(f"fashion-mnist-{kind}-small", [f"train.epochs={epochs}", f"train.seed={seed}"])
    run = Run(folder / f"study-{kind}-{seed}")
    if (run.path / "run.json").exists():
        if run.read_recipe() != recipe:
            raise SystemExit(f"'{run.path}' was trained by another recipe: give another --runs")
        if run.read_record().status == "finished":
            return run
    trainer = Trainer(recipe, dataset, run)
    if run.last.exists():
        trainer.resume()
    else:
        trainer.start()
    with TrainingProgress() as progress:
        trainer.train(progress)
    return run


def mistakes(run: Run, dataset: Dataset) -> NDArray[np.bool_]:
    """Which test images the run's best weights get wrong."""
    lengths = lengths_of(run.load_best(), dataset.test, torch.device("cpu")).numpy()
    wrong: NDArray[np.bool_] = lengths.argmax(1) != dataset.test.labels
    return wrong


def difference(ours: list[NDArray[np.bool_]], base: list[NDArray[np.bool_]]) -> str:
    """Mean paired difference of the error over the seeds in points, with its interval over the test images."""
    per_image = np.mean([one.astype(float) - two for one, two in zip(ours, base, strict=True)], axis=0)
    if not per_image.any():
        return "-"
    random = np.random.default_rng(0)
    means = [random.choice(per_image, len(per_image)).mean() for _ in range(RESAMPLES)]
    low, high = 100 * np.quantile(means, [0.025, 0.975])
    return f"{100 * per_image.mean():+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
