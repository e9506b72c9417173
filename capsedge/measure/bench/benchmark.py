"""A whole benchmark: from models and a plan to the report of their measurements."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from capsedge.errors import Interrupted, WrongUse
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.machine import this_machine
from capsedge.plural import number_of, plural
from capsedge.runtime.settings import DEFAULTS, Settings
from capsedge.version import __version__

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
    """Measure the latency of models side by side, interleaved, so that noise affects all models equally.

    Args:
        models: ONNX files, with a contract or without, engines, runs, or names; the others are compared with the
            first. None means the newest export, or the built-in model where there is none.
        plan: What a query is, and how long to measure.
        settings: How each model is opened.
        sweeps: Values to measure with, such as `threads=1,2` (`capsedge.measure.bench.sweep`).
        state: A .json that gets the report; a measurement that was cut off continues from it.
        tell: Called with a line about what is taken from `state`.
        progress: Called between the rounds with the share done, 0 to 1.

    Raises:
        WrongUse: There is no such model or sweep, or the plan contradicts itself.
        CapsedgeError: A model does not open, does not take a batch, or fails.
        Interrupted: Ctrl-C, after something was kept in `state`.
    """
    from capsedge.measure.bench.files import save
    from capsedge.measure.bench.resume import measured_before
    from capsedge.measure.bench.sweep import parse_axes, sweep, variants

    given = [] if models is None else [models] if isinstance(models, str | Path) else models
    named, state = [str(model) for model in given], None if state is None else Path(state)
    axes = parse_axes(sweeps)
    if "batch" in axes and plan.batch is not None:
        raise WrongUse("--batch and --sweep batch=... were both given: choose one")
    if plan.iterations is not None and plan.duration is not None:
        raise WrongUse("--iterations and --duration were both given: choose one")
    batches: tuple[int, ...] = axes.get("batch", (plan.images,))
    laid_out = variants(named, settings, axes)
    report = assemble((), plan, _command(named, settings, plan, sweeps))
    done = () if state is None else measured_before(state, report, batches, laid_out)
    if done:
        whole = sum(not group.unfinished for group in done)
        begun = ", one in part" if whole < len(done) else ""
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
        raise Interrupted(f"stopped; '{state}' keeps what was measured, and the same command continues it") from None
    finished = replace(report, groups=groups)
    if state is not None:
        save(finished, state)
    return finished


def assemble(groups: Sequence[Group], plan: Plan, command: Sequence[str]) -> BenchReport:
    """Put the groups of one command together with what they have in common, as of now.

    Args:
        groups: The measurements.
        plan: Of all groups, apart from the batch.
        command: What was asked, as words of a command line.
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
    """What was asked, in one spelling, so that the same measurement always has the same words."""
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
    return f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)
