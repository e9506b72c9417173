"""Compression in rounds: prune, fine-tune and compare until the target is met."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from capsedge.compress.latency import Stopwatch
from capsedge.compress.record import FILE, Compression
from capsedge.compress.scores import Shares
from capsedge.compress.tuning import Options, Stage, Tuning, Watch
from capsedge.compress.wiring import Counts
from capsedge.errors import ModelError, WrongUse
from capsedge.files import RUN_FILE, write_atomically
from capsedge.training import Run, new_run

__all__ = ["Keep", "MaxErrorIncrease", "MaxLatency", "Target", "Tell", "Watch", "compress"]

# The search ends if the smallest network that passed has less than this times the MACs of one that failed.
CLOSE = 1.1

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Keep:
    """At most this share of the multiply-accumulates (MACs) is kept, 0 to 1."""

    share: float

    @property
    def asked(self) -> dict[str, float]:
        """The target as in the record."""
        return {"keep": self.share}


@dataclass(frozen=True)
class MaxLatency:
    """The median latency of the exported file, measured on this machine with one thread."""

    ms: float

    @property
    def asked(self) -> dict[str, float]:
        """The target as in the record."""
        return {"max_latency_ms": self.ms}


@dataclass(frozen=True)
class MaxErrorIncrease:
    """The smallest network whose validation error rises by at most this share of the images, 0 to 1."""

    share: float

    @property
    def asked(self) -> dict[str, float]:
        """The target as in the record."""
        return {"max_error_increase": self.share}


Target = Keep | MaxLatency | MaxErrorIncrease


def compress(
    run: Run,
    target: Target,
    options: Options | None = None,
    folder: Path | None = None,
    *,
    watch: Watch,
    tell: Tell = lambda _: None,
) -> tuple[Run, Compression]:
    """Make a smaller network from a finished run, as a new finished run.

    Only training and validation images are used for decisions. If it fails or is interrupted, no files are left.

    Args:
        run: A finished run whose routing collapses.
        target: The size, latency or error to reach.
        options: Settings; None for the defaults.
        folder: Folder of the new run, absent or `Run.is_free`; None for runs/NAME-compressed.
        watch: Called with the name of each fine-tuning; gives the observer of its progress.
        tell: Called with a description of each step.

    Returns:
        The new run, and the content of its compression.json.

    Raises:
        WrongUse: The run is not finished or does not collapse, the target is met already or cannot be reached, or the
            folder is not empty.
        ModelError: The run is damaged, or no smaller network was good enough.
        DataError: The run's images cannot be loaded.
        Interrupted: Ctrl-C or a termination signal came.
    """
    if folder is not None and not Run(folder).is_free():
        raise WrongUse(f"--output '{folder}' is not an empty folder", "give a new one")
    search = _Search(Tuning(run, options or Options(), watch), target, tell)
    with new_run(search.tuning.name, folder=folder) as result, _scratch(result) as scratch:
        stage = search.smallest(scratch) if isinstance(target, MaxErrorIncrease) else search.approach(scratch)
        record = search.record(stage)
        write_atomically(stage.run.path / FILE, msgspec.json.format(msgspec.json.encode(record)))
        _move(stage.run, result)
    return result, record


class _Search:
    """The search for a network that meets the target.

    Args:
        tuning: Builds and fine-tunes the candidates.
        target: What to reach.
        tell: See `compress`.
    """

    def __init__(self, tuning: Tuning, target: Target, tell: Tell) -> None:
        self.tuning = tuning
        self.source = tuning.source
        self.options = tuning.options
        self.target = target
        self.tell = tell
        self.stopwatch = Stopwatch(tuning.dataset, self.options.precision, seconds=self.options.seconds)
        # First, so that a network that cannot be exported fails before hours of training.
        tell("measuring the latency")
        sizes = self.source.wiring.sizes
        self.latencies = {tuple(sizes.items()): self.stopwatch.latency_ms(self.source.network)}

    def approach(self, scratch: Path) -> Stage:
        """A network within the requested share or latency, in rounds that are equal steps of its logarithm."""
        stage, rounds = self.source, self.options.rounds or 2
        steps, found = self._path(stage)
        whole, wanted = self._cost(stage, steps[0], found), self._wanted
        if whole <= wanted:
            raise WrongUse(
                f"run '{stage.run.path}' has {self._cost_text(whole)} already, and the target is "
                f"{self._cost_text(wanted)}: nothing is left to do"
            )
        smallest = self._cost(stage, steps[-1], found)
        if smallest > wanted:
            raise WrongUse(
                f"the smallest network that can be made from '{stage.run.path}' has {self._cost_text(smallest)}, and "
                f"the target is {self._cost_text(wanted)}",
                "raise the target, or train a smaller recipe",
            )
        for number in range(1, rounds + 1):
            goal = whole * (wanted / whole) ** (number / rounds)
            counts = self._first_within(stage, steps, found, goal)
            if counts != steps[0]:
                title = f"round {number} of {rounds}"
                stage = self.tuning.tuned(stage, counts, found, scratch / f"{number}", title)
                steps, found = self._path(stage) if number < rounds else ([], {})
        return stage

    def smallest(self, scratch: Path) -> Stage:
        """The smallest network found whose validation error is within the limit.

        Each trial halves the smallest network that passed. After the first that failed, a trial lies between the two.
        """
        assert isinstance(self.target, MaxErrorIncrease)
        tried = self.tuning.rounds
        best, failed, rounds = self.source, 0.0, self.options.rounds or 6
        steps, found = self._path(best)
        for number in range(1, rounds + 1):
            goal = best.macs / 2 if not failed else (best.macs * failed) ** 0.5
            counts = next((each for each in steps if best.wiring.macs(each) <= goal), steps[-1])
            if counts == steps[0] or best.wiring.macs(counts) <= failed or best.macs < CLOSE * failed:
                break  # there is no step between the two
            trial = self.tuning.tuned(best, counts, found, scratch / f"{number}", f"trial {number} of {rounds}")
            if tried[-1].change.mean <= self.target.share:
                best = trial
                steps, found = self._path(best)
            else:
                tried[-1] = replace(tried[-1], taken=False)
                failed = max(failed, trial.macs)
        if best is not self.source:
            return best
        if not tried:
            raise WrongUse(f"nothing can be pruned from '{best.run.path}': no width is larger than --multiple")
        nearest = min(tried, key=lambda each: each.change.mean)
        raise ModelError(
            f"no smaller network of '{best.run.path}' is within {100 * self.target.share:g} points: the best of "
            f"{len(tried)} has {100 * nearest.macs_share:.0f} % of the MACs and loses "
            f"{100 * nearest.change.mean:.2f}",
            "allow more, or raise --epochs or --rounds",
        )

    def record(self, stage: Stage) -> Compression:
        """The record; the latencies before and after are measured in interleaved rounds."""
        self.tell("measuring the latency before and after")
        found = self.stopwatch.compared(self.source.network, stage.network)
        return Compression(
            source=str(self.source.run.path.resolve()),
            by=self.options.by,
            target=self.target.asked,
            precision=self.options.precision,
            rounds=tuple(self.tuning.rounds),
            before=self.tuning.figures(self.source, found.before_ms),
            after=self.tuning.figures(stage, found.after_ms),
            latency_ratio=found.ratio,
            warnings=found.warnings,
            change=self.tuning.change(stage),
        )

    def _path(self, stage: Stage) -> tuple[list[Counts], Shares]:
        self.tell("scoring capsule types and channels")
        return self.tuning.path(stage)

    def _first_within(self, stage: Stage, steps: Sequence[Counts], found: Shares, goal: float) -> Counts:
        """The first step whose cost is within the goal, or the last, by bisection: costs fall from step to step."""
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            if self._cost(stage, steps[middle], found) <= goal:
                high = middle
            else:
                low = middle + 1
        return steps[low]

    def _cost(self, stage: Stage, counts: Counts, found: Shares) -> float:
        """The quantity that the target limits: the measured latency in milliseconds, or the MACs."""
        if not isinstance(self.target, MaxLatency):
            return stage.wiring.macs(counts)
        key = tuple(counts.items())
        if key not in self.latencies:
            self.tell(f"measuring the latency of {stage.wiring.macs(counts):,} MACs")
            self.latencies[key] = self.stopwatch.latency_ms(self.tuning.made(stage, counts, found)[0])
        return self.latencies[key]

    @property
    def _wanted(self) -> float:
        if isinstance(self.target, MaxLatency):
            return self.target.ms
        return self.target.share * self.source.macs

    def _cost_text(self, cost: float) -> str:
        if isinstance(self.target, MaxLatency):
            return f"a latency of {cost:.3f} ms ({self.options.precision})"
        return f"{100 * cost / self.source.macs:.1f} % of the MACs"


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """A temporary folder for the candidates, on the file system of the run."""
    folder = run.path / ".work"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _move(run: Run, to: Run) -> None:
    """Move the files of a finished run; run.json comes last, because it makes the folder a run."""
    files = sorted(run.path.iterdir(), key=lambda file: file.name == RUN_FILE)
    for file in files:
        if file.name != ".lock":
            file.replace(to.path / file.name)
