"""Figure 4: time of 100 training steps of every kind of routing, measured in interleaved rounds, and peak memory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from capsedge.errors import WrongUse
from capsedge.measure.bench.report import BenchWarning
from capsedge.measure.bench.warnings import about_load
from capsedge.measure.machine import Machine, conditions, this_machine
from capsedge.plural import number_of
from capsedge.recipe import RoutingKind
from capsedge.reproduce.cases import Width, checked_kinds, in_words
from capsedge.reproduce.drawing import COLOURS, canvas, wrapped
from capsedge.reproduce.steps import PeakMemory, Quartiles, check_batch_size, measure, peak_memory, quartiles, ratios
from capsedge.reproduce.trainings import TrainingSettings, load_for_figure
from capsedge.training import Run, Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASE = "dynamic"  # the paper gives times relative to it
ROUNDS = 20


class KindTime(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of routing.

    Attributes:
        kind: Its name.
        seconds: Time of one step in each round.
        memory: Memory of a process that trains this kind alone; None if the system does not report it.
    """

    kind: RoutingKind
    seconds: tuple[float, ...]
    memory: PeakMemory | None


class Fig4(msgspec.Struct, frozen=True, kw_only=True, tag="fig4", tag_field="kind"):
    """The content of the figure.

    Attributes:
        data: Description of the data set.
        width: Width of all networks.
        changes: Values of the recipes that were changed (`--set`).
        decoder: Whether the networks have a reconstruction network.
        precision: Precision of the convolutions: fp32 or bf16.
        batch_size: Images in a step.
        rounds: Timed steps of each kind.
        device: Device of the training.
        threads: Number of torch's threads on the CPU.
        machine: Hardware and software of the machine.
        torch: Version of torch.
        kinds: One for each kind.
        warnings: Reasons why the times may be unreliable.
    """

    data: str
    width: Width
    changes: tuple[str, ...]
    decoder: bool
    precision: str
    batch_size: int
    rounds: int
    device: str
    threads: int
    machine: Machine
    torch: str
    kinds: tuple[KindTime, ...]
    warnings: tuple[BenchWarning, ...] = ()


def fig4(
    settings: TrainingSettings,
    *,
    kinds: Sequence[str] | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[float], None] = lambda _: None,
) -> Fig4:
    """Measure the memory of each kind in a separate process, then the time of all kinds in interleaved rounds.

    Args:
        settings: Settings of all trainings, with one seed.
        kinds: Kinds of routing; None for all that have a recipe.
        rounds: Timed steps of each kind.
        progress: Called with the finished share, 0 to 1.

    Raises:
        WrongUse: There is no such kind, there is more than one seed, or a batch is larger than the data set.
    """
    data, dataset = load_for_figure(settings)
    chosen = checked_kinds(kinds, data, settings.width)
    if len(settings.seeds) != 1:
        raise WrongUse(
            f"--seed: expected one seed, got {len(settings.seeds)}; figure 4 times one training of each kind"
        )
    recipes = {kind: settings.recipe(data, kind, seed=settings.seeds[0]) for kind in chosen}
    for recipe in recipes.values():  # before the other processes, whose errors have no exit code of their own
        check_batch_size(recipe, recipe.data.epoch_images or len(dataset.train))
    machine = this_machine()
    warnings = tuple(about_load(conditions().load_average, machine.cores))  # before our own work
    # Memory first, in processes that share the cores; then nothing else runs while the steps are timed.
    memory = {}
    for number, (kind, recipe) in enumerate(recipes.items(), 1):
        memory[kind] = peak_memory(recipe, device=settings.device)
        progress(number / len(recipes) / 2)
    unused = Run(Path("unused"))  # only start() would write into it
    trainers: dict[str, Trainer] = {
        kind: Trainer(recipe, dataset, unused, device=settings.device, threads=settings.threads)
        for kind, recipe in recipes.items()
    }
    settings.on_start(trainers[chosen[0]])
    seconds = measure(trainers, rounds=rounds, progress=lambda share: progress(0.5 + share / 2))
    first = recipes[chosen[0]]
    return Fig4(
        data=dataset.description,
        width=settings.width,
        changes=settings.overrides,
        decoder=bool(first.network.decoder),
        precision=trainers[chosen[0]].precision.precision,
        batch_size=first.train.batch_size,
        rounds=rounds,
        device=_device(trainers[chosen[0]].devices.device),
        threads=torch.get_num_threads(),
        machine=machine,
        torch=str(torch.__version__),
        kinds=tuple(KindTime(kind=kind, seconds=tuple(seconds[kind]), memory=memory[kind]) for kind in chosen),
        warnings=warnings,
    )


