"""The latency of a network: that of its exported file, on this machine, with one thread."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from capsedge.data import Dataset
from capsedge.export.collapse import deployable
from capsedge.export.onnx import to_onnx
from capsedge.export.precision import METHODS, TypedGraphs, calibration_images
from capsedge.export.precision.quantize import FEWEST_IMAGES, Images
from capsedge.files import naming
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchWarning, Case, Group, Ratio
from capsedge.models import CapsNet
from capsedge.runtime.open import open_session
from capsedge.runtime.settings import Settings

FilePrecision = Literal["fp32", "int8"]

THREADS = 1
_OF_BENCH = ("quick", "few-iterations")
"""Codes of warnings that concern what `capsedge bench` alone shows: its option --quick, and percentiles."""


class Compared(NamedTuple):
    """Two networks' latencies.

    Attributes:
        before_ms: Median of the first.
        after_ms: Median of the second.
        ratio: Ratio of the second to the first.
        warnings: Reasons why the latencies may be unreliable (`capsedge bench`), of the cases `before` and `after`.
    """

    before_ms: float
    after_ms: float
    ratio: Ratio
    warnings: tuple[BenchWarning, ...] = ()


class Stopwatch:
    """Measures the latency of networks for one image, on ONNX Runtime's CPU execution provider.

    The file does not pass the gate, and int8 is calibrated by the fastest method: neither changes the latency.

    Args:
        dataset: Gives the shape of the images, and calibration images.
        precision: Precision of the file.
        seconds: Duration of the timed iterations of each network; None for that of `capsedge bench --quick`.
    """

    def __init__(self, dataset: Dataset, precision: FilePrecision, *, seconds: float | None = None) -> None:
        self.dataset = dataset
        self.precision: FilePrecision = precision
        self.seconds = seconds

    def latency_ms(self, network: CapsNet) -> float:
        """Median latency of a network.

        Raises:
            WrongUse: There are too few training images to calibrate int8 on.
        """
        (case,) = self._measured([network]).cases
        return _median_ms(case)

    def compared(self, before: CapsNet, after: CapsNet) -> Compared:
        """The latencies of two networks, measured in interleaved rounds.

        Raises:
            WrongUse: See `latency_ms`.
        """
        found = self._measured([before, after])
        one, other = found.cases
        assert other.ratio is not None  # only the first case has no ratio
        warnings = tuple(each for each in found.warnings if each.code not in _OF_BENCH)
        return Compared(_median_ms(one), _median_ms(other), other.ratio, warnings)

    def _measured(self, networks: Sequence[CapsNet]) -> Group:
        plan = Plan(quick=True, duration=self.seconds, breakdown=False)
        with tempfile.TemporaryDirectory(prefix="capsedge-") as folder, ExitStack() as stack:
            files = [Path(folder, f"network-{number}.onnx") for number in range(len(networks))]
            for file, network in zip(files, networks, strict=True):
                self._write(network, file)
            sessions = [stack.enter_context(open_session(file, Settings(threads=THREADS))) for file in files]
            return measure(sessions, plan, labels=("before", "after")[: len(sessions)])

    def _write(self, network: CapsNet, file: Path) -> None:
        model = to_onnx(deployable(network), self.dataset.shape)
        graphs = TypedGraphs(model, self._calibration_images, lambda *_: (0.0, 0.0), METHODS[:1])
        with naming(file):
            file.write_bytes(graphs.make(self.precision).model.SerializeToString())

    def _calibration_images(self) -> Images:
        return calibration_images(self.dataset, FEWEST_IMAGES)


def _median_ms(case: Case) -> float:
    return median(sample for turn in case.samples_ms for sample in turn)
