"""Columns of a case: one list, from which every format takes the columns that it shows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec import structs

from capsedge.measure.bench.plan import FEWEST_ITERATIONS, METRIC
from capsedge.measure.bench.report import Case, Group
from capsedge.measure.bench.show.text import interval, maybe, number, percentile
from capsedge.plural import number_of

Value = Callable[[Case], object]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One value, or some related values, of each case.

    Attributes:
        name: Heading for people, with the unit.
        values: Values for the CSV, by their column names there. The first is the sort key, and a case without it has
            no value in this column.
        text: The value as text.
        detail: Additional text in small print; "" for none.
        optional: Whether a table without small print leaves the detail out.
        metric: Whether it is the metric of the scenario.
        of_first: Sort key of the first case of a group, if that case has no value.
    """

    name: str
    values: Mapping[str, Value]
    text: Callable[[Case], str]
    detail: Callable[[Case], str] = lambda _: ""
    optional: bool = False
    metric: bool = False
    of_first: float | None = None

    def value(self, case: Case) -> object:
        """Sort key of a case."""
        found = next(iter(self.values.values()))(case)
        return self.of_first if found is None else found

    def has_any(self, cases: Iterable[Case]) -> bool:
        """Whether at least one case has a value; empty columns are not shown."""
        first = next(iter(self.values.values()))
        return any(first(case) not in (None, "unavailable") for case in cases)


def figures(group: Group) -> list[Column]:
    """Columns of results that at least one case of a group has; the metric of the scenario is marked."""
    sought = group.p99_ms is not None  # then "none" is a result as well
    return [
        column
        for column in _figures(METRIC[group.scenario])
        if column.has_any(group.cases) or (sought and column is HIGHEST)
    ]


def breakdown(group: Group) -> list[Column]:
    """Columns of the breakdown and the energy that at least one case of a group has."""
    return [column for column in (*BREAKDOWN, ENERGY) if column.has_any(group.cases)]


def every_column() -> list[Column]:
    """All columns, so that every file has the same columns."""
    return [*FACTS, *_figures(None), *BREAKDOWN]


def _figures(metric: int | None) -> list[Column]:
    return [
        *(_percentile(percent, metric=percent == metric) for percent in FEWEST_ITERATIONS),
        _number("mean ms", "mean_ms", lambda case: case.mean_ms),
        _number("min ms", "min_ms", lambda case: case.min_ms),
        _number("max ms", "max_ms", lambda case: case.max_ms),
        _number("images/s", "images_per_s", lambda case: case.images_per_second, metric=metric is None),
        RATIO,
        *SERVER,
        ENERGY,
        CPU_ENERGY,
        MEMORY,
        RUNTIME_MEMORY,
        ERROR,
        DATA_ERROR,
        VS_FIRST,
    ]


def _number(name: str, key: str, value: Callable[[Case], float | str | None], *, metric: bool = False) -> Column:
    return Column(name=name, values={key: value}, text=lambda case: maybe(value(case)), metric=metric)


def _percentile(percent: float, *, metric: bool) -> Column:
    """A percentile, with its bound as the detail."""

    def value_ms(case: Case) -> float | None:
        found = percentile(case, percent)
        return None if found is None else found.value_ms

    def bound_ms(case: Case) -> float | None:
        found = percentile(case, percent)
        return None if found is None else found.bound_ms

    def detail(case: Case) -> str:
        bound = bound_ms(case)
        return "" if bound is None else f"< {number(bound)}"

    key = f"p{percent:g}".replace(".", "_")
    return Column(
        name=f"p{percent:g} ms",
        values={f"{key}_ms": value_ms, f"{key}_bound_ms": bound_ms},
        text=lambda case: maybe(value_ms(case)),
        detail=detail,
        optional=True,
        metric=metric,
    )


def _of_ratio(name: str, case: Case) -> float | None:
    found: float | None = None if case.ratio is None else getattr(case.ratio, name)
    return found


RATIO = Column(
    name="x first",
    values={
        "ratio_to_first": partial(_of_ratio, "value"),
        "ratio_low": partial(_of_ratio, "low"),
        "ratio_high": partial(_of_ratio, "high"),
    },
    text=lambda case: "1" if case.ratio is None else number(case.ratio.value),
    detail=lambda case: "" if case.ratio is None else interval(case.ratio.low, case.ratio.high),
    of_first=1.0,
)
ENERGY = _number("mJ/image", "energy_per_image_mj", lambda case: case.energy_mj)
ERROR = Column(
    name="error %",
    values={"error": lambda case: case.error, "error_on": lambda case: case.error_on},
    text=lambda case: "-" if case.error is None else f"{100 * case.error:.2f}",
    detail=lambda case: "" if case.error_on in ("test", None) else case.error_on,
)
CPU_ENERGY = _number("CPU mJ/image", "cpu_energy_per_image_mj", lambda case: case.cpu_energy_mj)
MEMORY = _number("peak MB", "peak_memory_mb", lambda case: None if case.memory is None else case.memory.peak_mb)
RUNTIME_MEMORY = _number(
    "of it the runtime's MB",
    "runtime_memory_mb",
    lambda case: None if case.memory is None else case.memory.runtime_mb,
)


