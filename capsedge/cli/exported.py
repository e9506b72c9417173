"""How an export looks on a terminal: what is being done, each file with its verdict, and a table of several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from capsedge.cli.console import err, next_command, percent, say
from capsedge.contract import Contract, EngineManifest, Verdict
from capsedge.plural import number_of
from capsedge.statistics import Difference

if TYPE_CHECKING:
    from capsedge.export import Exported

_ON_ONE_LINE = 90  # columns of a terminal that has the interval of a change beside it, and not below
_WITH_DIFFERENCES = 78  # and of one that has room for the differences of lengths


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is being done; nothing in a pipe."""
    with err.status("") as status:
        yield lambda text: status.update(escape(text))


@contextmanager
def building() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for the phase that TensorRT is in; nothing in a pipe."""
    columns = (TextColumn("engine: {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("parsing", total=None)
        yield lambda phase, done, total: progress.update(task, description=escape(phase), completed=done, total=total)


def show_file(made: "Exported") -> None:
    """A file with its types, its verdict and its scores."""
    contract = made.contract
    verdict = contract.verdict
    assert verdict is not None  # only gated files are shown
    say(f"model: {made.path} ({made.path.stat().st_size / 1e6:.2f} MB): {in_types(contract)}")
    if contract.calibration:
        say(f"  calibrated by {contract.calibration.text}")
    where = f" on {verdict.provider}" if verdict.provider else ""
    say(f"gate: {verdict.status}{where}, {number_of(verdict.images, 'image')}, {_differences(verdict)}")
    for remark in verdict.remarks:
        say(f"  {remark}")
    for score in contract.scores:
        gated = (score.stage, score.split) == (contract.precision, "validation")
        change = f", a change of {_points(verdict.error_change)} points" if gated else ""
        say(f"  {score.stage:>9} {score.split:<10} error {percent(score.error)}{change}")


def show_engine(engine: Path, manifest: EngineManifest) -> None:
    """An engine, or how its target machine builds it."""
    if manifest.deferred:
        say(f"engine: {engine} cannot be built here; on its target machine, beside its manifest:")
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
    """Several files of one network side by side; a narrow terminal goes without the differences of lengths."""
    wide = err.width >= _WITH_DIFFERENCES
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("precision", min_width=9)
    for title in ("MB", "valid. %", "change, 95 %", "test %", *(("largest", "mean") if wide else ())):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("gate", min_width=8)
    for contract, file in zip(contracts, files, strict=True):
        verdict = contract.verdict
        assert verdict is not None
        test = next(
            score.error for score in contract.scores if (score.stage, score.split) == (contract.precision, "test")
        )
        table.add_row(
            contract.precision if contract.batch is None else f"{contract.precision} x{contract.batch}",
            f"{Path(file).stat().st_size / 1e6:.2f}",
            f"{100 * (verdict.error or 0):.2f}",
            _points(verdict.error_change, "\n" if err.width < _ON_ONE_LINE else " "),
            f"{100 * test:.2f}",
            *([_small(verdict.largest_length_difference), _small(verdict.mean_length_difference)] if wide else []),
            verdict.status.removesuffix(" here"),
        )
    err.print(table)


def show_next(files: Sequence[tuple[str, Contract]]) -> None:
    """The command for what was made: the files that run here side by side, or an image for a single one."""
    accepted = [(file, made) for file, made in files if made.verdict and made.verdict.status == "accepted"]
    running = [file for file, made in accepted if made.batch is None] or [file for file, _ in accepted[:1]]
    if len(running) > 1:
        next_command("capsedge", "bench", *running)
    elif running:
        next_command("capsedge", "infer", "--model", running[0], "image.png")
    else:
        next_command("capsedge", "inspect", files[0][0])


def in_types(contract: Contract) -> str:
    """The types that a file computes in, with their shares of its layers and FLOPs."""
    count = len(contract.layers)
    layers = number_of(count, "layer")
    return ", ".join(
        f"{kind} in {share.layers * count:.0f} of {layers} ({100 * share.flops:.1f} % of the FLOPs)"
        for kind, share in contract.shares.items()
    )


def _differences(verdict: Verdict) -> str:
    same = "" if verdict.top1_agreement is None else f", the same answer on {percent(verdict.top1_agreement)}"
    drawn = verdict.largest_reconstruction_difference
    pixels = "" if drawn is None else f", of a pixel {drawn:.1e}"
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
