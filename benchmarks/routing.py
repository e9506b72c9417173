"""The study of the routing step: `make study`; docs/routing.md has its results.

It trains on the full Fashion-MNIST, at a width that one core trains in minutes. The sieve is a short training with
one seed for every setting of the routing step. The finals repeat a few settings with more epochs and seeds.
Interrupted trainings are resumed and finished ones reused. Settings are compared on the validation images; the test
error is shown for information only.

The results are three JSON files beside the figures: sieve.json has a row for each setting, finals.json the
validations of every finalist, scores.json the data, the frozen coefficients with other seeds, and the finalists'
scores with intervals. (The scores of the first study are rounded to 0.01 points, since they were copied from printed
tables.) Tables and figures are made from these files alone; --redraw makes them again without training:

    python -m benchmarks.routing --redraw > docs/routing/tables.md
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
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

# bf16 on every machine, as in docs/routing.md; a processor without bf16 instructions prints the cost.
# No augmentation: the study is older than the recipes' shifts and flips.
WIDTH = (
    "network.filters=32",
    "network.capsule_types=4",
    "train.precision=bf16",
    "data.shift=0",
    "data.flip=false",
)
REPORT = precision_reporter(silent=False)
SIEVE_EPOCHS, FINAL_EPOCHS, FINAL_SEEDS = 3, 20, (0, 1, 2)

Case = tuple[str, tuple[str, ...]]  # routing kind, changes of its recipe
Curves = Mapping[str, Sequence[Sequence[dict[str, Any]]]]  # rows of all validations, by finalist and seed
Errors = Mapping[str, NDArray[np.float64]]  # error after each epoch, by finalist
FAST = "routing.learning_rate=0.001"
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
        "dynamic-rate-3e-3": ("dynamic", ("train.learning_rate=0.003",)),
        "frozen-rate-3e-3": ("frozen", ("train.learning_rate=0.003",)),
    },
    "L2, step length of Adam": {
        "l2-adam-2e-5": ("l2", ("routing.learning_rate=2e-5",)),
        "l2-adam-1e-3": ("l2", (FAST,)),
        "l2-adam-2e-3": ("l2", ("routing.learning_rate=0.002",)),
        "l2-adam-5e-3": ("l2", ("routing.learning_rate=0.005",)),
    },
    "L2, plain ascent (eq 13), step length gamma": {
        "l2-ascent-1e-3": ("l2", (ASCENT, "routing.learning_rate=0.001")),
        "l2-ascent-1e-2": ("l2", (ASCENT, "routing.learning_rate=0.01")),
        "l2-ascent-1e-1": ("l2", (ASCENT, "routing.learning_rate=0.1")),
        "l2-ascent-1": ("l2", (ASCENT, "routing.learning_rate=1.0")),
        "l2-ascent-sum-1e-3": ("l2", (ASCENT, "routing.learning_rate=0.001", "routing.reduction=sum")),
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
        "l2-squashed-5e-3": ("l2", (SQUASHED, "routing.learning_rate=0.005")),
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
        "l1-prox-ascent": ("l1", (PROXIMAL, ASCENT, "routing.learning_rate=0.1", "routing.penalty=0.001")),
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
    "dynamic-3e-3": ("dynamic", ("train.learning_rate=0.003",)),
}
NOISE_SEEDS = (0, 1, 2)  # of frozen in the sieve, for the effect of the seed alone

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
    """Train missing runs, print the tables, draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--out", type=Path, default=Path("docs/routing"), help="folder for figures and JSON")
    parser.add_argument("--only", choices=("sieve", "finals"))
    parser.add_argument("--redraw", action="store_true", help="make tables and figures from the JSON; train nothing")
    options = parser.parse_args()

    if not options.redraw:
        train(options.runs, options.out, only=options.only)
    if options.only != "finals":
        show_sieve(options.out)
    if options.only != "sieve":
        show_finals(options.out)


def train(runs: Path, out: Path, *, only: str | None) -> None:
    """Train missing runs, and write the JSON files."""
    dataset = load_dataset("fashion-mnist")
    out.mkdir(parents=True, exist_ok=True)
    keep_scores(out, data=dataset.description, validation_images=len(dataset.validation))
    if only != "finals":
        sieve(dataset, runs / "sieve", out)
    if only != "sieve":
        finals(dataset, runs / "final", out)