def _of_data(name: str, case: Case) -> Any:
    return None if case.on_data is None else getattr(case.on_data, name)


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


DATA_ERROR = Column(
    name="error % on data",
    values={
        "data_error": partial(_of_data, "error"),
        "data_error_low": partial(_of_data, "low"),
        "data_error_high": partial(_of_data, "high"),
        "data_images": partial(_of_data, "images"),
        "data": partial(_of_data, "data"),
    },
    text=lambda case: "-" if case.on_data is None else _points(case.on_data.error),
    detail=lambda case: (
        "" if case.on_data is None else f"{_points(case.on_data.low)} to {_points(case.on_data.high)}"
    ),
)
VS_FIRST = Column(
    name="points vs first",
    values={
        "data_error_vs_first": partial(_of_data, "vs_first"),
        "data_error_vs_first_low": partial(_of_data, "vs_first_low"),
        "data_error_vs_first_high": partial(_of_data, "vs_first_high"),
    },
    text=lambda case: "-" if (found := _of_data("vs_first", case)) is None else f"{100 * found:+.2f}",
    detail=lambda case: (
        ""
        if (low := _of_data("vs_first_low", case)) is None
        else f"{100 * low:+.2f} to {100 * _of_data('vs_first_high', case):+.2f}"
    ),
)


def _of_trial(name: str, case: Case) -> Any:
    return None if case.served is None else getattr(case.served.trial, name)


def _highest(case: Case) -> str:
    if case.served is None:
        return "-"
    return "none" if case.served.highest_qps is None else number(case.served.highest_qps)


ARRIVED = Column(
    name="queries/s",
    values={
        "arrived_per_s": partial(_of_trial, "qps"),
        "answered_per_s": partial(_of_trial, "answered_qps"),
        "unanswered": partial(_of_trial, "unanswered"),
    },
    text=lambda case: maybe(_of_trial("qps", case)),
)
HIGHEST = Column(
    name="highest queries/s",
    values={
        "highest_per_s": lambda case: None if case.served is None else case.served.highest_qps,
        "capacity_per_s": lambda case: None if case.served is None else case.served.capacity_qps,
        "trials": lambda case: None if case.served is None else [structs.asdict(each) for each in case.served.trials],
    },
    text=_highest,
)
SERVER = (ARRIVED, HIGHEST)
PROVIDER = Column(name="provider", values={"provider": lambda case: case.provider}, text=lambda case: case.provider)
LABEL = Column(name="case", values={"label": lambda case: case.label}, text=lambda case: case.label)

FACTS = (
    LABEL,
    Column(name="model", values={"model": lambda case: case.model}, text=lambda case: case.model),
    Column(
        name="precision",
        values={"precision": lambda case: case.precision},
        text=lambda case: case.precision or "unknown",
    ),
    Column(
        name="routing", values={"routing": lambda case: case.routing}, text=lambda case: case.routing or "unknown"
    ),
    PROVIDER,
    Column(
        name="on the CPU instead",
        values={"fell_back": lambda case: case.fell_back},
        text=lambda case: ", ".join(case.fell_back) or "nothing",
    ),
    Column(
        name="provider asked for",
        values={
            "asked_provider": lambda case: case.settings.provider,
            "allow_fallback": lambda case: case.settings.allow_fallback,
        },
        text=lambda case: case.settings.provider or "any",
    ),
    Column(
        name="threads",
        values={"threads": lambda case: case.settings.threads},
        text=lambda case: str(case.settings.threads or "automatic, by the cost of a query"),
    ),
    Column(
        name="spinning",
        values={"spinning": lambda case: case.settings.spinning},
        text=lambda case: "on" if case.settings.spinning else "off",
    ),
    Column(
        name="graph level",
        values={"graph": lambda case: case.settings.graph},
        text=lambda case: case.settings.graph,
    ),
    Column(
        name="I/O binding",
        values={"io_binding": lambda case: case.settings.io_binding},
        text=lambda case: {None: "off the CPU", True: "on", False: "off"}[case.settings.io_binding],
    ),
    Column(
        name="warm-up",
        values={
            "warmup_iterations": lambda case: case.warmup.iterations,
            "warmup_s": lambda case: case.warmup.seconds,
            "warmup_settled": lambda case: case.warmup.settled,
        },
        text=lambda case: (
            f"{number_of(case.warmup.iterations, 'iteration')} in {case.warmup.seconds:.1f} s, "
            f"{'settled' if case.warmup.settled else 'did not settle'}"
        ),
    ),
    Column(
        name="timed iterations",
        values={"iterations": lambda case: case.iterations},
        text=lambda case: f"{case.iterations:,}",
    ),
)

BREAKDOWN = (
    _number("load ms", "load_ms", lambda case: case.breakdown.load_ms),
    _number("first inference ms", "first_inference_ms", lambda case: case.breakdown.first_inference_ms),
    _number("decode ms", "decode_ms", lambda case: case.breakdown.decode_ms),
    _number("copy in ms", "copy_in_ms", lambda case: case.breakdown.copy_in_ms),
    _number("compute ms", "compute_ms", lambda case: case.breakdown.compute_ms),
    _number("copy out ms", "copy_out_ms", lambda case: case.breakdown.copy_out_ms),
)
