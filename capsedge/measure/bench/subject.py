"""A session under measurement: its inputs, the cadence of its queries, and what was timed so far."""

from dataclasses import dataclass, field

from capsedge.measure.bench import clock
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Session


@dataclass
class Subject:
    """One session of a group.

    Attributes:
        label: What the report calls it.
        session: The session.
        feeds: What every query asks.
        batch: Images in a query.
        interval_ms: Idle time before each query.
        median_ms: Latency at the end of the warm-up, for which the lead-in of a turn is counted.
        mean_ms: Mean latency in the warm-up, by which the rounds are laid out: a busy machine spends most of its time
            in few runs.
        rounds: The timed runs of each round, in milliseconds.
        sha256: Of the session's file, as it was before the measurement.
    """

    label: str
    session: Session
    feeds: Arrays
    batch: int
    interval_ms: float = 0.0
    median_ms: float = 0.0
    mean_ms: float = 0.0
    rounds: list[list[float]] = field(default_factory=list)
    sha256: str | None = None

    @property
    def samples_ms(self) -> list[float]:
        """All timed runs, in order."""
        return [sample for one in self.rounds for sample in one]

    @property
    def runs(self) -> int:
        """How many there are."""
        return sum(map(len, self.rounds))

    @property
    def seconds(self) -> float:
        """How long they took, the idle time before them counted."""
        return (sum(map(sum, self.rounds)) + self.runs * self.interval_ms) / 1000

    def idle(self) -> None:
        """Wait for the next query, as a camera lets it wait."""
        if self.interval_ms:
            clock.sleep(self.interval_ms / 1000)

    def run(self) -> float:
        """Ask one query and give its latency in milliseconds."""
        now, run, feeds = clock.now_ns, self.session.run_raw, self.feeds
        start = now()
        run(feeds)
        return (now() - start) / 1e6

    def query(self) -> float:
        """Ask one query at the cadence; the idle time before it is not in its latency."""
        self.idle()
        return self.run()
