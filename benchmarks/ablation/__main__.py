"""`python -m benchmarks.ablation parts|heads`: trains missing runs, writes the record and prints its table."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.ablation.heads import heads
from benchmarks.ablation.parts import SEED_OFFSET, variants
from benchmarks.ablation.record import AblationReport, VariantResult, read_report, write_report
from benchmarks.ablation.study import Part, StudySettings, StudyVariant, rows_of
from benchmarks.ablation.table import markdown
from benchmarks.versions import versions_of
from capsedge.cli.precision import precision_reporter
from capsedge.cli.progress import TrainingProgress
from capsedge.data import Dataset
from capsedge.data.known import KNOWN, SUBSET
from capsedge.errors import CapsedgeError, DataError, Interrupted, WrongUse, nearest
from capsedge.files import check_writable
from capsedge.processor import this_processor
from capsedge.recipe import LARGEST_SEED
from capsedge.training import Observer, dataset_of

LARGEST = LARGEST_SEED - SEED_OFFSET  # one variant adds the offset


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, write, print, and return the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    options = _options(arguments)
    try:
        if not options.redraw:
            _study(options)
        print(markdown(read_report(options.json, options.study)), end="")
    except Interrupted as error:
        _say(f"{error}; the same command continues")
        return error.exit_code
    except CapsedgeError as error:
        _say(str(error))
        return error.exit_code
    return 0


def _study(options: argparse.Namespace) -> None:
    """Train missing runs, and write the record after each."""
    check_writable(options.json)
    cases = _cases(options)
    dataset = dataset_of(cases[0].recipe.data)
    if dataset.source == SUBSET != options.data:
        raise DataError(
            f"the full data set '{options.data}' is not on this machine: "
            f"capsedge data {options.data} --download fetches it; "
            f"--data {SUBSET} trains on the images that ship with capsedge"
        )
    parts: tuple[Part, ...] = ("validation",) if options.study == "parts" else ("validation", "test")
    settings = StudySettings(
        output=options.output,
        seeds=options.seeds,
        only=options.only,
        parts=parts,
        device=options.device,
        watch=_watched,
        on_start=precision_reporter(silent=False),
    )
    for rows in rows_of(cases, dataset, settings):
        write_report(_report(options, dataset, rows, parts), options.json)


def _cases(options: argparse.Namespace) -> list[StudyVariant]:
    settings = [*options.overrides, f"train.epochs={options.epochs}"]
    if options.study == "parts":
        cases = variants(options.network, settings, options.teachers, data=options.data)
    else:
        cases = heads(options.network, settings, data=options.data)
    names = [case.name for case in cases]
    for name in options.only:
        if name not in names:
            raise WrongUse(
                f"--only: this study has no variant '{name}' (a variant equal to the base is left out); "
                f"{nearest(name, names)}"
            )
    return cases


def _report(
    options: argparse.Namespace, dataset: Dataset, rows: tuple[VariantResult, ...], parts: tuple[Part, ...]
) -> AblationReport:
    return AblationReport(
        study=options.study,
        command=_command(options),
        network=options.network,
        settings=tuple(options.overrides),
        epochs=options.epochs,
        seeds=options.seeds,
        data=dataset.description,
        data_sha256=dataset.sha256(),
        validation_images=len(dataset.validation),
        test_images=len(dataset.test) if "test" in parts else 0,
        rows=rows,
        versions=versions_of(torch, np),
        processor=this_processor(),
    )


def _command(options: argparse.Namespace) -> str:
    """The command of the whole record, without paths of this machine: folders by name, teachers as runs/NAME."""
    data = options.data if options.data in KNOWN else Path(options.data).name
    words = ["python", "-m", "benchmarks.ablation", options.study, "--network", options.network, "--data", data]
    words += ["--epochs", str(options.epochs), "--seeds", ",".join(map(str, options.seeds))]
    words += [word for each in options.overrides for word in ("--set", each)]
    words += [word for each in options.teachers for word in ("--teacher", f"runs/{each.resolve().name}")]
    return shlex.join(words)


@contextmanager
def _watched(title: str) -> Iterator[Observer]:
    _say(title)
    with TrainingProgress() as progress:
        yield progress


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--network", default="edge-nano", metavar="RECIPE", help="[default: %(default)s]")
    common.add_argument("--data", default="fashion-mnist", help="[default: %(default)s]")
    common.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of every recipe",
    )
    common.add_argument(
        "--only", type=_names, default=(), metavar="NAME,...", help="variants to train beside the base"
    )
    common.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[default: %(default)s]")
    common.add_argument("--redraw", action="store_true", help="print the table of the JSON; train nothing")

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description="Ablations of the edge family: parts of its training, and its capsule head beside plain heads.",
    )
    studies = parser.add_subparsers(dest="study", required=True)
    for study, epochs, seeds, output, file in (
        ("parts", 12, (0,), Path("runs/ablation"), Path("docs/edge/ablation.json")),
        ("heads", 30, (0, 1, 2), Path("runs/heads"), Path("docs/edge/heads.json")),
    ):
        own = studies.add_parser(study, parents=[common])
        own.add_argument("--epochs", type=int, default=epochs, help="epochs of each training [default: %(default)s]")
        own.add_argument("--seeds", type=_seeds, default=seeds, metavar="N,...", help="seeds, with one training each")
        # An error about a folder with another recipe's run names --runs.
        own.add_argument(
            "--output", "--runs", type=Path, default=output, help="folder of the runs [default: %(default)s]"
        )
        own.add_argument("--json", type=Path, default=file, help="file of the record [default: %(default)s]")
        own.set_defaults(teachers=[])
        if study == "parts":
            own.add_argument(
                "--teacher",
                dest="teachers",
                type=Path,
                action="append",
                metavar="RUN",
                help="finished run to distill from in an additional variant; repeat for several",
            )
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _seeds(text: str) -> tuple[int, ...]:
    words = _names(text)
    # Check the length first: Python refuses to convert thousands of digits.
    seeds = tuple(int(each) for each in words if each.isdecimal() and len(each) <= len(str(LARGEST)))
    if not words or len({*seeds}) < len(words) or max(seeds) > LARGEST:
        raise argparse.ArgumentTypeError(
            f"expected different integers from 0 to {LARGEST}, such as 0,1,2, got '{text}'"
        )
    return seeds


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
