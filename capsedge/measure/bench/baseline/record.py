"""What a comparison with a baseline found."""

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure of one case compares with the baseline.

    Attributes:
        label: What to call it, such as `runs/a p90`; with its batch where the report has several.
        case: The label of this report's case.
        batch: Images in a query.
        merit: What is compared: `p90` or `p99` of a query as the scenario asks, `mean` of `offline`, which is its
            images/s turned over, and `p50` of all.
        baseline_ms: That figure in the baseline.
        now_ms: That figure now.
        ratio: Now over then: 1.1 is 10 % slower.
        low: Lower end of its 95 % interval, by a bootstrap over the rounds of both (see `interval`); None with too
            few rounds.
        high: Its upper end.
        regressed: Whether the ratio is beyond the limit and the interval lies above 1.
    """

    label: str
    case: str
    batch: int
    merit: str
    baseline_ms: float
    now_ms: float
    ratio: float
    low: float | None
    high: float | None
    regressed: bool


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A report against a baseline.

    Attributes:
        baseline: When the baseline was measured.
        max_regression: The limit: 0.05 admits 5 % more time.
        rows: The cases that are in both, in this report's order, with two figures each.
        only_here: Labels of cases that the baseline does not have.
        only_in_baseline: Labels of cases that this report does not have.
        remarks: What else to know before believing the rows, a sentence each.
    """

    baseline: str
    max_regression: float
    rows: tuple[Change, ...]
    only_here: tuple[str, ...]
    only_in_baseline: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def regressed(self) -> str:
        """The cases that are slower than admitted, with their figures and ratios; "" where none is."""
        return ", ".join(f"{row.label} ({row.ratio:.2f} x)" for row in self.rows if row.regressed)

    @property
    def unsure(self) -> str:
        """The cases that look slower than admitted and have no interval to tell it by; "" where none is."""
        beyond = [row for row in self.rows if row.low is None and row.ratio > 1 + self.max_regression]
        return ", ".join(f"{row.label} ({row.ratio:.2f} x)" for row in beyond)
