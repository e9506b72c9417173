"""Figure 3: validation error against training steps, for every kind of routing in one plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.recipe import RoutingKind
from capsedge.reproduce.cases import Width, checked_kinds, in_words
from capsedge.reproduce.drawing import COLOURS, canvas, percent_axis, wrapped
from capsedge.reproduce.trainings import TrainingSettings, load_for_figure, train_all
from capsedge.statistics import MeanSpread, mean_and_spread
from capsedge.training import Run
from capsedge.training.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Tick labels that do not overlap on a logarithmic axis, in %.
_TICKS = (0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 70, 90)
# In addition to the colours, for print in black and white; the kinds that learn their coefficients have solid lines.
_LINES = {"dynamic": "--", "kl": "-.", "em": ":", "frozen": (0, (6, 2, 1, 2, 1, 2))}


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of routing.

    Attributes:
        kind: Its name.
        steps: Iterations after which it was validated.
        errors: For each seed, the validation error after each of those steps, 0 to 1.
        test_errors: For each seed, the test error of the weights with the lowest validation error.
        runs: For each seed, the run folder.
    """

    kind: RoutingKind
    steps: tuple[int, ...]
    errors: tuple[tuple[float, ...], ...]
    test_errors: tuple[float, ...]
    runs: tuple[str, ...]


class Fig3(msgspec.Struct, frozen=True, kw_only=True, tag="fig3", tag_field="kind"):
    """The content of the figure.

    Attributes:
        data: Description of the data set.
        width: Width of all networks.
        changes: Values of the recipes that were changed (`--set`).
        decoder: Whether the networks have a reconstruction network.
        batch_size: Images in a step.
        epochs: Epochs of each training.
        recipe_epochs: Epochs of the shipped recipe.
        seeds: Seeds; each kind has one training for each.
        validation_images: Number of images of each validation error.
        curves: One for each kind.
    """

    data: str
    width: Width
    changes: tuple[str, ...]
    decoder: bool
    batch_size: int
    epochs: int
    recipe_epochs: int
    seeds: tuple[int, ...]
    validation_images: int
    curves: tuple[Curve, ...]


def fig3(settings: TrainingSettings, *, kinds: Sequence[str] | None = None) -> Fig3:
    """Train every kind with every seed, or reuse finished runs, and collect their validation errors.

    Args:
        settings: Settings of all trainings.
        kinds: Kinds of routing; None for all that have a recipe.

    Raises:
        WrongUse: There is no such kind.
        Interrupted: The training was stopped; the same call resumes.
    """
    data, dataset = load_for_figure(settings)
    chosen = checked_kinds(kinds, data, settings.width)
    # All kinds with one seed before the next seed, so that an interrupted command leaves complete comparisons.
    recipes = [settings.recipe(data, kind, seed=seed) for seed in settings.seeds for kind in chosen]
    runs: dict[RoutingKind, list[Run]] = {kind: [] for kind in chosen}
    for recipe, run in train_all(settings, data, dataset, recipes):
        runs[recipe.routing.kind].append(run)
    first = recipes[0]
    return Fig3(
        data=dataset.description,
        width=settings.width,
        changes=settings.overrides,
        decoder=bool(first.network.decoder),
        batch_size=first.train.batch_size,
        epochs=first.train.epochs,
        recipe_epochs=settings.recipe_epochs(data, first),
        seeds=settings.seeds,
        validation_images=len(dataset.validation),
        curves=tuple(curve(kind, runs[kind]) for kind in chosen),
    )


def curve(kind: RoutingKind, runs: Sequence[Run]) -> Curve:
    """The validation errors of the runs of one kind, one run for each seed."""
    validations = [list(_validations(run.metrics)) for run in runs]
    return Curve(
        kind=kind,
        steps=tuple(step for step, _ in validations[0]),
        errors=tuple(tuple(error for _, error in each) for each in validations),
        test_errors=tuple(_test_error(run) for run in runs),
        runs=tuple(str(run.path) for run in runs),
    )


