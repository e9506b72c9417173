"""`python -m benchmarks.portable [--only NAMES] [--images N] [--json FILE]`: checks capsedge on emulated processors.

It prints a table on stdout and its progress on stderr. The exit code is 1 if a check failed, else 0, also if some
were skipped.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.portable.checks import CHECKS, Checked, check_all
from benchmarks.portable.emulators import PROCESSORS
from benchmarks.portable.files import make_files
from capsedge.files import write_atomically
from capsedge.version import __version__

IMAGES = 400


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the JSON file.

    Attributes:
        capsedge: Version of capsedge.
        onnxruntime: Version of ONNX Runtime on this machine's own processor.
        images: Number of test images of the gate.
        checks: Results of every check on every processor.
    """

    capsedge: str
    onnxruntime: str
    images: int
    checks: tuple[Checked, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print the table, and return the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        _say("making the int8 files, and computing the reference on this machine's own processor")
        files = make_files(Path(folder), options.images)
        images = len(files.expected.labels)
        checks = check_all(options.only, files, _tell, jobs=options.jobs)
    result = Result(capsedge=__version__, onnxruntime=version("onnxruntime"), images=images, checks=tuple(checks))
    print("\n".join(table(result.checks)))
    if options.json is not None:
        write_atomically(options.json, msgspec.json.format(msgspec.json.encode(result)))
    counts = [sum(each.status == status for each in checks) for status in ("passed", "failed", "skipped")]
    _say("{} passed, {} failed, {} skipped".format(*counts))
    return 1 if counts[1] else 0


def table(checks: Sequence[Checked]) -> Iterator[str]:
    """The lines of a table in Markdown: a row for each processor, a column for each check."""
    yield f"| emulated processor | instruction sets | {' | '.join(CHECKS)} |"
    yield "|" + "---|" * (len(CHECKS) + 2)
    for processor in PROCESSORS:
        own = {each.check: each for each in checks if each.processor == processor.name}
        if own:
            told = next((each.found.processor for each in own.values() if each.found and each.found.processor), None)
            sets = ", ".join(told.instruction_sets) if told else "-"
            yield f"| {processor.title} | {sets} | {' | '.join(_cell(own[name]) for name in CHECKS)} |"


def _cell(checked: Checked) -> str:
    figures = [checked.reason]
    if found := checked.found:
        length = found.largest_length_difference
        here = "" if found.difference_to_here is None else f"here {found.difference_to_here:.1e}"
        figures = [f"{100 * found.same_answer:.4g} %", "NaN" if length is None else f"{length:.1e}", here, found.said]
    state = "**failed**" if checked.status == "failed" else checked.status
    return f"{state}: {', '.join(filter(None, figures))}".replace("|", "&#124;")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = {processor.name: processor for processor in PROCESSORS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.portable", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(known), help=f"some of {','.join(known)} [default: all]")
    parser.add_argument("--images", type=int, default=IMAGES, help="test images for the gate [default: %(default)s]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel checks [default: one per core]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    for name in names:
        if name not in known:
            parser.error(f"--only: expected names of {', '.join(known)}, separated by commas, got '{name}'")
    if options.images < 1 or options.jobs < 1:
        parser.error("--images and --jobs must be 1 or more")
    options.only = [known[name] for name in names]
    return options


def _tell(checked: Checked) -> None:
    if checked.status == "skipped":
        _say(f"{checked.processor}: skipped: {checked.reason}")
    else:
        _say(f"{checked.processor}: {checked.check}: {_cell(checked)} ({checked.seconds:.0f} s)")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
