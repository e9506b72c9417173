"""What stands in for a file in tests of the gate: a session whose lengths a test decides."""

from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Session


class LengthsOnly(Session):
    """A session that can do what the gate asks of one, `run`, and nothing else."""

    def feeds(self, batch: int) -> Arrays:
        raise AssertionError("the gate times nothing")

    def run_raw(self, feeds: Arrays) -> Arrays:
        raise AssertionError("the gate times nothing")

    def close(self) -> None:
        pass