def draw(content: Fig4) -> "Figure":
    """Time on the left with quartiles as whiskers, memory on the right."""
    figure = canvas(10, 1.7 + 0.5 * len(content.kinds))
    time, memory = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
    places = range(len(content.kinds))
    colours = [COLOURS[each.kind] for each in content.kinds]
    _draw_times(time, content, colours)
    if all(each.memory for each in content.kinds):
        _draw_memory(memory, content, colours)
    else:
        memory.remove()
    time.set_yticks(places, [each.kind for each in content.kinds])
    time.set_ylim(len(content.kinds) - 0.4, -0.6)
    figure.suptitle(_title(content), fontsize=11)
    return figure


def rows(content: Fig4) -> tuple[list[str], list[list[str]]]:
    """The figure as a table: header, and one row per kind."""
    header = ["routing", "s/100 steps", "images/s", f"x {_base(content)}", "(quartiles)", "peak MB"]
    lines = []
    for each in content.kinds:
        spent, ratio = quartiles(each.seconds), _ratio(content, each)
        memory = f"{each.memory.peak_bytes / 1e6:,.0f}" if each.memory else "-"
        lines.append(
            [
                each.kind,
                f"{100 * spent.median:.1f}",
                f"{content.batch_size / spent.median:,.0f}",
                f"{ratio.median:.3f}",
                f"({ratio.low:.3f}-{ratio.high:.3f})",
                memory,
            ]
        )
    return header, lines


def _draw_times(axes: "Axes", content: Fig4, colours: Sequence[str]) -> None:
    times = [quartiles([100 * each for each in kind.seconds]) for kind in content.kinds]
    medians = [each.median for each in times]
    whiskers = [[each.median - each.low for each in times], [each.high - each.median for each in times]]
    axes.barh(range(len(times)), medians, xerr=whiskers, color=colours, height=0.7, ecolor="#666666", capsize=3)
    room = 1.38 * max(each.high for each in times)
    axes.set_xlim(0, room)
    for place, (kind, spent) in enumerate(zip(content.kinds, times, strict=True)):
        text = f"{spent.median:.3g} s, {_ratio(content, kind).median:.2f}x"
        axes.text(spent.high + 0.015 * room, place, text, va="center", fontsize=9)
    axes.set_xlabel(
        f"seconds per 100 steps: median and quartiles of {content.rounds} steps; x: ratio to {_base(content)}"
    )
    axes.grid(visible=True, axis="x")


def _draw_memory(axes: "Axes", content: Fig4, colours: Sequence[str]) -> None:
    peaks = [each.memory.peak_bytes / 1e6 for each in content.kinds if each.memory]
    before = [each.memory.before_bytes / 1e6 for each in content.kinds if each.memory]
    axes.barh(range(len(peaks)), peaks, color=colours, height=0.7, alpha=0.55)
    axes.barh(range(len(peaks)), before, color="#bbbbbb", height=0.7)
    axes.set_xlim(0, 1.25 * max(peaks))
    for place, peak in enumerate(peaks):
        axes.text(peak + 0.02 * max(peaks), place, f"{peak:,.0f}", va="center", fontsize=9)
    axes.set_xlabel("peak memory, MB (grey: before the first step)")
    axes.grid(visible=True, axis="x")
    axes.tick_params(labelleft=False, left=False)


def _ratio(content: Fig4, each: KindTime) -> Quartiles:
    seconds: dict[str, Sequence[float]] = {kind.kind: kind.seconds for kind in content.kinds}
    return ratios(seconds, each.kind, _base(content))


def _base(content: Fig4) -> RoutingKind:
    """Dynamic routing if it was measured, as in the paper; else the first kind."""
    kinds = [each.kind for each in content.kinds]
    return "dynamic" if BASE in kinds else kinds[0]


def _title(content: Fig4) -> str:
    size = in_words(content.width, changes=content.changes, decoder=content.decoder)
    threads = f"{number_of(content.threads, 'thread')}"
    place = content.device if content.device != "cpu" else f"{content.machine.cpu}, {threads}"
    return wrapped(
        f"Time and memory of training steps: {size}, batch {content.batch_size}, {content.precision}\n"
        f"{content.data}; {place}",
        115,
    )


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
