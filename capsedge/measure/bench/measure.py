"""One measurement of one or more sessions, side by side."""

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from capsedge.errors import WrongUse
from capsedge.measure.bench import doubts
from capsedge.measure.bench.case import case_of
from capsedge.measure.bench.energy import energy_mj
from capsedge.measure.bench.fingerprint import sha256_of
from capsedge.measure.bench.group import Circumstances
from capsedge.measure.bench.keeping import Keeping
from capsedge.measure.bench.limits import Limits, limits_of
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.quiet import no_garbage_collection
from capsedge.measure.bench.report import Case, Group, Parts, Warmup
from capsedge.measure.bench.rounds import run_rounds
from capsedge.measure.bench.split import parts
from capsedge.measure.bench.subject import Subject
from capsedge.measure.bench.warmup import warm_up
from capsedge.measure.bench.watch import Watch
from capsedge.measure.machine import conditions, this_machine
from capsedge.runtime.session import Session, check_batch


def measure(
    sessions: Sequence[Session],
    plan: Plan,
    *,
    labels: Sequence[str] | None = None,
    earlier: Group | None = None,
    keep: Callable[[Group], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> Group:
    """Time sessions in turns: first run, warm-up of each, rounds, and then each alone for its parts and its energy.

    Only `Session.run_raw` is timed: no decoding, no Python around it. The figures are those of a model that runs
    again and again, with its weights in the caches.

    Args:
        sessions: Opened models that have not run yet, or `Parts.first_run_ms` is not a first run. The first is what
            the others are compared with.
        plan: What to measure; `limits_of` says how long that takes.
        labels: What to call them, each once; None takes their names, and numbers those that come again.
        earlier: The unfinished group of a process that was cut off, of the same plan: its rounds count where they are
            of the same files with the same settings, and are left out otherwise.
        keep: Called with the unfinished group every ten seconds or so, between two rounds, and after the last round.
        progress: Called between the rounds with the share done, 0 to 1; what it does is not timed.

    Raises:
        WrongUse: There is no session, the labels do not fit, or a number of the plan is out of its range.
        ModelError: A model does not take the batch, or fails.
    """
    limits = limits_of(plan)
    subjects = _subjects(sessions, plan, labels)
    earlier = _taken_up(subjects, earlier)
    cores = this_machine().cores
    load = conditions().load_average
    known = (*_doubts_of(earlier), *doubts.about_plan(plan), *doubts.about_load(load, cores))
    first_runs_ms = [subject.run() for subject in subjects]
    warmups = [warm_up(subject, limits.settling) for subject in subjects]
    before = replace(conditions(), load_average=load)
    processes = 1 if earlier is None else earlier.processes + 1
    shared = Circumstances(plan, before, Watch(before), known, processes)

    def keep_it() -> None:
        so_far = [case_of(each, subjects[0], warmup=warmup) for each, warmup in zip(subjects, warmups, strict=True)]
        keep(shared.unfinished(so_far))

    _run_rounds(subjects, limits, shared.watch, Keeping(keep_it), progress)
    after = conditions()
    keep_it()
    cases = tuple(_cases(subjects, plan, limits, first_runs_ms, warmups))
    said = [doubt for case in cases for doubt in doubts.about_case(case, plan, limits, cores)]
    said += [doubt for subject in subjects for doubt in subject.session.warnings]
    said += [*doubts.about_rounds(cases, len(subjects[0].rounds)), *doubts.about_processes(processes)]
    return shared.group(cases, after, said)


def _run_rounds(
    subjects: Sequence[Subject], limits: Limits, watch: Watch, keeping: Keeping, progress: Callable[[float], None]
) -> None:
    def between() -> None:
        watch.look()
        keeping.look()

    with no_garbage_collection():
        run_rounds(subjects, limits.aim, progress=progress, between=between)


def _taken_up(subjects: Sequence[Subject], earlier: Group | None) -> Group | None:
    """Give the subjects the rounds that were measured before, where these are of the very same sessions."""
    if earlier is None or not earlier.unfinished:
        return None
    then = [(case.label, case.sha256, case.provider, case.settings) for case in earlier.cases]
    now = [(each.label, each.sha256, each.session.provider, each.session.settings) for each in subjects]
    if then != now or any(each.sha256 is None for each in subjects):
        return None
    for subject, case in zip(subjects, earlier.cases, strict=True):
        subject.rounds = [list(turn) for turn in case.samples_ms]
    return earlier


def _doubts_of(earlier: Group | None) -> tuple[str, ...]:
    return () if earlier is None else tuple(each for each in earlier.doubts if each != doubts.UNFINISHED)


def _subjects(sessions: Sequence[Session], plan: Plan, labels: Sequence[str] | None) -> list[Subject]:
    if not sessions:
        raise WrongUse("bench wants one model or more, none was given")
    names = _numbered([session.name for session in sessions]) if labels is None else labels
    if len(names) != len(sessions) or len(set(names)) != len(names):
        raise WrongUse(f"bench wants a label of its own for each of {len(sessions)} models, {list(names)} was given")
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
        )
        for name, session in zip(names, sessions, strict=True)
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """Tell the same name apart: a model beside itself shows what noise alone does."""
    counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]


def _cases(
    subjects: Sequence[Subject],
    plan: Plan,
    limits: Limits,
    first_runs_ms: Sequence[float],
    warmups: Sequence[Warmup],
) -> Iterator[Case]:
    """Measure each session alone, now that the rounds are over, and sum it up."""
    for subject, first_run_ms, warmup in zip(subjects, first_runs_ms, warmups, strict=True):
        yield case_of(
            subject,
            subjects[0],
            warmup=warmup,
            parts=parts(subject, first_run_ms, limits.alone_seconds) if plan.split else Parts(),
            energy_mj=energy_mj(subject),
        )
