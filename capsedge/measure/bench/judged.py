"""The figure that a scenario is judged by."""

from capsedge.measure.bench.plan import Scenario

JUDGED_BY: dict[Scenario, int | None] = {"single-stream": 90, "multi-stream": 99, "offline": None}
"""The percentile of a query's latency; None is images/s."""
