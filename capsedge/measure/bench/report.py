"""What a measurement found: the records of `capsedge bench`, and the JSON file that they are."""

from typing import Annotated, Literal

import msgspec

from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.measure.machine import Conditions, Machine, Reading
from capsedge.runtime.session import SessionCode
from capsedge.runtime.settings import Settings

SCHEMA_VERSION = 3

WarningCode = Literal[
    "busy",
    "clock-dropped",
    "drift",
    "fell-back",
    "few-iterations",
    "few-rounds",
    "gpu-throttled",
    "not-in-baseline",
    "not-settled",
    "only-in-baseline",
    "other-machine",
    "other-settings",
    "other-versions",
    "oversubscribed",
    "quick",
    "resumed",
    SessionCode,
    "unfinished",
]


_Latency = Annotated[float, msgspec.Meta(gt=0)]
_Round = Annotated[tuple[_Latency, ...], msgspec.Meta(min_length=1)]


class Percentile(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile that the sample supports.

    Attributes:
        percent: Such as 90 or 99.9.
        value_ms: Of the sample.
        bound_ms: What the true percentile is below with 99 % confidence (the early-stopping bound of MLPerf's
            LoadGen); None where the sample is too small for one.
    """

    percent: float
    value_ms: float
    bound_ms: float | None


class Warmup(msgspec.Struct, frozen=True, kw_only=True):
    """The iterations before the measurement.

    Attributes:
        iterations: How many.
        seconds: How long.
        settled: Whether the last three windows agreed within 5 %.
    """

    iterations: int
    seconds: float
    settled: bool


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time goes, medians in milliseconds; None where there is no such part here.

    Attributes:
        load_ms: Opening the model, once.
        first_inference_ms: The first query, once.
        decode_ms: Decoding and fitting one image of the model's size from a PNG in memory, times the batch.
        copy_in_ms: Host to device, of a query.
        compute_ms: The network, of a query.
        copy_out_ms: Device to host, of a query.
    """

    load_ms: float | None = None
    first_inference_ms: float | None = None
    decode_ms: float | None = None
    copy_in_ms: float | None = None
    compute_ms: float | None = None
    copy_out_ms: float | None = None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Latency over that of the first case of the group: 0.5 is twice as fast.

    Attributes:
        value: Median over the rounds of the ratio of the two medians within a round.
        low: Lower end of the 95 % interval, by a bootstrap over the rounds; None with too few rounds.
        high: Its upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a group: what it was, and how long it took.

    Attributes:
        label: What to call it in this report, unique within its group, such as `runs/a int8 threads 2`.
        model: The model's name for people.
        file: The file that was measured, as it was opened.
        network: `Contract.name`, the same in each precision; None without a contract.
        precision: `Contract.precision`; None without a contract.
        routing: `Contract.routing`, and whether it collapsed, such as `l2, collapsed`; None without a contract.
        error: The file's test error by its contract, 0 to 1, or its validation error where it has no test score; None
            where it has neither.
        error_on: The split of `error`.
        provider: Where it ran.
        fell_back: Operators that ran on the CPU instead.
        settings: What it was opened with.
        warmup: The iterations before.
        iterations: Timed iterations, each of one query.
        mean_ms: Mean latency of a query.
        min_ms: The fastest.
        max_ms: The slowest; nothing is clipped.
        percentiles: Those that the sample supports, p50 first.
        images_per_second: Throughput of the timed iterations, idle time not counted.
        breakdown: Where the time goes.
        energy_mj: Energy of the GPU for one image, in millijoules; "unavailable" where it cannot be measured.
        ratio: To the first case of the group; None of the first itself.
        samples_ms: Every timed iteration, by rounds.
        sha256: Of the file that was measured; None where it was gone at once.
    """

    label: str
    model: str
    file: str
    network: str | None
    precision: str | None
    routing: str | None
    error: float | None
    error_on: Literal["test", "validation"] | None
    provider: str
    fell_back: tuple[str, ...] = ()
    settings: Settings
    warmup: Warmup
    iterations: int
    mean_ms: float
    min_ms: float
    max_ms: float
    percentiles: tuple[Percentile, ...]
    images_per_second: float
    breakdown: Breakdown
    energy_mj: Reading
    ratio: Ratio | None
    samples_ms: Annotated[tuple[_Round, ...], msgspec.Meta(min_length=1)]
    sha256: str | None = None


class BenchWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What makes figures weaker than they look.

    Attributes:
        code: What it is, for programs; docs/bench.md lists them all.
        text: What it is, for people, without the label of the case.
        case: The label of the case that it is about; None where it is about all.
    """

    code: WarningCode
    text: str
    case: str | None = None

    def __str__(self) -> str:
        return self.text if self.case is None else f"'{self.case}': {self.text}"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that were measured side by side, in rounds of shuffled order.

    Attributes:
        scenario: Of the plan.
        batch: Images in a query.
        interval_ms: Idle time before each query.
        quick: Whether it was a short measurement.
        rounds: Rounds of turns.
        before: The state of the machine before the first round (of the last process, where several measured it); its
            load is that of before the warm-up.
        after: And after the last.
        warnings: What makes the figures weaker than they look: load, throttling, a warm-up that never settled, too
            few iterations for a percentile, a quick measurement.
        cases: In the order given; ratios are to the first.
        unfinished: Whether it was cut off within its rounds: the figures are those of fewer iterations, and there
            is no breakdown and no energy.
        processes: How many measured it, one after the other: 1, or more where it was cut off and went on.
    """

    scenario: Scenario
    batch: int
    interval_ms: float
    quick: bool
    rounds: int
    before: Conditions
    after: Conditions
    warnings: tuple[BenchWarning, ...]
    cases: Annotated[tuple[Case, ...], msgspec.Meta(min_length=1)]
    unfinished: bool = False
    processes: int = 1


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one command; a sweep has one for each batch.

    Attributes:
        kind: Tells this file from others.
        schema: Version of these records.
        capsedge: Version of capsedge.
        created: Date and time in UTC, ISO 8601.
        command: What was asked, as words of a command line.
        plan: Of all groups, apart from the batch.
        machine: What does not change meanwhile.
        groups: The measurements.
        unfinished: Whether the command was cut off, or still runs: the groups are those that it had by then.
    """

    kind: Literal["capsedge bench"] = "capsedge bench"
    schema: int = SCHEMA_VERSION
    capsedge: str
    created: str
    command: tuple[str, ...]
    plan: Plan
    machine: Machine
    groups: tuple[Group, ...]
    unfinished: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure of one case compares with the baseline.

    Attributes:
        label: What to call it, such as `runs/a p90`; with its batch where the report has several.
        case: The label of this report's case.
        batch: Images in a query.
        metric: What is compared: `p90` or `p99` of a query, by the scenario; `mean` of `offline`, which is its
            images/s turned over; and `p50` of all.
        baseline_ms: That figure in the baseline.
        now_ms: That figure now.
        ratio: Now over then: 1.1 is 10 % slower.
        low: Lower end of its 95 % interval, by a bootstrap over the rounds of both (`stats.interval`); None with too
            few rounds.
        high: Its upper end.
        regressed: Whether the ratio is beyond the limit and the interval lies above 1.
        unsure: Whether the ratio is beyond the limit, and there is no interval to tell that from noise.
    """

    label: str
    case: str
    batch: int
    metric: str
    baseline_ms: float
    now_ms: float
    ratio: float
    low: float | None
    high: float | None
    regressed: bool
    unsure: bool


class ComparisonWarning(BenchWarning, frozen=True, kw_only=True):
    """What to know before believing a comparison; a group's warning about the baseline is one too.

    Attributes:
        batch: Images in a query; None where it is about all.
        metric: `Change.metric` of the figure that it is about; None where it is about all.
        of_baseline: Whether it is a warning of the baseline's own report, and `case` a label there.
    """

    batch: int | None = None
    metric: str | None = None
    of_baseline: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A report against a baseline.

    Attributes:
        baseline: When the baseline was measured.
        max_regression: The limit: 0.05 admits 5 % more time.
        rows: The cases that are in both, in this report's order, with two figures each.
        only_here: Labels of cases that the baseline does not have.
        only_in_baseline: Labels of cases that this report does not have.
        warnings: What else to know before believing the rows.
    """

    baseline: str
    max_regression: float
    rows: tuple[Change, ...]
    only_here: tuple[str, ...]
    only_in_baseline: tuple[str, ...]
    warnings: tuple[ComparisonWarning, ...]
