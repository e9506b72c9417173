"""`python -m benchmarks.robustness RUN...`: measures, prints tables in Markdown, and writes every number as JSON."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.robustness.foreign import foreign_images
from benchmarks.robustness.measure import measure
from benchmarks.robustness.record import Report, write_report
from benchmarks.robustness.subjects import Subject, opened
from benchmarks.robustness.table import markdown
from capsedge.data import Split, load_dataset
from capsedge.errors import CapsedgeError
from capsedge.files import check_writable


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and give the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    options = _options(arguments)
    try:
        if options.output is not None:
            check_writable(options.output)
        report = _measured(options)
        if options.output is not None:
            write_report(report, options.output)
            _say(f"JSON: {options.output}")
    except CapsedgeError as error:
        _say(str(error))
        return error.exit_code
    print(markdown(report), end="")
    return 0


def _measured(options: argparse.Namespace) -> Report:
    with ExitStack() as stack:
        subjects = _named(options.models, [stack.enter_context(opened(path)) for path in options.models])
        height, width, _ = shape = subjects[0].shape
        dataset = load_dataset(options.data, size=height if height == width else 0)
        return measure(
            subjects,
            dataset,
            _foreign(options.foreign, shape),
            images=options.images,
            attacked=options.attacked,
            seed=options.seed,
            tell=_say,
        )


def _named(paths: Iterable[Path], subjects: list[Subject]) -> list[Subject]:
    """Subjects with different names: their paths as they were given where their own are the same."""
    names = [subject.name for subject in subjects]
    return [
        replace(subject, name=str(path)) if names.count(subject.name) > 1 else subject
        for path, subject in zip(paths, subjects, strict=True)
    ]


def _foreign(sources: Iterable[str], shape: tuple[int, int, int]) -> dict[str, Split]:
    """Foreign images by the name of their folder or data set."""
    return {Path(source).name: foreign_images(source, shape) for source in sources}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="RUN", help="a run's folder, or an exported file")
    parser.add_argument("--data", default="fashion-mnist", help="data set to measure on [default: %(default)s]")
    parser.add_argument(
        "--foreign",
        action="append",
        default=[],
        metavar="FOLDER",
        help="data set whose test images are of none of the classes; repeat for more",
    )
    parser.add_argument(
        "--images", type=_positive, default=10_000, metavar="N", help="most images of a part [default: %(default)s]"
    )
    parser.add_argument(
        "--attacked",
        type=_not_negative,
        default=1_000,
        metavar="N",
        help="most test images to attack; 0 for no attacks [default: %(default)s]",
    )
    parser.add_argument("--seed", type=_not_negative, default=0, metavar="N", help="[default: %(default)s]")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where to write every number as JSON")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = _not_negative(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got '{text}'")
    return number


def _not_negative(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to {2**32 - 1}, got '{text}'")
    return int(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
