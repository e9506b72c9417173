"""The progress and the results of `capsedge export`: each file with its verdict, and a table of several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from capsedge.bar import FittingProgress
from capsedge.cli.console import err, example_image, next_command, percent, say
from capsedge.cli.tables import Column, print_table
from capsedge.contract import Contract, EngineManifest, Verdict
from capsedge.export.card.words import in_types
from capsedge.plural import number_of
from capsedge.statistics import Difference

_LONGEST_PHASE = 40  # letters

if TYPE_CHECKING:
    from capsedge.export import Exported
    from capsedge.training import RunRecord


def say_run(run: Path, record: "RunRecord") -> None:
    """Print what is exported, and what its training warned of, but at-chance, which the verdict repeats."""
    say(f"run: {run}, trained on {record.data}")
    if record.status != "finished":
        say("note: the run is not finished; its best network so far is exported")
    for warning in record.warnings:
        if warning.code != "at-chance":
            say(f"warning: {warning.text}")


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Show the current step on a terminal; nothing in a pipe."""
    with err.status("") as status:
        yield lambda text: status.update(escape(text))


@contextmanager
def building() -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of TensorRT's current phase; nothing in a pipe."""
    bar = BarColumn()
    columns = TextColumn("engine: {task.description}"), bar, MofNCompleteColumn()
    with FittingProgress(
        *columns, order=(bar,), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        task = progress.add_task("parsing", total=None)

        def show(phase: str, done: int, total: int) -> None:
            named = phase if len(phase) <= _LONGEST_PHASE else f"{phase[: _LONGEST_PHASE - 1]}…"
            progress.update(task, description=escape(named), completed=done, total=total)

        yield show


def show_file(made: "Exported") -> None:
    """Print a file with its types, its verdict and its scores."""
    contract = made.contract
    verdict = contract.verdict
    assert verdict is not None  # only gated files are shown
    say(f"model: {made.path} ({made.path.stat().st_size / 1e6:.2f} MB): {in_types(contract)}")
    if contract.calibration:
        say(f"  calibrated by {contract.calibration.text}")
    where = f" on {verdict.provider}" if verdict.provider else ""
    say(f"gate: {verdict.status}{where}, {number_of(verdict.images, 'image')}, {_differences(verdict)}")
    say_notes(verdict)
    for score in contract.scores:
        gated = (score.stage, score.split) == (contract.precision, "validation")
        change = f", change {_points(verdict.error_change)} points" if gated else ""
        say(f"  {score.stage:>9} {score.split:<10} error {percent(score.error)}{change}")


def say_notes(verdict: Verdict) -> None:
    """Print the notes of a verdict, and what to do where the images do not prove the limit of the error.

    That advice is for who exports, and no part of the verdict, which the file and its card carry.
    """
    from capsedge.export.gate.tolerance import is_unproved

    for note in verdict.notes:
        say(f"  {note}")
    change, limit = verdict.error_change, verdict.limits.get("error_change")
    if change is None or limit is None:
        return
    if is_unproved(change, limit, verdict.largest_length_difference):
        points = f"{ceil(1000 * change.high) / 10:g}"
        say(f"  to prove a limit, train with more validation images, or use --max-error-increase {points}")


def show_engine(engine: Path, manifest: EngineManifest) -> None:
    """Print an engine, or the command that builds it on its target machine."""
    if manifest.deferred:
        say(f"engine: {engine} cannot be built here; on the target machine, in the folder of its manifest, run:")
        say(f"  {manifest.deferred}")
        return
    verdict = manifest.contract.verdict
    assert verdict is not None
    say(
        f"engine: {engine} ({manifest.size_bytes / 1e6:.2f} MB, {manifest.package} {manifest.package_version}, "
        f"targets {', '.join(manifest.targets) or 'default'}, batch {'/'.join(map(str, manifest.batch))}, "
        f"built in {manifest.build_seconds:.1f} s): {verdict.status}"
    )
    for warning in manifest.warnings:
        say(f"  note: {warning}")


def show_table(contracts: Sequence[Contract], files: Sequence[str]) -> None:
    """Print a table of several files of one network."""
    verdicts = [contract.verdict or Verdict(status="not executed here") for contract in contracts]
    sizes = [Path(file).stat().st_size / 1e6 for file in files]
    print_table(
        [
            Column("precision", [_with_batch(contract) for contract in contracts]),
            Column("MB", [f"{size:.2f}" for size in sizes], numeric=True),
            Column("validation %", [f"{100 * (verdict.error or 0):.2f}" for verdict in verdicts], numeric=True),
            Column("change, 95 %", [_points(each.error_change, "\n") for each in verdicts], numeric=True),
            Column("test %", [f"{100 * _test_error(contract):.2f}" for contract in contracts], numeric=True),
            Column(
                "largest", [_small(each.largest_length_difference) for each in verdicts], numeric=True, optional=1
            ),
            Column("mean", [_small(each.mean_length_difference) for each in verdicts], numeric=True, optional=2),
            Column("gate", [verdict.status.removesuffix(" here") for verdict in verdicts]),
        ],
        console=err,
    )


def _with_batch(contract: Contract) -> str:
    return contract.precision if contract.batch is None else f"{contract.precision} x{contract.batch}"


def _test_error(contract: Contract) -> float:
    return next(each.error for each in contract.scores if (each.stage, each.split) == (contract.precision, "test"))


def show_card(card: Path, weights: Path, *, licensed: bool) -> None:
    """Print the card that was written, and that it names no licence."""
    say(f"card: {card}, and the weights in {weights}")
    if not licensed:
        say("  it states no licence: --license apache-2.0, or another identifier, writes yours")


def show_next(files: Sequence[tuple[str, Contract]], source: str) -> None:
    """Print the next command: `bench` for several files that run here, `infer` for one, else `inspect`.

    Args:
        files: The exported files with their contracts.
        source: `RunRecord.data_source`.
    """
    accepted = [(file, made) for file, made in files if made.verdict and made.verdict.status == "accepted"]
    running = [file for file, made in accepted if made.batch is None] or [file for file, _ in accepted[:1]]
    if len(running) > 1:
        next_command("capsedge", "bench", *running)
    elif running:
        next_command("capsedge", "infer", "--model", running[0], example_image(source))
    else:
        next_command("capsedge", "inspect", files[0][0])


def _differences(verdict: Verdict) -> str:
    same = (
        "" if verdict.top1_agreement is None else f", same answer on {percent(verdict.top1_agreement)} of the images"
    )
    drawn = verdict.largest_reconstruction_difference
    pixels = "" if drawn is None else f", largest pixel difference {drawn:.1e}"
    return (
        f"largest length difference {_small(verdict.largest_length_difference)}, mean "
        f"{_small(verdict.mean_length_difference)}{pixels}{same}"
    )


def _points(change: Difference | None, between: str = " ") -> str:
    if change is None:
        return ""
    return f"{100 * change.mean:+.2f}{between}({100 * change.low:+.2f} to {100 * change.high:+.2f})"


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"
