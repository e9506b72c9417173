"""The tables of `capsedge profile`: time by stage or layer, time outside of the layers, and the machine's roofs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from capsedge.cli import console
from capsedge.cli.console import say
from capsedge.cli.tables import Column, print_table
from capsedge.measure.bench.show.text import hardware
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.measure.profile.report import LayerTime, Profile


def show_profile(found: "Profile", *, layers: bool) -> None:
    """Print a profile by stage, and before it by layer if `layers` is set."""
    console.out.print(Text(f"{found.model}", "bold").append(f"  {_heading(found)}", "not bold"), soft_wrap=True)
    if layers:
        print_layers(found)
        console.out.print()
    print_stages(found)
    console.out.print()
    say(hardware(found.machine))
    _say_roofs(found)
    for warning in found.warnings:
        say(f"note: {warning.text}")


def print_stages(found: "Profile") -> None:
    """Print a row for each stage, and below them totals and the time outside of the layers."""
    stages, rest = found.stages, unexplained(found)
    more = [""] * len(rest)
    columns = [
        Column("stage", [*(stage.stage for stage in stages), *(name for name, _ in rest)]),
        Column("layers", [*(str(stage.layers) for stage in stages), *more], numeric=True, optional=2),
        Column("us", [*(_us(stage.time_us) for stage in stages), *(_us(time) for _, time in rest)], numeric=True),
        Column("share", [*(_percent(stage.share) for stage in stages), *more], numeric=True),
        Column("MFLOP", [*(_mega(stage.flops) for stage in stages), *more], numeric=True),
        Column("MB", [*(_mega(stage.size_bytes) for stage in stages), *more], numeric=True, optional=3),
        Column("GFLOP/s", [*(_rate(stage.gflops) for stage in stages), *more], numeric=True, optional=1),
    ]
    if found.roofs is not None:
        columns.append(Column("of roof", [*(_percent(stage.of_roof) for stage in stages), *more], numeric=True))
    print_table(columns, foot=len(rest))


def unexplained(found: "Profile") -> list[tuple[str, float]]:
    """Totals and the time outside of the layers, by name, in microseconds; a warning reports a negative one."""
    whole = found.whole
    rows = {
        "all layers": whole.layers_us,
        "between the layers": None if whole.between_us < 0 else whole.between_us,
        "an iteration": whole.plain_us,
        "a profiled iteration": whole.profiled_us,
        "  of which the profiler": None if (whole.profiler_us or 0.0) < 0 else whole.profiler_us,
    }
    return [(name, time_us) for name, time_us in rows.items() if time_us is not None]


def print_layers(found: "Profile") -> None:
    """Print a row for each layer."""
    layers, roofs = found.layers, found.roofs is not None

    def number(title: str, cells: Sequence[str], optional: int = 0) -> Column:
        return Column(title, cells, numeric=True, optional=optional)

    columns = [
        Column("layer", [_name(layer) for layer in layers]),
        Column("op", [layer.op for layer in layers], optional=4),
        Column("stage", [layer.stage for layer in layers]),
        Column("type", [layer.kind or "" for layer in layers], optional=2),
        number("us", [_us(layer.time_us) for layer in layers]),
        number("recorded", [_us(layer.recorded_us) for layer in layers], 7),
        number("share", [_percent(layer.share) for layer in layers]),
        number("MFLOP", [_mega(layer.flops) for layer in layers], 3),
        number("FLOP/B", ["" if layer.intensity is None else f"{layer.intensity:.1f}" for layer in layers], 6),
        number("GFLOP/s", [_rate(layer.gflops) for layer in layers], int(roofs)),  # the share of the roof says more
    ]
    if roofs:
        columns.append(number("of roof", [_percent(layer.of_roof) for layer in layers]))
        columns.append(Column("bound by", [layer.bound or "" for layer in layers], optional=5))
    print_table(columns)


def _heading(found: "Profile") -> str:
    parts = [found.precision or "", found.provider.replace("ExecutionProvider", ""), f"batch {found.batch}"]
    if found.settings.threads:
        parts.append(number_of(found.settings.threads, "thread"))
    return ", ".join([*filter(None, parts), f"{found.iterations:,} iterations"])


def _name(layer: "LayerTime") -> str:
    """The module's name of a layer, without the suffixes of torch and the quantizer, or the node's name."""
    return layer.layer.removesuffix("_quantized").removesuffix(".weight") or layer.name


def _us(value: float) -> str:
    return f"{value:,.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _mega(value: int | None) -> str:
    return f"{value / 1e6:,.3f}" if value else ""


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _say_roofs(found: "Profile") -> None:
    if found.roofs is None:
        return
    rates = [f"{kind} {rate:,.0f} GFLOP/s" for kind, rate in found.roofs.gflops.items()]
    copies = [f"{level.name} {level.gb_per_s:,.0f} GB/s" for level in found.roofs.levels]
    sides = " and ".join(f"{side}x{side}" for side in found.roofs.product_sides)
    say(
        f"roofs of this machine, {number_of(found.roofs.threads, 'thread')}: {', '.join(rates)} "
        f"(matrix products of {sides}); {', '.join(copies)} (copies, read and write)"
    )
