"""What a compression did: the content of compression.json in the folder of its run."""

import msgspec

from capsedge.compress.latency import FilePrecision
from capsedge.compress.scores import Rule
from capsedge.measure.bench.report import Ratio
from capsedge.statistics import Difference

FILE = "compression.json"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A network's cost and scores.

    Attributes:
        parameters: Weights of the collapsed network, without biases and without the decoder.
        macs: Multiply-accumulates for one image.
        latency_ms: Median latency of one image, in the precision of the record, on one thread of this machine.
        validation_error: 0 to 1.
        test_error: 0 to 1; it decided nothing.
    """

    parameters: int
    macs: int
    latency_ms: float
    validation_error: float
    test_error: float


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One fine-tuned network on the way.

    Attributes:
        counts: Capsule types and channels that it had left, by the name of the width.
        macs_share: Multiply-accumulates for one image, as a share of the uncompressed network's.
        validation_error: 0 to 1.
        change: Of the validation error against the whole network, paired by image.
        taken: Whether later rounds went on from it; the search for the smallest network also tries too small ones.
    """

    counts: dict[str, int]
    macs_share: float
    validation_error: float
    change: Difference
    taken: bool = True


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """The content of compression.json.

    Attributes:
        source: The folder of the uncompressed run, as an absolute path.
        by: The rule that chose what to drop.
        target: What was asked for, by the option's name: keep, max_latency_ms or max_error_increase.
        precision: Of the files whose latency was measured.
        rounds: In their order; the run's network is that of the last one taken.
        before: The uncompressed network.
        after: The compressed one.
        latency_ratio: Latency after over that before, measured side by side.
        change: Of the validation error, paired by image.
        warnings: What makes the latencies weaker than they look (`capsedge bench`).
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
    warnings: tuple[str, ...] = ()
