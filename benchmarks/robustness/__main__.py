"""`python -m benchmarks.robustness RUN...`: measures, prints tables in Markdown, and writes every number as JSON."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.robustness.foreign import NOISE, foreign_images
from benchmarks.robustness.measure import measure
from benchmarks.robustness.record import RobustnessReport, write_report
from benchmarks.robustness.subjects import MeasuredNetwork, opened
from benchmarks.robustness.table import markdown
from capsedge.data import Split, load_dataset
from capsedge.errors import CapsedgeError, WrongUse
from capsedge.files import check_writable


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return the exit code.

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


def _measured(options: argparse.Namespace) -> RobustnessReport:
    with ExitStack() as stack:
        subjects = _with_different_names(
            options.models, [stack.enter_context(opened(path)) for path in options.models]
        )
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


def _with_different_names(paths: Sequence[Path], subjects: list[MeasuredNetwork]) -> list[MeasuredNetwork]:
    """Subjects with different names."""
    names = _different([subject.name for subject in subjects], [str(path) for path in paths])
    return [replace(subject, name=name) for name, subject in zip(names, subjects, strict=True)]


def _foreign(sources: Sequence[str], shape: tuple[int, int, int]) -> dict[str, Split]:
    """Foreign images by the name of their folder or data set.

    Raises:
        WrongUse: A source is given twice, or has the name of the noise images.
    """
    names = _different([Path(source).name for source in sources], sources)
    if NOISE in names:
        raise WrongUse(
            f"--foreign '{sources[names.index(NOISE)]}' has the name '{NOISE}', which the record uses for random "
            "images: rename the folder"
        )
    return {name: foreign_images(source, shape) for name, source in zip(names, sources, strict=True)}


def _different(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """The names; for equal names the paths that were given for them.

    Raises:
        WrongUse: A path is given twice.
    """
    for each in given:
        if given.count(each) > 1:
            raise WrongUse(f"'{each}' is given {given.count(each)} times: give it once")
    return [path if names.count(name) > 1 else name for name, path in zip(names, given, strict=True)]


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
        "--images",
        type=_positive,
        default=10_000,
        metavar="N",
        help="largest number of images of a split [default: %(default)s]",
    )
    parser.add_argument(
        "--attacked",
        type=_not_negative,
        default=1_000,
        metavar="N",
        help="largest number of test images to attack; 0 for no attacks [default: %(default)s]",
    )
    parser.add_argument("--seed", type=_not_negative, default=0, metavar="N", help="[default: %(default)s]")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="JSON file for all figures")
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
