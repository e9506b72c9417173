"""Run a whole benchmark: models and a plan in, a report out."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from capsedge.errors import Interrupted, WrongUse
from capsedge.measure.bench.plan import Plan, limits_of
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.machine import this_machine
from capsedge.plural import number_of, plural
from capsedge.runtime.settings import DEFAULTS, Settings
from capsedge.version import __version__

if TYPE_CHECKING:
    from capsedge.measure.bench.sweep import Variant

DEFAULT_PLAN = Plan()


def bench(
    models: str | Path | Sequence[str | Path] | None = None,
    plan: Plan = DEFAULT_PLAN,
    *,
    settings: Settings = DEFAULTS,
    sweeps: Sequence[str] = (),
    state: str | Path | None = None,
    tell: Callable[[str], object] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> BenchReport:
    """Measure the latency of models with their iterations interleaved, so that noise affects all models equally.

    Args:
        models: ONNX files, with or without a contract, engines, runs, or names; the others are compared with the
            first. None is the newest export, or the built-in model if nothing was exported.
        plan: Scenario, batch and length of the measurement.
        settings: Options with which each model is opened.
        sweeps: Values to measure with, such as `threads=1,2` (`capsedge.measure.bench.sweep`).
        state: A .json file for the report; an interrupted measurement continues from it.
        tell: Called with a line that says what is reused from `state`.
        progress: Called between the rounds with the completed share, 0 to 1.

    Raises:
        WrongUse: A model or a sweep does not exist, a number of the plan is out of range, or options contradict each
            other.
        CapsedgeError: A model cannot be opened, does not accept a batch, or fails.
        Interrupted: Ctrl-C, after results were saved in `state`.
    """
    from capsedge.measure.bench.files import save
    from capsedge.measure.bench.resume import measured_before
    from capsedge.measure.bench.sweep import sweep

    given = [] if models is None else [models] if isinstance(models, str | Path) else models
    named, state = [str(model) for model in given], None if state is None else Path(state)
    batches, laid_out = lay_out(named, plan, settings, sweeps)
    report = assemble((), plan, _command(named, settings, plan, sweeps))
    done = () if state is None else measured_before(state, report, batches, laid_out)
    if done:
        whole = sum(not group.unfinished for group in done)
        begun = ", one partly" if whole < len(done) else ""
        measured = f"{whole} of {number_of(len(batches), 'batch')} {plural(whole, 'was', 'were')} measured before"
        tell(f"continuing '{state}': {measured}{begun}")
    kept = 0

    def keep(so_far: tuple[Group, ...]) -> None:
        nonlocal kept
        if state is not None:
            save(replace(report, groups=so_far, unfinished=True), state)
            kept = len(so_far)

    try:
        groups = sweep(laid_out, plan, batches, done=done, keep=keep, progress=progress)
    except KeyboardInterrupt:
        if not kept:
            raise
        raise Interrupted(
            f"stopped; the results so far are in '{state}'", "the same command continues the measurement"
        ) from None
    finished = replace(report, groups=groups)
    if state is not None:
        save(finished, state)
    return finished


def lay_out(
    models: Sequence[str], plan: Plan, settings: Settings, sweeps: Sequence[str]
) -> "tuple[tuple[int, ...], list[Variant]]":
    """The batches and the variants of a benchmark; refuses what is wrong before a model is opened.

    Args:
        models: Names or paths; none is the default model.
        plan: See `bench`.
        settings: See `bench`.
        sweeps: See `bench`.

    Raises:
        WrongUse: See `bench`.
        ModelError: A file is missing.
        DataError: The data of the plan is a path, and nothing is there.
    """
    from capsedge.measure.bench.sweep import parse_axes, variants

    limits_of(plan)
    axes = parse_axes(sweeps)
    if "batch" in axes and plan.batch is not None:
        raise WrongUse("--batch and --sweep batch=... were both given", "choose one")
    if plan.iterations is not None and plan.duration is not None:
        raise WrongUse("--iterations and --duration were both given", "choose one")
    if plan.data is not None:
        from capsedge.data.load import check_source  # it loads Pillow

        check_source(plan.data)
    return axes.get("batch", (plan.images,)), variants(models, settings, axes)


def assemble(groups: Sequence[Group], plan: Plan, command: Sequence[str]) -> BenchReport:
    """Build the report of one command, with the current time and this machine.

    Args:
        groups: The measurements.
        plan: Plan of all groups; its batch is ignored.
        command: Words of the command line.
    """
    return BenchReport(
        capsedge=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(command),
        plan=plan,
        machine=this_machine(),
        groups=tuple(groups),
    )


def _command(models: Sequence[str], settings: Settings, plan: Plan, sweeps: Sequence[str]) -> tuple[str, ...]:
    """Words of the command line in canonical form: the same measurement always gives the same words."""
    chosen = [
        _option(name, getattr(record, name))
        for record, defaults in ((plan, DEFAULT_PLAN), (settings, DEFAULTS))
        for name in record.__struct_fields__
        if getattr(record, name) != getattr(defaults, name)
    ]
    asked = [word for option in chosen for word in option]
    return ("capsedge", "bench", *models, *asked, *(word for axis in sweeps for word in ("--sweep", axis)))


def _option(name: str, value: object) -> tuple[str, ...]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return (f"--{option}" if value else f"--no-{option}",)
    return f"--{option}", f"{value:.12g}" if isinstance(value, float) else str(value)
