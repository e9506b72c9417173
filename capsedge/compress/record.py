"""The record of a compression: the content of compression.json in the folder of its run."""

import msgspec

from capsedge.compress.latency import FilePrecision
from capsedge.compress.scores import Rule
from capsedge.measure.bench.report import BenchWarning, Ratio
from capsedge.statistics import Difference

FILE = "compression.json"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A network's cost and scores.

    Attributes:
        parameters: Weights of the collapsed network, without biases and without the decoder.
        macs: Multiply-accumulates for one image.
        latency_ms: Median latency of one image, in the precision of the record, on one thread of this machine.
        validation_error: 0 to 1.
        test_error: 0 to 1; not used for any decision.
    """

    parameters: int
    macs: int
    latency_ms: float
    validation_error: float
    test_error: float


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One fine-tuned network.

    Attributes:
        counts: Its capsule types and channels, by the name of the width.
        macs_share: Multiply-accumulates for one image, as a share of the uncompressed network's.
        validation_error: 0 to 1.
        change: Change of the validation error from the uncompressed network, paired by image.
        taken: Whether it was accepted; the search for the smallest network also tries networks that are too small.
    """

    counts: dict[str, int]
    macs_share: float
    validation_error: float
    change: Difference
    taken: bool = True


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """The content of compression.json.

    Attributes:
        source: Absolute path of the uncompressed run's folder.
        by: The rule of pruning.
        target: The target, by the option's name: keep, max_latency_ms or max_error_increase.
        precision: Precision of the files whose latency was measured.
        rounds: In their order; the run's network is that of the last accepted one.
        before: The uncompressed network.
        after: The compressed network.
        latency_ratio: Ratio of the latency after to that before, measured in interleaved rounds.
        change: Change of the validation error, paired by image.
        warnings: Reasons why the latencies may be unreliable (`capsedge bench`).
    """

    source: str
    by: Rule
    target: dict[str, float]
    precision: FilePrecision
    rounds: tuple[Round, ...]
    before: Figures
    after: Figures
    latency_ratio: Ratio
    change: Difference
    warnings: tuple[BenchWarning, ...] = ()
