"""Times files on several providers side by side: `capsedge bench` takes one provider for all of its ONNX files."""

from contextlib import ExitStack

from benchmarks.prove.asked import BenchWanted
from capsedge.runtime.bench import LatencyReport, bench
from capsedge.runtime.open import open_session


def work(wanted: BenchWanted) -> list[LatencyReport]:
    """Open all, once, and time them in turns at each batch size."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(open_session(each.file, provider=each.provider)) for each in wanted.models]
        return [bench(sessions, batch=batch, seconds=wanted.seconds) for batch in wanted.batches]