def sieve(dataset: Dataset, runs: Path, out: Path) -> None:
    """Train every setting with one seed; compare its validation error with frozen coefficients, paired by image."""
    frozen = [run_of("frozen", ("frozen", ()), SIEVE_EPOCHS, seed, dataset, runs) for seed in NOISE_SEEDS]
    base = mistakes(frozen[0], dataset.validation)
    errors = [float(mistakes(run, dataset.validation).mean()) for run in frozen]
    keep_scores(out, frozen_in_the_sieve={"seeds": NOISE_SEEDS, "validation": errors})
    rows = []
    for group, cases in SIEVE.items():
        for name, case in cases.items():
            run = run_of(name, case, SIEVE_EPOCHS, 0, dataset, runs)
            wrong = mistakes(run, dataset.validation)
            gap = paired_difference([wrong], [base])
            row = {"name": name, "group": group, "validation": float(wrong.mean()), "low": gap.low, "high": gap.high}
            rows.append(row | {"test": test_error(run), "b": validations(run)[-1]["b"]})
    (out / "sieve.json").write_text(json.dumps(rows, indent=1))


def finals(dataset: Dataset, runs: Path, out: Path) -> None:
    """Train the finalists with several seeds, each paired with frozen coefficients of the same seed."""
    found = {
        name: [run_of(name, case, FINAL_EPOCHS, seed, dataset, runs) for seed in FINAL_SEEDS]
        for name, case in FINALS.items()
    }
    splits = {"validation": dataset.validation, "test": dataset.test}
    wrong = {
        part: {name: [mistakes(run, split) for run in each] for name, each in found.items()}
        for part, split in splits.items()
    }
    scores: dict[str, Any] = {
        name: {part: score(wrong[part][name], wrong[part]["frozen"]) for part in splits} for name in found
    }
    del scores["frozen"]["validation"]["less_frozen"], scores["frozen"]["test"]["less_frozen"]
    keep_scores(out, finals=scores)
    curves = {name: [validations(run) for run in each] for name, each in found.items()}
    (out / "finals.json").write_text(json.dumps(curves, indent=1))


