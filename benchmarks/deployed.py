"""The heads of `benchmarks.ablation heads` as files: error and latency of a CNN and of capsules, in fp32 and in int8.

    python -m benchmarks.ablation heads --epochs 30 --seeds 0,1,2 --output runs/heads
    python -m benchmarks.deployed runs/heads/*-seed* [--rounds 60] [--output docs/edge/deployed.json]

Every network goes the same way: batch normalization folded, exported, and quantized with the calibration that has
the lowest validation error. One image on one thread is timed with the files of the first seed, all interleaved; a
ratio is the median of the rounds' ratios to the first head in the same precision, with quartiles. Measure on an idle
machine.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from benchmarks.ablation.linear import LinearNet, run_in
from benchmarks.inference import interleaved, session_of
from benchmarks.versions import versions_of
from capsedge.data import Dataset, Split
from capsedge.errors import CapsedgeError, WrongUse
from capsedge.export.collapse import Deployable, deployable
from capsedge.export.fold import folded
from capsedge.export.onnx import to_onnx
from capsedge.export.precision import TypedGraphs, calibration_images
from capsedge.export.trial import lengths_of_all
from capsedge.files import write_atomically
from capsedge.models import CapsNet
from capsedge.processor import Processor, in_words, this_processor
from capsedge.reproduce.steps import Quartiles, quartiles
from capsedge.runtime.open import open_session
from capsedge.scoring import wrong_answers
from capsedge.statistics import MeanSpread, mean_and_spread
from capsedge.training import Run

Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
_NAME = re.compile(r"(.+)-seed(\d+)")


class DeployedHead(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one head and precision.

    Attributes:
        head: Name of the variant in the study.
        precision: Types that the files compute in.
        seeds: Seeds of the trainings.
        validation_error: Error of the files, 0 to 1: mean and sample standard deviation over the seeds.
        test_error: Likewise on the test images.
        p50_ms: Median time of one image on one thread, in milliseconds, of the first seed's file.
        ratio: Its time divided by that of the first head's file of the same precision, by round.
    """

    head: str
    precision: Precision
    seeds: tuple[int, ...]
    validation_error: MeanSpread
    test_error: MeanSpread
    p50_ms: float
    ratio: Quartiles


