"""Measure one group of sessions and build the records of its results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from capsedge import files
from capsedge.errors import WrongUse
from capsedge.measure.bench import warnings
from capsedge.measure.bench.breakdown import breakdown_of, cpu_energy_mj, energy_mj
from capsedge.measure.bench.case import case_of
from capsedge.measure.bench.clock import Every, no_garbage_collection
from capsedge.measure.bench.deployment import ErrorOnData, Served
from capsedge.measure.bench.errors import Examination
from capsedge.measure.bench.loop import Subject, run_rounds, warm_up
from capsedge.measure.bench.memory import peak_memory
from capsedge.measure.bench.plan import Limits, Plan, limits_of
from capsedge.measure.bench.report import BenchWarning, Breakdown, Case, Group, Warmup
from capsedge.measure.bench.server import serve
from capsedge.measure.machine import Conditions, conditions, this_machine
from capsedge.runtime.session import Session, check_batch

# Saving takes milliseconds, between two rounds; an interruption loses at most this much.
_SECONDS_BETWEEN_SAVES = 10.0
_SECONDS_BETWEEN_READINGS = 1.0


@dataclass(frozen=True)
class _GroupContext:
    """Facts that all cases of a group share.

    Attributes:
        plan: The plan.
        before: State of the machine before the rounds.
        warnings: Warnings known before the rounds.
        processes: Number of processes that measured the group, one after the other.
        throttled: Reasons of throttling reported between the rounds; a dict as an ordered set.
    """

    plan: Plan
    before: Conditions
    warnings: tuple[BenchWarning, ...]
    processes: int
    throttled: dict[str, None] = field(default_factory=dict)

    def read_throttling(self) -> None:
        """Read the throttling state of the GPU: it may throttle and recover before the end of the rounds."""
        if self.before.gpu_throttling != "unavailable":
            self.throttled.update(dict.fromkeys(warnings.throttling(conditions())))

    def group(
        self, cases: Sequence[Case], after: Conditions, more: Iterable[BenchWarning] = (), *, unfinished: bool = False
    ) -> Group:
        """Build the record of the group.

        Args:
            cases: One case for each session.
            after: State of the machine after the rounds.
            more: Further warnings.
            unfinished: Whether the group is still being measured.
        """
        machine = warnings.about_machine(self.before, after, self.throttled)
        return Group(
            scenario=self.plan.scenario,
            batch=self.plan.images,
            interval_ms=self.plan.interval_ms,
            concurrency=self.plan.concurrency,
            qps=self.plan.qps,
            p99_ms=self.plan.p99_ms,
            quick=self.plan.quick,
            rounds=len(cases[0].samples_ms),
            before=self.before,
            after=after,
            warnings=tuple(dict.fromkeys([*self.warnings, *machine, *more])),
            cases=tuple(cases),
            unfinished=unfinished,
            processes=self.processes,
        )


def measure(
    sessions: Sequence[Session],
    plan: Plan,
    *,
    labels: Sequence[str] | None = None,
    earlier: Group | None = None,
    keep: Callable[[Group], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> Group:
    """Measure sessions: first query of each, warm-up of each, rounds, then each alone for its breakdown and energy.

    In the scenario `server`, trials of rates take the place of the rounds. Memory and error on data come last.

    Only `Session.run_raw` is timed: no decoding and no Python code around it. The latencies are those of a model that
    runs repeatedly, with its weights in the caches.

    Args:
        sessions: Opened models. They must not have run yet, or `Breakdown.first_inference_ms` is wrong. The others
            are compared with the first.
        plan: The plan; `limits_of` gives its limits of time and iterations.
        labels: Unique names of the sessions in the report; None takes the names of the sessions, and numbers
            repeated ones.
        earlier: Unfinished group of an interrupted process with the same plan. Its rounds are reused if the files and
            the settings are the same, and ignored otherwise, and in the scenario `server`.
        keep: Called with the unfinished group about every ten seconds, between two rounds, and after the last round.
        progress: Called between the rounds with the completed share, 0 to 1, outside of the timed iterations.

    Raises:
        WrongUse: There is no session, the labels do not match the sessions, or a number of the plan is out of range.
        ModelError: A model does not accept the batch, or fails, or has no contract and `Plan.data` is given.
        DataError: The images of `Plan.data` cannot be read, or have a class that a model does not have.
    """
    limits = limits_of(plan)
    subjects = _subjects(sessions, plan, labels)
    examination = None if plan.data is None else Examination(plan.data, sessions)
    earlier = None if plan.scenario == "server" else _resumed(subjects, earlier)
    cores = this_machine().cores
    load = conditions().load_average
    known = (*_warnings_of(earlier), *warnings.about_plan(plan), *warnings.about_load(load, cores))
    first_inferences_ms = [subject.query_at_once() for subject in subjects]
    warmups = [warm_up(subject, limits.warmup) for subject in subjects]
    before = replace(conditions(), load_average=load)
    shared = _GroupContext(plan, before, known, processes=1 if earlier is None else earlier.processes + 1)

    def save() -> None:
        so_far = [case_of(each, subjects[0], warmup=warmup) for each, warmup in zip(subjects, warmups, strict=True)]
        keep(shared.group(so_far, conditions(), [warnings.UNFINISHED], unfinished=True))

    autosave = Every(_SECONDS_BETWEEN_SAVES, save)
    monitor = Every(_SECONDS_BETWEEN_READINGS, shared.read_throttling)

    def between() -> None:
        monitor()
        autosave()

    served: list[Served] = []
    if plan.scenario == "server":
        served = serve(subjects, plan, limits.timing, progress=progress, between=monitor)
    else:
        with no_garbage_collection():
            run_rounds(subjects, limits.timing, progress=progress, between=between)
        save()
    after = conditions()
    alone = _Alone(plan, limits, served, examination.errors() if examination else [])
    cases = tuple(
        alone.case(index, subject, subjects[0], first_inferences_ms[index], warmups[index])
        for index, subject in enumerate(subjects)
    )
    more = [*alone.warnings, *(examination.warnings([each.label for each in subjects]) if examination else ())]
    more += [each for case in cases for each in warnings.about_case(case, plan, limits, cores)]
    more += [
        BenchWarning(code=warning.code, text=warning.text, case=subject.label)
        for subject in subjects
        for warning in subject.session.warnings
    ]
    more += [*warnings.about_rounds(cases, len(subjects[0].rounds)), *warnings.about_processes(shared.processes)]
    return shared.group(cases, after, more)


def sha256_of(file: Path) -> str | None:
    """SHA-256 of a file, which identifies its content; None if the file cannot be read."""
    try:
        return files.sha256_of(file)
    except OSError:
        return None


def _resumed(subjects: Sequence[Subject], earlier: Group | None) -> Group | None:
    """Copy the rounds of an earlier process to the subjects; returns None if the sessions are not the same."""
    if earlier is None or not earlier.unfinished:
        return None
    then = [(case.label, case.sha256, case.provider, case.settings) for case in earlier.cases]
    now = [(each.label, each.sha256, each.session.provider, each.session.settings) for each in subjects]
    if then != now or any(each.sha256 is None for each in subjects):
        return None
    for subject, case in zip(subjects, earlier.cases, strict=True):
        subject.rounds = [list(turn) for turn in case.samples_ms]
    return earlier


def _warnings_of(earlier: Group | None) -> tuple[BenchWarning, ...]:
    if earlier is None:
        return ()
    return tuple(each for each in earlier.warnings if each.code != warnings.UNFINISHED.code)


def _subjects(sessions: Sequence[Session], plan: Plan, labels: Sequence[str] | None) -> list[Subject]:
    if not sessions:
        raise WrongUse("expected at least one model to measure, got none")
    names = _numbered([session.name for session in sessions]) if labels is None else labels
    if len(names) != len(sessions) or len(set(names)) != len(names):
        raise WrongUse(f"expected a unique label for each of {len(sessions)} models, got {list(names)}")
    for session in sessions:
        check_batch(session, plan.images)
    return [
        Subject(
            name,
            session,
            session.feeds(plan.images),
            plan.images,
            plan.interval_ms,
            sha256=sha256_of(session.file),
            clients=plan.concurrency,
        )
        for name, session in zip(names, sessions, strict=True)
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """Number repeated names. Measuring a model twice shows the noise of the machine."""
    counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]


@dataclass(frozen=True)
class _Alone:
    """What is measured for each session alone, after the rounds.

    Attributes:
        plan: The plan.
        limits: Its limits.
        served: Results of the scenario `server`; empty in other scenarios.
        errors: Errors on data; empty without data.
        warnings: Warnings of these measurements.
    """

    plan: Plan
    limits: Limits
    served: Sequence[Served]
    errors: Sequence[ErrorOnData]
    warnings: list[BenchWarning] = field(default_factory=list)

    def case(self, index: int, subject: Subject, first: Subject, first_inference_ms: float, warmup: Warmup) -> Case:
        """Measure a session alone and build its case."""
        memory = None
        if self.plan.memory:
            session = subject.session
            memory, reason = peak_memory(session.file, session.settings, subject.batch)
            if reason:
                self.warnings.append(
                    BenchWarning(code="no-memory", text=f"its memory was not measured: {reason}", case=subject.label)
                )
        breakdown = Breakdown()
        if self.plan.breakdown:
            breakdown = breakdown_of(subject, first_inference_ms, self.limits.alone_seconds)
        return case_of(
            subject,
            first,
            warmup=warmup,
            breakdown=breakdown,
            energy_mj=energy_mj(subject),
            cpu_energy_mj=cpu_energy_mj(subject),
            served=self.served[index] if self.served else None,
            memory=memory,
            on_data=self.errors[index] if self.errors else None,
        )
