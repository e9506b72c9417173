"""Records of what a deployment is judged by beside latency: load, memory, and the error on given data."""

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
        held: Whether the p99 holds `Plan.p99_ms` with 99 % confidence (`stats.holds`); None without such a bound.
    """

    qps: _Positive
    queries: _Count
    unanswered: _Count
    answered_qps: _Positive
    p99_ms: _Positive | None
    bound_ms: _Positive | None
    held: bool | None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the scenario `server` for one session.

    Attributes:
        qps: The rate whose latencies are in `Case.samples_ms`: the given one, or the highest that held the bound; the
            lowest one tried if none held it.
        highest_qps: The highest rate that held the bound; None if none did, or no bound was given.
        capacity_qps: Queries that were answered in a second with all threads always busy, measured before the trials;
            no higher rate was tried in the search. None if no rate was sought.
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
        vs_first_low: Lower end of the 95 % interval of the difference (a bootstrap over the images).
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
