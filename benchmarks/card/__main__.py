"""`python -m benchmarks.card [RUN] --output zoo/NAME`: fills a model's folder, or adds measurements to its card."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from msgspec.structs import replace

from benchmarks.card.index import TARGET, ZOO, write_index
from benchmarks.card.latency import with_latency
from benchmarks.card.make import Kept, make
from benchmarks.card.record import read_card
from benchmarks.card.words import write_card
from benchmarks.robustness.record import RobustnessReport, read_report
from capsedge.errors import CapsedgeError, DataError
from capsedge.measure.bench.files import load
from capsedge.training import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the card, and return the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    options = _options(arguments)
    folder: Path = options.output
    try:
        if options.run is not None:
            make(Run(options.run), folder, others=options.seed_run, keep=options.files, tell=_say)
        card = read_card(folder)
        if options.robustness is not None:
            card = replace(
                card, robustness=_only_network(read_report(options.robustness), card.name, options.robustness)
            )
        if options.bench is not None:
            card = with_latency(card, load(options.bench))
        write_card(card, folder)
        if folder.resolve().parent == ZOO:
            write_index()
            _say(f"index: {TARGET}")
    except CapsedgeError as error:
        _say(f"card: {error}")
        return error.exit_code
    _say(f"card: {folder / 'card.md'}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.card", description=__doc__)
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="a finished, exported run; without it, the options add to the card that is there",
    )
    parser.add_argument("--output", type=Path, required=True, help="the model's folder, such as zoo/edge-small")
    parser.add_argument(
        "--seed-run",
        type=lambda path: Run(Path(path)),
        action="append",
        default=[],
        metavar="RUN",
        help="a run of the same recipe with another seed; repeat for more",
    )
    parser.add_argument("--robustness", type=Path, metavar="FILE", help="JSON of `python -m benchmarks.robustness`")
    parser.add_argument("--bench", type=Path, metavar="FILE", help="JSON of capsedge bench of the folder's files")
    parser.add_argument(
        "--files",
        type=_kept,
        default=get_args(Kept),
        metavar="A,B",
        help="files of the folder: fp32, int8, weights [default: all]",
    )
    options = parser.parse_args(arguments)
    if options.run is None and (options.seed_run or options.files != get_args(Kept)):
        parser.error("--seed-run and --files need a RUN from which the card is made: give it")
    return options


def _kept(text: str) -> tuple[str, ...]:
    names = text.split(",")
    for name in names:
        if name not in get_args(Kept):
            raise argparse.ArgumentTypeError(
                f"expected {', '.join(get_args(Kept))}, separated by commas, got '{name}'"
            )
    return tuple(names)


def _only_network(report: RobustnessReport, name: str, file: Path) -> RobustnessReport:
    """The part of a report about one network."""
    if name not in report.networks:
        raise DataError(f"expected measurements of {name} in '{file}', got those of {', '.join(report.networks)}")
    alone = replace(report.networks[name], condition_changes=(), attack_changes=())
    return replace(report, networks={name: alone})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
