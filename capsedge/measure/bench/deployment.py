"""Records of what a deployment is judged by beside latency: load, memory, and the error on given data."""

from math import sqrt
from typing import Annotated

import msgspec

from capsedge.measure.machine.record import Unavailable

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate of arrivals that was tried in the scenario `server`.

    Attributes:
        qps: Queries that arrived in a second, on average.
        queries: Number of queries that were answered.
        unanswered: Queries that were still waiting when the trial ended; they took longer than all others.
        answered_qps: Queries that were answered in a second.
        p99_ms: The p99 of the latencies from the arrivals; None with too few queries.
        bound_ms: Upper bound of the true p99 with 99 % confidence; None with too few queries.
        held: Whether the p99 holds `Plan.p99_ms` with 99 % confidence (`stats.holds`) and the queue did not grow;
            None without such a bound.
    """

    qps: _Positive
    queries: _Count
    unanswered: _Count
    answered_qps: _Positive
    p99_ms: _Positive | None
    bound_ms: _Positive | None
    held: bool | None

    def overloaded(self, fastest_ms: float) -> bool:
        """Whether the queue grew: the last answer came late by more than chance, or queries were left.

        The last query arrives on time (`stats.arrivals_ms`), so the last answer shows the queue at the end. The
        sum of n gaps of a Poisson process has a standard error of 1 / sqrt(n), and the queue of a model that keeps up
        rarely exceeds that.

        Args:
            fastest_ms: The shortest latency of the trial, which is no time in the queue.
        """
        arriving_s = (self.queries + self.unanswered) / self.qps
        late_s = self.queries / self.answered_qps - arriving_s - fastest_ms / 1000
        return bool(self.unanswered) or late_s > arriving_s / sqrt(self.queries)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the scenario `server` for one session.

    Attributes:
        qps: The rate whose latencies are in `Case.samples_ms`: the given one, or the highest that held the bound; the
            lowest one tried if none held it.
        highest_qps: The highest rate that held the bound; None if none did, or no bound was given.
        capacity_qps: Queries that were answered in a second with all threads always busy, measured for a short time
            before the trials; the search started near it. None if no rate was sought.
        trials: All rates that were tried, in order.
    """

    qps: _Positive
    highest_qps: _Positive | None
    capacity_qps: _Positive | None
    trials: Annotated[tuple[Trial, ...], msgspec.Meta(min_length=1)]

    @property
    def trial(self) -> Trial:
        """The trial whose latencies are in `Case.samples_ms`."""
        return next(trial for trial in self.trials if trial.qps == self.qps)


class PeakMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Largest resident memory of a process that runs nothing but one model, in megabytes (10^6 bytes).

    Attributes:
        runtime_mb: With Python, capsedge, numpy and the runtime, after a model of one node ran; "unavailable" for an
            engine.
        peak_mb: After the model ran as well; memory of a GPU is not included.
    """

    runtime_mb: _Positive | Unavailable
    peak_mb: _Positive


class ErrorOnData(msgspec.Struct, frozen=True, kw_only=True):
    """Error of a model on given data, measured in the same run.

    Attributes:
        data: Description of the images.
        images: Number of images.
        wrong: Number of wrong answers.
        error: Share of wrong answers.
        low: Lower end of its 95 % interval (Wilson).
        high: Upper end of the interval.
        vs_first: Its error minus that of the first model, paired by image; None for the first model.
        vs_first_low: Lower end of the 95 % interval of the difference (`paired_difference`).
        vs_first_high: Upper end of the interval.
    """

    data: str
    images: Annotated[int, msgspec.Meta(ge=1)]
    wrong: _Count
    error: _Share
    low: _Share
    high: _Share
    vs_first: float | None = None
    vs_first_low: float | None = None
    vs_first_high: float | None = None