class DeployedReport(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the JSON file.

    Attributes:
        command: Command that made it, with the runs by name.
        rows: Heads in the order given, each in every precision.
        load: One-minute load average of the machine before and after the timing.
        processor: Instruction sets of the processor; None if unknown.
        versions: Versions of the packages that compute.
    """

    command: str
    rows: tuple[DeployedHead, ...]
    load: tuple[float, float]
    processor: Processor | None
    versions: dict[str, str]


class LinearFile(Deployable):
    """A network with a linear head as an exported file computes it; its output `lengths` holds the logits.

    The first linear layer's columns are ordered by position, then channel, as `StaticCapsNet` orders its rows, so
    neither file has a transposition that the other lacks.

    Args:
        network: The trained network.
    """

    def __init__(self, network: LinearNet) -> None:
        super().__init__(nn.Identity())
        plain = folded(network)
        assert isinstance(plain, LinearNet)
        self.prepare, self.stem, self.primary = plain.prepare, plain.stem, plain.primary.conv
        first, *others = plain.head
        assert isinstance(first, nn.Linear)
        if others:
            norm, *others = others
            assert isinstance(norm, nn.BatchNorm1d)
            first = fuse_linear_bn_eval(first, norm)
        channels = self.primary.out_channels
        by_channel = first.weight.detach().view(first.out_features, channels, -1)
        first.weight = nn.Parameter(by_channel.transpose(1, 2).flatten(1))
        self.head = nn.Sequential(first, *others)

    @property
    def outputs(self) -> tuple[str, ...]:
        """One output."""
        return ("lengths",)

    def forward(self, image: UInt8[Tensor, "batch height width channels"]) -> tuple[Float[Tensor, "batch classes"]]:
        """Logits of raw images."""
        maps = self.primary(self.stem(self.prepare(image.float().permute(0, 3, 1, 2) * (1 / 255))))
        return (self.head(torch.relu(maps).permute(0, 2, 3, 1).flatten(1)),)


def deployed(network: CapsNet) -> Deployable:
    """The module to export, for either kind of head."""
    return LinearFile(network).eval() if isinstance(network, LinearNet) else deployable(network)


def graphs_of(network: CapsNet, dataset: Dataset) -> dict[Precision, onnx.ModelProto]:
    """The graphs of a trained network in each precision.

    Raises:
        WrongUse: There are too few images to calibrate on.
    """
    graph = to_onnx(deployed(network), dataset.shape)
    exact = _lengths(graph, dataset.validation)

    def score(candidate: onnx.ModelProto, method: str) -> tuple[float, float]:
        del method
        lengths = _lengths(candidate, dataset.validation)
        return _error(lengths, dataset.validation), float(np.abs(lengths - exact).mean())

    graphs = TypedGraphs(graph, partial(calibration_images, dataset), score)
    return {precision: graphs.make(precision).model for precision in PRECISIONS}


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, measure, print a table in Markdown, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders NAME-seedN; the first is the base")
    parser.add_argument("--rounds", type=int, default=60, help="[default: %(default)s]")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        report = measured(options.runs, rounds=options.rounds)
    except CapsedgeError as error:
        raise SystemExit(f"deployed: {error}") from error
    if options.output:
        write_atomically(options.output, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    print(table(report))


def measured(folders: Sequence[Path], *, rounds: int) -> DeployedReport:
    """Export and measure runs.

    Args:
        folders: Runs of `benchmarks.ablation heads`, named `HEAD-seedN`.
        rounds: Rounds of the timing.

    Raises:
        WrongUse: A folder has another name, or its run is not finished.
        ModelError: A run is damaged.
    """
    heads = _by_head(folders)
    errors: dict[tuple[str, Precision], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        files: dict[tuple[str, Precision], Path] = {}
        for head, runs in heads.items():
            for run in runs.values():
                _say(str(run.path))
                dataset = run.load_dataset()
                for precision, graph in graphs_of(run.load_best(), dataset).items():
                    pair = tuple(
                        _error(_lengths(graph, split), split) for split in (dataset.validation, dataset.test)
                    )
                    errors.setdefault((head, precision), []).append((pair[0], pair[1]))
                    if (head, precision) not in files:
                        files[head, precision] = Path(folder, f"{len(files)}.onnx")
                        onnx.save(graph, files[head, precision])
        before = os.getloadavg()[0]
        seconds = dict(zip(files, interleaved([session_of(file) for file in files.values()], rounds), strict=True))
    base = next(iter(heads))
    names = " ".join(each.resolve().name for each in folders)
    return DeployedReport(
        command=f"python -m benchmarks.deployed {names} --rounds {rounds}",
        rows=tuple(
            DeployedHead(
                head=head,
                precision=precision,
                seeds=tuple(heads[head]),
                validation_error=mean_and_spread([validation for validation, _ in own]),
                test_error=mean_and_spread([test for _, test in own]),
                p50_ms=1000 * float(np.median(seconds[head, precision])),
                ratio=quartiles(
                    [
                        time / other
                        for time, other in zip(seconds[head, precision], seconds[base, precision], strict=True)
                    ]
                ),
            )
            for (head, precision), own in errors.items()
        ),
        load=(before, os.getloadavg()[0]),
        processor=this_processor(),
        versions=versions_of(torch, np, onnxruntime),
    )


def table(report: DeployedReport) -> str:
    """The record in Markdown."""
    base = report.rows[0].head
    lines = [
        f"| head | precision | validation, % | test, % | one image | time / that of {base} (quartiles) |",
        f"|{'---|' * 6}",
    ]
    lines.extend(
        f"| {row.head} | {row.precision} | {_percent(row.validation_error)} | {_percent(row.test_error)} | "
        f"{row.p50_ms:.3f} ms | {'' if row.head == base else _words(row.ratio)} |"
        for row in report.rows
    )
    processor = "an unknown processor" if report.processor is None else in_words(report.processor)
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    seeds = ", ".join(map(str, report.rows[0].seeds))
    lines.append(
        f"\nErrors are means over seeds {seeds} ± the standard deviation. {processor}; {versions}; load average "
        f"{report.load[0]:.1f} before and {report.load[1]:.1f} after."
    )
    return "\n".join(lines)


def _by_head(folders: Sequence[Path]) -> Mapping[str, dict[int, Run]]:
    """The runs by head and seed, in the order given."""
    heads: dict[str, dict[int, Run]] = {}
    for folder in folders:
        name = _NAME.fullmatch(folder.resolve().name)
        if name is None:
            raise WrongUse(f"expected folders of `benchmarks.ablation heads`, such as capsules-seed0, got '{folder}'")
        run = heads.setdefault(name[1], {})[int(name[2])] = run_in(folder)
        if run.read_record().status != "finished":
            raise WrongUse(f"run '{folder}' is not finished", "the command of the study continues it")
    return heads


def _lengths(graph: onnx.ModelProto, split: Split) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(graph.SerializeToString())
        with open_session(file) as session:
            return lengths_of_all(session, split.images)


def _error(lengths: NDArray[np.float32], split: Split) -> float:
    return float(wrong_answers(lengths, split.labels).mean())


def _percent(error: MeanSpread) -> str:
    return f"{100 * error.mean:.2f}" + ("" if error.spread is None else f" ± {100 * error.spread:.2f}")


def _words(ratio: Quartiles) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
