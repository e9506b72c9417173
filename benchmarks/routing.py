"""The study of the routing step: `make study`; docs/routing.md tells its result.

On the full Fashion-MNIST, at a width that one core trains in minutes. First a sieve: short trainings of one seed, of
every setting of the routing step. Then the finalists, of more epochs and seeds. Every training goes on where it was
stopped, and what is trained is not trained again. Settings are compared on the validation images; the test error is
shown beside, and chooses nothing.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.cli.precision import precision_reporter
from capsedge.cli.progress import TrainingProgress
from capsedge.data import Dataset, Split, load_dataset
from capsedge.recipe import Recipe, load_recipe
from capsedge.reproduce.drawing import GREY, canvas, save_png, styled
from capsedge.reproduce.trainings import trained
from capsedge.scoring import wrong_answers
from capsedge.statistics import mean_and_spread, paired_difference
from capsedge.training import Run, lengths_of
from capsedge.training.metrics import read_metrics

# bf16 on every machine, since docs/routing.md says so: a processor without the instructions is told what it costs.
WIDTH = ("network.filters=32", "network.capsule_types=4", "train.precision=bf16")
REPORT = precision_reporter(silent=False)
SIEVE_EPOCHS, FINAL_EPOCHS, FINAL_SEEDS = 3, 20, (0, 1, 2)

Case = tuple[str, tuple[str, ...]]  # routing kind, changes of its recipe
FAST = "routing.rate=0.001"
ASCENT, SQUASHED, PROXIMAL = "routing.step=ascent", "routing.objective=squashed", "routing.proximal=true"

# Shown in this order and these groups; `l2` and `l1` are the shipped recipes.
SIEVE: Mapping[str, Mapping[str, Case]] = {
    "kinds, as their recipes are": {
        "frozen": ("frozen", ()),
        "backprop": ("backprop", ()),
        "dynamic": ("dynamic", ()),
        "dynamic-1": ("dynamic", ("routing.iterations=1",)),
        "dynamic-5": ("dynamic", ("routing.iterations=5",)),
        "l2": ("l2", ()),
        "l1": ("l1", ()),
    },
    "scales of dynamic routing, and the weights' rate": {
        "dynamic-sigma-0.02": ("dynamic", ("routing.sigma=0.02",)),
        "dynamic-sigma-0.3": ("dynamic", ("routing.sigma=0.3",)),
        "dynamic-rate-3e-3": ("dynamic", ("train.rate=0.003",)),
        "frozen-rate-3e-3": ("frozen", ("train.rate=0.003",)),
    },
    "L2, step length of Adam": {
        "l2-adam-2e-5": ("l2", ("routing.rate=2e-5",)),
        "l2-adam-1e-3": ("l2", (FAST,)),
        "l2-adam-2e-3": ("l2", ("routing.rate=0.002",)),
        "l2-adam-5e-3": ("l2", ("routing.rate=0.005",)),
    },
    "L2, plain ascent (eq 13), step length gamma": {
        "l2-ascent-1e-3": ("l2", (ASCENT, "routing.rate=0.001")),
        "l2-ascent-1e-2": ("l2", (ASCENT, "routing.rate=0.01")),
        "l2-ascent-1e-1": ("l2", (ASCENT, "routing.rate=0.1")),
        "l2-ascent-1": ("l2", (ASCENT, "routing.rate=1.0")),
        "l2-ascent-sum-1e-3": ("l2", (ASCENT, "routing.rate=0.001", "routing.reduction=sum")),
    },
    "L2, lambda, at Adam's 1e-3": {
        "l2-lambda-0": ("l2", (FAST, "routing.penalty=0.0")),
        "l2-lambda-1e-3": ("l2", (FAST, "routing.penalty=0.001")),
        "l2-lambda-1e-2": ("l2", (FAST, "routing.penalty=0.01")),
        "l2-lambda-1e-1": ("l2", (FAST, "routing.penalty=0.1")),
    },
    "L2, objective after squash": {
        "l2-squashed-2e-4": ("l2", (SQUASHED,)),
        "l2-squashed-1e-3": ("l2", (SQUASHED, FAST)),
        "l2-squashed-5e-3": ("l2", (SQUASHED, "routing.rate=0.005")),
    },
    "steps in an iteration, at Adam's 1e-3": {
        "l2-fresh": ("l2", ("routing.reuse_primary=false", FAST)),
        "l2-nr-3": ("l2", ("routing.n_r=3", FAST)),
        "l2-nb-2": ("l2", ("routing.n_b=2", FAST)),
        "frozen-nb-2": ("frozen", ("routing.n_b=2",)),
    },
    "scales of b and W (b0, sigma), L2 at Adam's 1e-3 beside frozen": {
        "l2-b0-0.1": ("l2", ("routing.b0=0.1", "routing.sigma=0.2", FAST)),
        "frozen-b0-0.1": ("frozen", ("routing.b0=0.1", "routing.sigma=0.2")),
        "l2-b0-10": ("l2", ("routing.b0=10.0", "routing.sigma=0.002", FAST)),
        "frozen-b0-10": ("frozen", ("routing.b0=10.0", "routing.sigma=0.002")),
        "l2-sigma-0.1": ("l2", ("routing.sigma=0.1", FAST)),
        "frozen-sigma-0.1": ("frozen", ("routing.sigma=0.1",)),
        "l2-sigma-0.005": ("l2", ("routing.sigma=0.005", FAST)),
        "frozen-sigma-0.005": ("frozen", ("routing.sigma=0.005",)),
    },
    "L1 by sub-gradient (eq 15)": {
        "l1-adam-1e-3": ("l1", (FAST,)),
        "l1-lambda-1e-2": ("l1", (FAST, "routing.penalty=0.01")),
        "l1-lambda-1e-1": ("l1", (FAST, "routing.penalty=0.1")),
    },
    "L1 by proximal steps": {
        "l1-prox-1e-2": ("l1", (PROXIMAL, FAST, "routing.penalty=0.01")),
        "l1-prox-1e-1": ("l1", (PROXIMAL, FAST, "routing.penalty=0.1")),
        "l1-prox-1": ("l1", (PROXIMAL, FAST, "routing.penalty=1.0")),
        "l1-prox-ascent": ("l1", (PROXIMAL, ASCENT, "routing.rate=0.1", "routing.penalty=0.001")),
    },
}
FINALS: Mapping[str, Case] = {
    "frozen": ("frozen", ()),
    "l2": ("l2", ()),
    "l1": ("l1", ()),
    "dynamic": ("dynamic", ()),
    "backprop": ("backprop", ()),
    "l2-1e-3": ("l2", (FAST,)),
    "l1-prox": ("l1", (PROXIMAL, FAST, "routing.penalty=0.2")),
    "dynamic-3e-3": ("dynamic", ("train.rate=0.003",)),
}
NOISE_SEEDS = (0, 1, 2)  # of frozen in the sieve: how far a seed alone moves the error

_COLOURS = {
    "frozen": "#009E73",
    "l2": "#0072B2",
    "l1": "#E69F00",
    "dynamic": "#000000",
    "backprop": "#D55E00",
    "l2-1e-3": "#56B4E9",
    "l1-prox": "#CC79A7",
    "dynamic-3e-3": "#8a8a8a",
}


def main() -> None:
    """Train what is missing, print the tables, draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--out", type=Path, default=Path("docs/routing"), help="folder for figures and JSON")
    parser.add_argument("--only", choices=("sieve", "finals"))
    options = parser.parse_args()

    dataset = load_dataset("fashion-mnist")
    options.out.mkdir(parents=True, exist_ok=True)
    if options.only != "finals":
        print(f"\n{dataset.description}\n")
        sieve(dataset, options.runs / "sieve", options.out)
    if options.only != "sieve":
        finals(dataset, options.runs / "final", options.out)