def score(wrong: Sequence[NDArray[np.bool_]], frozen: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    """The error of a finalist over its seeds, and its paired difference from frozen coefficients, for JSON."""
    errors = mean_and_spread([float(one.mean()) for one in wrong])
    gap = paired_difference(wrong, frozen)
    less_frozen = {"mean": gap.mean, "low": gap.low, "high": gap.high}
    return {"mean": errors.mean, "spread": errors.spread or 0.0, "less_frozen": less_frozen}


def keep_scores(out: Path, **values: object) -> None:
    """Add values to scores.json, which the parts of the study share."""
    path = out / "scores.json"
    kept = load(path) if path.exists() else {}
    path.write_text(json.dumps(kept | values, indent=1))


def load(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text())


def show_sieve(out: Path) -> None:
    """Print the sieve's table from its JSON."""
    rows, scores = load(out / "sieve.json"), load(out / "scores.json")
    noise = scores["frozen_in_the_sieve"]
    print(f"\n{scores['data']}\n")
    errors = ", ".join(percent(error) for error in noise["validation"])
    print(f"frozen, seeds {tuple(noise['seeds'])}: validation error {errors} %\n")
    print("| setting | validation % | less frozen (95 %) | test % | b: mean | spread | largest | negative | zero |")
    print("|---" * 9 + "|")
    base = next(row["validation"] for row in rows if row["name"] == "frozen")
    for group, members in groupby(rows, key=lambda row: row["group"]):
        print(f"| *{group}* | | | | | | | | |")
        for row in members:
            gap = interval(row["validation"] - base, row["low"], row["high"])
            shown = "-" if row["name"] == "frozen" else gap
            cells = (row["name"], percent(row["validation"]), shown, percent(row["test"]), of_b([row["b"]]))
            print(f"| {' | '.join(cells)} |")


def show_finals(out: Path) -> None:
    """Print the finalists' tables from their JSON, and draw the figures."""
    curves, scores = load(out / "finals.json"), load(out / "scores.json")
    print(
        f"\n{FINAL_EPOCHS} epochs, seeds {FINAL_SEEDS}, the best epoch of each; ± is the standard deviation over the "
        "seeds\n"
    )
    heads = ("finalist", "validation %", "less frozen (95 %)", "test %", "less frozen (95 %)")
    print(f"| {' | '.join(heads)} | b: mean | spread | largest | negative | zero |")
    print("|---" * 10 + "|")
    for name, parts in scores["finals"].items():
        cells = [name]
        for part in ("validation", "test"):
            found = parts[part]
            cells.append(f"{percent(found['mean'])} ± {percent(found['spread'])}")
            cells.append(interval(**found["less_frozen"]) if "less_frozen" in found else "-")
        print(f"| {' | '.join(cells)} | {of_b([seed[-1]['b'] for seed in curves[name]])} |")
    show_order(curves)
    draw_errors(curves, out / "errors.png", scores["validation_images"])
    draw_coefficients(curves, out / "coefficients.png")


def show_order(curves: Curves) -> None:
    """Print the finalists' ranks after each epoch, and their differences after the last."""
    errors = mean_errors(curves)
    order = ranks(errors)
    print("\nValidation error after every epoch, %: mean over the seeds (rank: 1 is the lowest; equals share it)\n")
    print(f"| epoch | {' | '.join(errors)} |")
    print("|---" * (1 + len(errors)) + "|")
    for index in range(FINAL_EPOCHS):
        cells = [f"{percent(errors[name][index])} ({order[name][index]})" for name in errors]
        print(f"| {index + 1} | {' | '.join(cells)} |")

    print("\nThe same means compared; the last column is of the last epoch: mean, lowest and highest seed\n")
    heads = ("finalist", "below all others, epochs", "for good from", "below dynamic, epochs", "last epoch")
    print(f"| {' | '.join(heads)} | less frozen (seeds) |")
    print("|---" * 6 + "|")
    for name in errors:
        below = below_all_others(errors, name)
        gaps = [
            own[-1]["error"] - base[-1]["error"] for own, base in zip(curves[name], curves["frozen"], strict=True)
        ]
        cells = [
            *(name, epochs_of(below), str(for_good(below) or "never")),
            "" if name == "dynamic" else epochs_of(errors[name] < errors["dynamic"]),
            f"{percent(errors[name][-1])} ({order[name][-1]})",
            "-" if name == "frozen" else interval(float(np.mean(gaps)), min(gaps), max(gaps)),
        ]
        print(f"| {' | '.join(cells)} |")

    below = below_all_others({name: each for name, each in errors.items() if name != "dynamic-3e-3"}, "dynamic")
    print(
        f"\nWithout dynamic-3e-3, dynamic is below all others after epochs {epochs_of(below)}; "
        f"for good from {for_good(below) or 'never'}"
    )


def mean_errors(curves: Curves) -> Errors:
    """Mean over the seeds after every epoch, rounded so that equal counts of mistakes give equal numbers."""
    every = {name: np.array([[row["error"] for row in rows] for rows in seeds]) for name, seeds in curves.items()}
    return {name: each.mean(0).round(9) for name, each in every.items()}


def ranks(errors: Errors) -> dict[str, NDArray[np.int64]]:
    """Rank after every epoch: 1 plus the number of finalists with a lower error."""
    every = np.stack(list(errors.values()))
    return {name: 1 + (every < own).sum(0) for name, own in errors.items()}


def below_all_others(errors: Errors, name: str) -> NDArray[np.bool_]:
    """For every epoch, whether a finalist's error is lower than that of every other."""
    lowest: NDArray[np.float64] = np.stack([each for other, each in errors.items() if other != name]).min(0)
    return errors[name] < lowest


def for_good(below: NDArray[np.bool_]) -> int | None:
    """The first epoch, counted from 1, from which on it holds after every epoch; None if there is none."""
    failing = np.flatnonzero(~below)
    first = 1 if not len(failing) else int(failing[-1]) + 2
    return first if first <= len(below) else None


def epochs_of(mask: NDArray[np.bool_]) -> str:
    """Epochs counted from 1, such as 1 to 8, 15, 16; three or more consecutive ones are a range."""
    chosen = np.flatnonzero(mask) + 1
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    shown = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(shown) or "none"


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
    """For each image, whether the run's best weights give a wrong answer."""
    lengths = lengths_of(run.load_best(), split, torch.device("cpu")).numpy()
    return wrong_answers(lengths, split.labels)


def validations(run: Run) -> list[dict[str, Any]]:
    """The rows of all validations."""
    return [row for row in read_metrics(run.metrics) if row["kind"] == "validation"]


def test_error(run: Run) -> float:
    """The test error of the run's best weights."""
    return next(score.error for score in run.read_record().scores if score.split == "test")


def of_b(last: Sequence[dict[str, float] | None]) -> str:
    """Statistics of b after the last epoch, mean over the seeds, as cells of a table."""
    found = [each for each in last if each is not None]
    if not found:
        return " | ".join("-" * 5)
    mean = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    sizes = [f"{mean[key]:.2f}" for key in ("mean", "spread", "largest")]
    return " | ".join([*sizes, *(f"{percent(mean[key])} %" for key in ("negative", "zero"))])


def percent(share: float) -> str:
    """A share as a percentage with two decimals, the precision that 5,000 images support."""
    return f"{100 * share:.2f}"


def interval(mean: float, low: float, high: float) -> str:
    """A difference in points with its interval."""
    return f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def draw_errors(curves: Curves, path: Path, images: int) -> None:
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
            f"error on {images:,} validation images: mean, lowest and highest",
        )
        axes.grid(axis="y")
        axes.legend()
        save_png(figure, path)


def draw_coefficients(curves: Curves, path: Path) -> None:
    """Spread of b and its share of negative values against epochs, of the kinds that change b."""
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
