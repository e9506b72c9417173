"""What a measurement shall do: the scenario, how long, and what is kept."""

from typing import Literal

import msgspec

Scenario = Literal["single-stream", "multi-stream", "offline"]

_IMAGES: dict[Scenario, int] = {"single-stream": 1, "multi-stream": 8, "offline": 64}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one or more sessions, side by side.

    Attributes:
        scenario: In the style of MLPerf Inference, and no result of it. `single-stream` asks one query after the
            other and is judged by p90; `multi-stream` asks queries of 8 images and is judged by p99; `offline` is
            judged by images/s.
        batch: Images in a query; None is 1, 8 and 64, by the scenario.
        interval_ms: Idle time before each query, as between the frames of a camera; 0 asks at once.
        seconds: Least time of timed runs of each session; None is 10, or 1 where `quick`.
        runs: Exactly so many timed runs of each session instead, whatever the time; None goes by `seconds`.
        quick: A short look that marks its result: shorter warm-up and measurement, fewer percentiles.
        split: Whether to measure where the time of a run goes too (load, first run, decode, copies, compute).
    """

    scenario: Scenario = "single-stream"
    batch: int | None = None
    interval_ms: float = 0.0
    seconds: float | None = None
    runs: int | None = None
    quick: bool = False
    split: bool = True

    @property
    def images(self) -> int:
        """Images in a query."""
        return self.batch or _IMAGES[self.scenario]
