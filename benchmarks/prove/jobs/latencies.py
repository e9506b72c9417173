"""Times files on several providers side by side: `capsedge bench` takes one provider for all of its ONNX files."""

from contextlib import ExitStack

from msgspec.structs import replace

from benchmarks.prove.asked import BenchWanted
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.report import Group
from capsedge.runtime.open import open_session
from capsedge.runtime.settings import Settings


def work(wanted: BenchWanted) -> list[Group]:
    """Open all, once, and time them in turns after each plan; a first run after the first plan is none."""
    labels = [each.label for each in wanted.models]
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(open_session(each.file, Settings(provider=each.provider))) for each in wanted.models
        ]
        return [_without_samples(measure(sessions, plan, labels=labels)) for plan in wanted.plans]


def _without_samples(group: Group) -> Group:
    """A proof has the figures; ten thousand samples of each model would make it unreadable."""
    return replace(group, cases=tuple(replace(case, samples_ms=()) for case in group.cases))
