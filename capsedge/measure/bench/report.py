"""Records of a measurement; `BenchReport` is also the schema of the JSON file of `capsedge bench`."""

from typing import Annotated, Literal

import msgspec

from capsedge.measure.bench.deployment import ErrorOnData, PeakMemory, Served
from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.measure.machine import Conditions, Machine, Reading
from capsedge.runtime.session import DeviceKind, SessionCode
from capsedge.runtime.settings import Settings

SCHEMA_VERSION = 5

WarningCode = Literal[
    "busy",
    "clock-dropped",
    "data",
    "drift",
    "fell-back",
    "few-iterations",
    "few-rounds",
    "gpu-throttled",
    "not-in-baseline",
    "no-memory",
    "no-rate",
    "not-settled",
    "only-in-baseline",
    "other-machine",
    "other-settings",
    "other-versions",
    "overloaded",
    "oversubscribed",
    "quick",
    "resumed",
    SessionCode,
    "unfinished",
]


# The upper limits (30 years in milliseconds) keep damaged values out of the axes of the plots.
_Latency = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
_PartMs = Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None
_Round = Annotated[tuple[_Latency, ...], msgspec.Meta(min_length=1)]


class Percentile(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile that the sample supports.

    Attributes:
        percent: The percentile, such as 90 or 99.9.
        value_ms: Its value in the sample.
        bound_ms: Upper bound of the true percentile with 99 % confidence (the early-stopping bound of MLPerf's
            LoadGen); None if the sample is too small.
    """

    percent: float
    value_ms: _Latency
    bound_ms: float | None


class Warmup(msgspec.Struct, frozen=True, kw_only=True):
    """The warm-up of a session.

    Attributes:
        iterations: Number of iterations.
        seconds: Duration.
        settled: Whether the last three windows agreed within 5 %.
    """

    iterations: int
    seconds: float
    settled: bool


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of the time, medians in milliseconds; None if the part does not exist.

    Attributes:
        load_ms: Time to open the model, measured once.
        first_inference_ms: Latency of the first query.
        decode_ms: Time to decode and fit one image of the model's size from a PNG in memory, times the batch.
        copy_in_ms: Copy from host to device, for a query.
        compute_ms: Execution of the network, for a query.
        copy_out_ms: Copy from device to host, for a query.
    """

    load_ms: _PartMs = None
    first_inference_ms: _PartMs = None
    decode_ms: _PartMs = None
    copy_in_ms: _PartMs = None
    compute_ms: _PartMs = None
    copy_out_ms: _PartMs = None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of a case divided by that of the first case of its group: 0.5 is twice as fast.

    Attributes:
        value: Median over the rounds of the ratio of the two medians within a round.
        low: Lower end of the 95 % interval, from a bootstrap over the rounds; None with too few rounds.
        high: Upper end of the interval.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a group: model, settings and results.

    Attributes:
        label: Name in the report, unique within the group, such as `runs/a int8 threads 2`.
        model: Display name of the model.
        file: Path of the measured file, as it was opened.
        network: `Contract.name`, the same in each precision; None without a contract.
        precision: `Contract.precision`; None without a contract.
        routing: `Contract.routing`, and whether it collapsed, such as `l2, collapsed`; None without a contract.
        error: Test error of the file from its contract, 0 to 1, or its validation error if it has no test score; None
            if it has neither.
        error_on: The split of `error`.
        provider: Execution provider that ran the model.
        device: `Session.device`; None in a report of an earlier capsedge.
        fell_back: Operators that ran on the CPU instead of the requested provider.
        settings: Settings with which the model was opened.
        warmup: The warm-up.
        iterations: Number of timed iterations; each is one query.
        mean_ms: Mean latency of a query.
        min_ms: Least latency of a query.
        max_ms: Greatest latency of a query; nothing is clipped.
        percentiles: Percentiles that the sample supports, p50 first.
        images_per_second: Throughput of the timed iterations, without idle time; in `server` of the trial.
        breakdown: Parts of the time.
        energy_mj: Energy of the GPU for one image, in millijoules; "unavailable" if it cannot be measured.
        ratio: Latency relative to the first case of the group; None for the first case, and in `server`.
        samples_ms: Latency of every timed iteration, by rounds; in `server` from the arrival, of consecutive parts of
            one trial.
        sha256: SHA-256 of the measured file; None if the file could not be read for it.
        cpu_energy_mj: Energy of the processors for one image, in millijoules, with what they use when idle;
            "unavailable" if this machine does not show it.
        served: Results of the scenario `server`; None in others.
        memory: Peak memory of a process that runs this model only; None if it was not measured.
        on_data: Error on `Plan.data`; None without it.
    """

    label: str
    model: str
    file: str
    network: str | None
    precision: str | None
    routing: str | None
    error: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    error_on: Literal["test", "validation"] | None
    provider: str
    device: DeviceKind | None = None
    fell_back: tuple[str, ...] = ()
    settings: Settings
    warmup: Warmup
    iterations: int
    mean_ms: _Latency
    min_ms: _Latency
    max_ms: _Latency
    percentiles: tuple[Percentile, ...]
    images_per_second: Annotated[float, msgspec.Meta(gt=0, le=1e15)]
    breakdown: Breakdown
    energy_mj: Reading
    ratio: Ratio | None
    samples_ms: Annotated[tuple[_Round, ...], msgspec.Meta(min_length=1)]
    sha256: str | None = None
    cpu_energy_mj: Reading = "unavailable"
    served: Served | None = None
    memory: PeakMemory | None = None
    on_data: ErrorOnData | None = None


class BenchWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to trust the results of a group less.

    Attributes:
        code: Kind of the warning, for programs; docs/bench.md lists all codes.
        text: Message for people, without the label of the case.
        case: Label of the case that it concerns; None if it concerns all.
    """

    code: WarningCode
    text: str
    case: str | None = None

    def __str__(self) -> str:
        return self.text if self.case is None else f"'{self.case}': {self.text}"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that were measured side by side, in rounds of shuffled order.

    Attributes:
        scenario: Scenario of the plan.
        batch: Images in a query.
        interval_ms: Idle time before each query.
        concurrency: Threads that sent queries to one session at the same time.
        qps: Given rate of arrivals in the scenario `server`.
        p99_ms: Bound of p99 in the scenario `server`.
        quick: Whether it was a short measurement.
        rounds: Number of rounds.
        before: State of the machine before the first round (of the last process, if several measured the group); its
            load average is from before the warm-up.
        after: State of the machine after the last round.
        warnings: Reasons to trust the results less, such as load, throttling, a warm-up that did not settle, too few
            iterations for a percentile, or a quick measurement.
        cases: In the order given; ratios are relative to the first.
        unfinished: Whether it was interrupted during its rounds: the results are those of fewer iterations, without
            breakdown and energy.
        processes: Number of processes that measured it, one after the other: more than 1 if it was interrupted and
            continued.
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
    concurrency: int = 1
    qps: float | None = None
    p99_ms: float | None = None


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one command; a sweep has one for each batch.

    Attributes:
        kind: Marks the file as a report of `capsedge bench`.
        schema: Version of these records.
        capsedge: Version of capsedge.
        created: Date and time in UTC, ISO 8601.
        command: Words of the command line.
        plan: Plan of all groups; `Group.batch` has the batch of each.
        machine: Hardware and versions.
        groups: The measurements.
        unfinished: Whether the command was interrupted or is still running; `groups` has the results so far.
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
        label: Case and metric, such as `runs/a p90`; with the batch if the report has several groups.
        case: Label of the case in the new report.
        batch: Images in a query.
        metric: The compared figure: `p90` or `p99` of a query, by the scenario; `mean` for `offline`, the reciprocal
            of images/s; and `p50` for all.
        baseline_ms: The figure in the baseline.
        now_ms: The figure in the new report.
        ratio: `now_ms` divided by `baseline_ms`: 1.1 is 10 % slower.
        low: Lower end of the 95 % interval, from a bootstrap over the rounds of both reports (`stats.interval`); None
            with too few rounds.
        high: Upper end of the interval.
        regressed: Whether the ratio exceeds the limit and the interval lies above 1.
        unsure: Whether the ratio exceeds the limit and there are too few rounds for an interval.
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
    """A reason to trust a comparison less; the warnings of the baseline's own groups are included.

    Attributes:
        batch: Images in a query; None if it concerns all batches.
        metric: `Change.metric` of the figure that it concerns; None if it concerns all.
        of_baseline: Whether it is a warning of the baseline's own report; `case` is then a label of the baseline.
    """

    batch: int | None = None
    metric: str | None = None
    of_baseline: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of a report with a baseline.

    Attributes:
        baseline: Date and time of the baseline.
        max_regression: The limit: 0.05 accepts 5 % more time.
        rows: Cases that are in both reports, in the order of the new one, with up to two figures each.
        only_here: Labels of cases that only the new report has.
        only_in_baseline: Labels of cases that only the baseline has.
        warnings: Reasons to trust the rows less.
    """

    baseline: str
    max_regression: float
    rows: tuple[Change, ...]
    only_here: tuple[str, ...]
    only_in_baseline: tuple[str, ...]
    warnings: tuple[ComparisonWarning, ...]
