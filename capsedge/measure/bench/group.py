"""What the report says of sessions that were measured side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capsedge.measure.bench import doubts
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Case, Group
from capsedge.measure.bench.watch import Watch
from capsedge.measure.machine import Conditions, conditions


@dataclass(frozen=True)
class Circumstances:
    """What the cases of a group have in common.

    Attributes:
        plan: What was asked.
        before: The state of the machine before the rounds.
        watch: What was seen of it between them.
        doubts: What is known before the rounds, a sentence each.
        processes: How many measured the group, one after the other.
    """

    plan: Plan
    before: Conditions
    watch: Watch
    doubts: tuple[str, ...]
    processes: int

    def group(
        self, cases: Sequence[Case], after: Conditions, said: Iterable[str] = (), *, unfinished: bool = False
    ) -> Group:
        """Put a group together.

        Args:
            cases: Of its sessions.
            after: The state of the machine after the rounds.
            said: Further doubts.
            unfinished: Whether more is to come.
        """
        moods = doubts.about_machine(self.before, after, self.watch.reasons)
        return Group(
            scenario=self.plan.scenario,
            batch=self.plan.images,
            interval_ms=self.plan.interval_ms,
            quick=self.plan.quick,
            rounds=len(cases[0].samples_ms),
            before=self.before,
            after=after,
            doubts=tuple(dict.fromkeys([*self.doubts, *moods, *said])),
            cases=tuple(cases),
            unfinished=unfinished,
            processes=self.processes,
        )

    def unfinished(self, cases: Sequence[Case]) -> Group:
        """Put together what there is so far, as of now."""
        return self.group(cases, conditions(), [doubts.UNFINISHED], unfinished=True)