def draw(content: Fig3) -> "Figure":
    """Errors in the upper panel; in the lower one, if dynamic routing is included, the differences from it."""
    figure = canvas(9, 7.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    above.set_yscale("log")
    # The legend is in the order of the lines' ends; each line is thinner than those under it, so that all are
    # visible.
    ordered = sorted(content.curves, key=_last_mean, reverse=True)
    for number, each in enumerate(ordered):
        label = f"{each.kind}: {100 * _last_mean(each):.2f} %"
        _draw_line(above, each, 100 * np.array(each.errors), label, 1.2 + 0.4 * (len(ordered) - 1 - number))
    percent_axis(above, _TICKS)
    above.set_ylabel("validation error, % (logarithmic)")
    above.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3.2, title="routing: final error")
    above.set_title(_title(content), fontsize=11, loc="left")
    axes = _draw_differences(below, content) or above
    axes.set_xlabel(f"training steps (batches of {content.batch_size} images)")
    axes.set_xlim(left=0)
    axes.tick_params(labelbottom=True)
    for each_axes in figure.axes:
        each_axes.grid(visible=True, axis="both")
    return figure


def rows(content: Fig3) -> tuple[list[str], list[list[str]]]:
    """The figure as a table: header, and one row per kind; errors in percent."""
    early = content.curves[0].steps[0]
    header = ["routing", f"validation at step {early}", "at the end", "lowest", "test error"]
    lines = []
    for each in content.curves:
        errors = 100 * np.array(each.errors)
        lines.append(
            [
                each.kind,
                _shown(mean_and_spread(errors[:, 0].tolist())),
                _shown(mean_and_spread(errors[:, -1].tolist())),
                _shown(mean_and_spread(errors.min(axis=1).tolist())),
                _shown(mean_and_spread([100 * error for error in each.test_errors])),
            ]
        )
    return header, lines


def _validations(metrics: Path) -> Iterator[tuple[int, float]]:
    for row in read_metrics(metrics):
        if row["kind"] == "validation":
            yield row["step"], row["error"]


def _test_error(run: Run) -> float:
    return next(score.error for score in run.read_record().scores if score.split == "test")


def _last_mean(each: Curve) -> float:
    return float(np.mean([errors[-1] for errors in each.errors]))


def _draw_line(axes: "Axes", each: Curve, percent: NDArray[np.float64], label: str, linewidth: float = 1.4) -> None:
    """The mean over the seeds of errors [seeds, steps], and a band from the lowest to the highest."""
    colour = COLOURS[each.kind]
    axes.plot(
        each.steps,
        percent.mean(axis=0),
        color=colour,
        linestyle=_LINES.get(each.kind, "-"),
        linewidth=linewidth,
        marker="o" if len(each.steps) == 1 else None,
        label=label,
    )
    if len(percent) > 1:
        lowest, highest = percent.min(axis=0), percent.max(axis=0)
        axes.fill_between(each.steps, lowest, highest, color=colour, alpha=0.12, linewidth=0)


def _draw_differences(axes: "Axes", content: Fig3) -> "Axes | None":
    """The difference of each kind from dynamic routing, paired by seed; removes the panel if there is none."""
    bases = [each for each in content.curves if each.kind == "dynamic"]
    others = [each for each in content.curves if each.kind != "dynamic" and bases and each.steps == bases[0].steps]
    if not others:
        axes.remove()
        return None
    reach = 0.2
    for each in others:
        difference = 100 * (np.array(each.errors) - np.array(bases[0].errors))
        _draw_line(axes, each, difference, each.kind)
        reach = max(reach, float(np.abs(difference[:, len(each.steps) // 4 :]).max()))
    axes.axhline(0, color=COLOURS["dynamic"], linewidth=1.4, linestyle=_LINES["dynamic"])
    axes.set_ylim(-1.1 * reach, 1.1 * reach)
    axes.set_ylabel("difference from\ndynamic, points")
    axes.annotate(
        "axis limited to the largest difference after the first quarter of the steps",
        (0.99, 0.02),
        xycoords="axes fraction",
        ha="right",
        va="bottom",
        fontsize=8,
        color="#555555",
    )
    return axes


def _title(content: Fig3) -> str:
    seeds = ", ".join(map(str, content.seeds))
    several = f"seeds {seeds} (line: mean, band: lowest to highest)" if len(content.seeds) > 1 else f"seed {seeds}"
    size = in_words(
        content.width,
        changes=content.changes,
        epochs=content.epochs,
        recipe_epochs=content.recipe_epochs,
        decoder=content.decoder,
    )
    return wrapped(f"{content.data}\n{size}, {several}", 105)


def _shown(value: MeanSpread) -> str:
    return f"{value.mean:.2f}" if value.spread is None else f"{value.mean:.2f} ± {value.spread:.2f}"