def sieve(dataset: Dataset, runs: Path, out: Path) -> None:
    """One seed of every setting, and its validation error less that of frozen coefficients, paired."""
    frozen = [run_of("frozen", ("frozen", ()), SIEVE_EPOCHS, seed, dataset, runs) for seed in NOISE_SEEDS]
    base = mistakes(frozen[0], dataset.validation)
    errors = ", ".join(f"{percent(mistakes(run, dataset.validation).mean())}" for run in frozen)
    print(f"frozen, seeds {NOISE_SEEDS}: validation error {errors} %\n")
    print("| setting | validation % | less frozen (95 %) | test % | b: mean | spread | largest | negative | zero |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for group, cases in SIEVE.items():
        print(f"| *{group}* | | | | | | | | |")
        for name, case in cases.items():
            run = run_of(name, case, SIEVE_EPOCHS, 0, dataset, runs)
            wrong = mistakes(run, dataset.validation)
            gap = paired_difference([wrong], [base])
            row = {"name": name, "group": group, "validation": float(wrong.mean()), "low": gap.low, "high": gap.high}
            rows.append(row | {"test": test_error(run), "b": validations(run)[-1]["b"]})
            shown = "-" if name == "frozen" else interval(gap.mean, gap.low, gap.high)
            print(f"| {name} | {percent(wrong.mean())} | {shown} | {percent(test_error(run))} | {of_b(run)} |")
    (out / "sieve.json").write_text(json.dumps(rows, indent=1))


def finals(dataset: Dataset, runs: Path, out: Path) -> None:
    """Several seeds of the finalists, each paired with frozen coefficients of the same seed."""
    found = {
        name: [run_of(name, case, FINAL_EPOCHS, seed, dataset, runs) for seed in FINAL_SEEDS]
        for name, case in FINALS.items()
    }
    wrong = {
        part: {name: [mistakes(run, split) for run in each] for name, each in found.items()}
        for part, split in (("validation", dataset.validation), ("test", dataset.test))
    }
    print(f"\n{FINAL_EPOCHS} epochs, seeds {FINAL_SEEDS}\n")
    heads = ("finalist", "validation %", "less frozen (95 %)", "test %", "less frozen (95 %)")
    print(f"| {' | '.join(heads)} | b: mean | spread | largest | negative | zero |")
    print("|---" * 10 + "|")
    for name, each in found.items():
        cells = [name]
        for part in ("validation", "test"):
            errors = mean_and_spread([float(one.mean()) for one in wrong[part][name]])
            cells.append(f"{percent(errors.mean)} ± {percent(errors.spread or 0)}")
            gap = paired_difference(wrong[part][name], wrong[part]["frozen"])
            cells.append("-" if name == "frozen" else interval(gap.mean, gap.low, gap.high))
        print(f"| {' | '.join(cells)} | {of_b(*each)} |")
    curves = {name: [validations(run) for run in each] for name, each in found.items()}
    (out / "finals.json").write_text(json.dumps(curves, indent=1))
    draw_errors(curves, out / "errors.png", dataset)
    draw_coefficients(curves, out / "coefficients.png")


def run_of(name: str, case: Case, epochs: int, seed: int, dataset: Dataset, runs: Path) -> Run:
    """A finished run of one setting."""
    with TrainingProgress() as progress:
        recipe, folder = recipe_of(case, epochs, seed), runs / f"{name}-{seed}"
        return trained(recipe, folder, dataset, progress, "cpu", on_start=REPORT)


def recipe_of(case: Case, epochs: int, seed: int) -> Recipe:
    """The recipe of one setting."""
    kind, changes = case
    return load_recipe(
        f"fashion-mnist-{kind}-small", [*WIDTH, f"train.epochs={epochs}", f"train.seed={seed}", *changes]
    )


def mistakes(run: Run, split: Split) -> NDArray[np.bool_]:
    """Which images the run's best weights get wrong."""
    lengths = lengths_of(run.load_best(), split, torch.device("cpu")).numpy()
    return wrong_answers(lengths, split.labels)


def validations(run: Run) -> list[dict[str, Any]]:
    """The rows of all validations."""
    return [row for row in read_metrics(run.metrics) if row["kind"] == "validation"]


def test_error(run: Run) -> float:
    """The test error of the run's best weights."""
    return next(score.error for score in run.read_record().scores if score.split == "test")


def of_b(*runs: Run) -> str:
    """Statistics of b after the last epoch, mean over the seeds, as cells of a table."""
    last = [validations(run)[-1]["b"] for run in runs]
    if last[0] is None:
        return " | ".join("-" * 5)
    mean = {key: float(np.mean([each[key] for each in last])) for key in last[0]}
    sizes = [f"{mean[key]:.2f}" for key in ("mean", "spread", "largest")]
    return " | ".join([*sizes, *(f"{percent(mean[key])} %" for key in ("negative", "zero"))])


def percent(share: float) -> str:
    """With two digits, as 5,000 images support them."""
    return f"{100 * share:.2f}"


def interval(mean: float, low: float, high: float) -> str:
    """A difference in points with its interval."""
    return f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def draw_errors(curves: Mapping[str, Sequence[Sequence[dict[str, Any]]]], path: Path, dataset: Dataset) -> None:
    """Validation error against epochs: the mean over the seeds, in a band from the lowest to the highest."""
    with styled():
        figure = canvas(7, 4.2)
        axes = figure.subplots()
        for name, seeds in curves.items():
            errors = 100 * np.array([[row["error"] for row in rows] for rows in seeds])
            epochs = np.arange(1, errors.shape[1] + 1)
            dashed = "--" if name.startswith("dynamic") else "-"
            axes.plot(epochs, errors.mean(0), dashed, color=_COLOURS[name], label=name, linewidth=1.6)
            axes.fill_between(epochs, errors.min(0), errors.max(0), color=_COLOURS[name], alpha=0.12, linewidth=0)
        axes.set(
            xlabel="epochs",
            ylabel="validation error, %",
            xticks=range(2, FINAL_EPOCHS + 1, 2),
            title=f"Fashion-MNIST, 32 filters, 4 capsule types, {len(FINAL_SEEDS)} seeds\n"
            f"error on {len(dataset.validation):,} validation images: mean, lowest and highest",
        )
        axes.grid(axis="y")
        axes.legend()
        save_png(figure, path)


def draw_coefficients(curves: Mapping[str, Sequence[Sequence[dict[str, Any]]]], path: Path) -> None:
    """Spread of b and its share of negative values against epochs, of the kinds that move b."""
    with styled():
        figure = canvas(7, 3.4)
        parts = figure.subplots(1, 2)
        for name, seeds in curves.items():
            if name == "frozen" or seeds[0][0]["b"] is None:
                continue
            for axes, key, factor in zip(parts, ("spread", "negative"), (1, 100), strict=True):
                values = factor * np.array([[row["b"][key] for row in rows] for rows in seeds]).mean(0)
                axes.plot(range(1, len(values) + 1), values, color=_COLOURS.get(name, GREY), label=name)
        for axes, title in zip(parts, ("standard deviation of b", "negative b, %"), strict=True):
            axes.set(xlabel="epochs", title=title, xticks=range(2, FINAL_EPOCHS + 1, 4))
            axes.grid(axis="y")
        parts[0].legend()
        save_png(figure, path)


if __name__ == "__main__":
    main()
