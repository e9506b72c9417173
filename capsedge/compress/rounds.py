"""Compression in rounds: score, drop, fine-tune with the uncompressed network as the teacher."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.compress.choice import kept, path
from capsedge.compress.latency import FilePrecision, Stopwatch
from capsedge.compress.record import FILE, Compression, Figures, Round
from capsedge.compress.scores import Rule, Shares, shares
from capsedge.compress.surgery import smaller
from capsedge.compress.wiring import Counts, Wiring, wiring_of
from capsedge.errors import Interrupted, ModelError, WrongUse
from capsedge.models import CapsNet
from capsedge.recipe import Recipe, load_recipe
from capsedge.scoring import wrong_answers
from capsedge.statistics import Difference, paired_difference
from capsedge.training import Observer, Run, Trainer, lengths_of, new_run
from capsedge.training.batches import normalized, on_device
from capsedge.training.checkpoint import save_weights

SUFFIX = "-compressed"
SCORED_IMAGES = 2000
BATCH = 250
FINE_TUNING_RATE = 0.5  # of the run's own
FIXED = {"train.teachers": "its teacher is the run itself", "routing.kind": "its routing is that of the run"}
CLOSE = 1.1  # the search ends where a network that failed has so nearly the MACs of the smallest that passed

Watch = Callable[[str], AbstractContextManager[Observer]]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Keep:
    """At most this share of the multiply-accumulates (MACs) stays, 0 to 1."""

    share: float

    @property
    def asked(self) -> dict[str, float]:
        """As the record has it."""
        return {"keep": self.share}


@dataclass(frozen=True)
class MaxLatency:
    """The median latency of the exported file, measured on this machine with one thread."""

    ms: float

    @property
    def asked(self) -> dict[str, float]:
        """As the record has it."""
        return {"max_latency_ms": self.ms}


@dataclass(frozen=True)
class MaxErrorIncrease:
    """The smallest network whose validation error is larger by at most this share of the images, 0 to 1."""

    share: float

    @property
    def asked(self) -> dict[str, float]:
        """As the record has it."""
        return {"max_error_increase": self.share}


Target = Keep | MaxLatency | MaxErrorIncrease


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to compress.

    Attributes:
        by: What is dropped first (`capsedge.compress.scores.shares`).
        rounds: Fine-tunings: steps to the target (None for 2), or most networks that the search for the smallest
            tries (None for 6).
        epochs: Of each fine-tuning.
        learning_rate: Its highest; None for half of the run's. That of the routing step keeps its ratio to it.
        precision: Of the file whose latency is measured.
        multiple: Of channels, that layers keep.
        overrides: `train.key=value` and `routing.key=value` for the fine-tuning.
        device: That trains: `auto`, `cpu` or `cuda`.
        seconds: Timed runs of each network; None for those of a quick measurement.
    """

    by: Rule = "routing"
    rounds: int | None = None
    epochs: int = 3
    learning_rate: float | None = None
    precision: FilePrecision = "fp32"
    multiple: int = 8
    overrides: Sequence[str] = ()
    device: str = "auto"
    seconds: float | None = None


@dataclass(frozen=True)
class Stage:
    """A network on the way: the source, or one that was fine-tuned.

    Attributes:
        network: In evaluation mode.
        recipe: That describes it.
        wiring: Of the network.
        run: Its folder.
    """

    network: CapsNet
    recipe: Recipe
    wiring: Wiring
    run: Run

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.wiring.macs(self.wiring.sizes)


def compress(
    run: Run,
    target: Target,
    options: Options | None = None,
    folder: Path | None = None,
    *,
    watch: Watch,
    tell: Tell = lambda _: None,
) -> tuple[Run, Compression]:
    """Make a smaller network of a finished run, as a finished run of its own.

    Only training and validation images decide. Nothing is left behind where it fails or is interrupted.

    Args:
        run: A finished run whose routing collapses.
        target: How small, or how good.
        options: How.
        folder: Of the new run, which must be empty or not be there; None for runs/NAME-compressed.
        watch: Called with the name of each fine-tuning; gives who is told of its course.
        tell: Is told what is being done.

    Returns:
        The new run, and what its compression.json holds.

    Raises:
        WrongUse: The run is not finished or does not collapse, the target is met already or cannot be reached, or the
            folder is taken.
        ModelError: The run is damaged, or no smaller network was good enough.
        DataError: The run's images are no longer here.
        Interrupted: Ctrl-C or a termination signal came.
    """
    if folder is not None and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise WrongUse(f"--output '{folder}' is not an empty folder: give a new one")
    work = _Work(run, target, options or Options(), watch, tell)
    with _claimed(work.name, folder) as result, _scratch(result) as scratch:
        stage = work.search(scratch) if isinstance(target, MaxErrorIncrease) else work.approach(scratch)
        record = work.record(stage)
        (stage.run.path / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        _move(stage.run, result)
    return result, record


class _Work:
    """One compression.

    Args:
        run: The source.
        target: What to reach.
        options: How.
        watch: See `compress`.
        tell: See `compress`.
    """

    def __init__(self, run: Run, target: Target, options: Options, watch: Watch, tell: Tell) -> None:
        if run.read_record().status != "finished":
            raise WrongUse(f"run '{run.path}' is not finished: capsedge train --resume --run {run.path}")
        for override in options.overrides:
            if not override.strip().startswith(("train.", "routing.")):
                raise WrongUse(f"--set: expected train.* or routing.* of the fine-tuning, got '{override}'")
            if (key := override.partition("=")[0].strip()) in FIXED:
                raise WrongUse(f"--set {key} is not for the fine-tuning: {FIXED[key]}")
        self.target = target
        self.options = options
        self.watch = watch
        self.tell = tell
        network, recipe = run.load_best(), run.read_recipe()
        self.dataset = run.load_dataset()
        self.source = Stage(network, recipe, wiring_of(network, self.dataset.shape), run)
        self.stopwatch = Stopwatch(self.dataset, options.precision, seconds=options.seconds)
        self.rounds: list[Round] = []
        tell("measuring the latency")  # first, since what cannot be exported shall be told before hours are spent
        sizes = self.source.wiring.sizes
        self.latencies = {tuple(sizes.items()): self.stopwatch.latency_ms(network)}

    @property
    def name(self) -> str:
        """Of the new run."""
        return self.source.recipe.name.removesuffix(SUFFIX) + SUFFIX

    def approach(self, scratch: Path) -> Stage:
        """The network with the share, or the latency, that was asked for, in equal steps of their logarithm."""
        stage, rounds = self.source, self.options.rounds or 2
        steps, found = self._path(stage)
        whole, wanted = self._cost(stage, steps[0], found), self._wanted
        if whole <= wanted:
            raise WrongUse(
                f"run '{stage.run.path}' has {self._said(whole)} already, and {self._said(wanted)} was asked for: "
                "nothing is left to do"
            )
        smallest = self._cost(stage, steps[-1], found)
        if smallest > wanted:
            raise WrongUse(
                f"the smallest network that can be made of '{stage.run.path}' has {self._said(smallest)}, and "
                f"{self._said(wanted)} was asked for: ask for more, or train a smaller recipe"
            )
        for number in range(1, rounds + 1):
            goal = whole * (wanted / whole) ** (number / rounds)
            counts = self._first(stage, steps, found, goal)
            if counts != steps[0]:
                stage = self._tuned(stage, counts, found, scratch / f"{number}", f"round {number} of {rounds}")
                steps, found = self._path(stage) if number < rounds else ([], {})
        return stage

    def search(self, scratch: Path) -> Stage:
        """The smallest network found whose validation error is within the limit.

        Each trial halves the smallest network that passed. From the first that fails, it lies between the two.
        """
        assert isinstance(self.target, MaxErrorIncrease)
        best, failed, rounds = self.source, 0.0, self.options.rounds or 6
        steps, found = self._path(best)
        for number in range(1, rounds + 1):
            goal = best.macs / 2 if not failed else (best.macs * failed) ** 0.5
            counts = next((each for each in steps if best.wiring.macs(each) <= goal), steps[-1])
            if counts == steps[0] or best.wiring.macs(counts) <= failed or best.macs < CLOSE * failed:
                break  # nothing lies between
            trial = self._tuned(best, counts, found, scratch / f"{number}", f"trial {number} of {rounds}")
            if self.rounds[-1].change.mean <= self.target.share:
                best = trial
                steps, found = self._path(best)
            else:
                self.rounds[-1] = replace(self.rounds[-1], taken=False)
                failed = max(failed, trial.macs)
        if best is not self.source:
            return best
        if not self.rounds:
            raise WrongUse(f"nothing can be dropped from '{best.run.path}': it has no larger width than --multiple")
        nearest = min(self.rounds, key=lambda each: each.change.mean)
        raise ModelError(
            f"no smaller network of '{best.run.path}' is within {100 * self.target.share:g} points: the best of "
            f"{len(self.rounds)} has {100 * nearest.macs_share:.0f} % of the MACs and loses "
            f"{100 * nearest.change.mean:.2f}; allow more, or give more --epochs or --rounds"
        )

    def record(self, stage: Stage) -> Compression:
        """What was done; the latencies before and after are measured side by side."""
        self.tell("measuring the latency before and after")
        found = self.stopwatch.compared(self.source.network, stage.network)
        return Compression(
            source=str(self.source.run.path.resolve()),
            by=self.options.by,
            target=self.target.asked,
            precision=self.options.precision,
            rounds=tuple(self.rounds),
            before=self._figures(self.source, found.before_ms),
            after=self._figures(stage, found.after_ms),
            latency_ratio=found.ratio,
            warnings=found.warnings,
            change=self._change(stage),
        )

    def _path(self, stage: Stage) -> tuple[list[Counts], Shares]:
        """The steps from a network to the smallest, and the shares that lead them."""
        self.tell("scoring capsule types and channels")
        seed = self._fine_tuning.train.seed
        found = shares(stage.network, stage.wiring, self._images, by=self.options.by, seed=seed)
        return path(stage.wiring, found, multiple=self.options.multiple), found

    def _first(self, stage: Stage, steps: Sequence[Counts], found: Shares, goal: float) -> Counts:
        """The first step whose cost is within the goal, or the last: costs fall from step to step."""
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            if self._cost(stage, steps[middle], found) <= goal:
                high = middle
            else:
                low = middle + 1
        return steps[low]

    def _cost(self, stage: Stage, counts: Counts, found: Shares) -> float:
        """What the target limits: the measured latency in milliseconds, or the MACs."""
        if not isinstance(self.target, MaxLatency):
            return stage.wiring.macs(counts)
        key = tuple(counts.items())
        if key not in self.latencies:
            self.tell(f"measuring the latency of {stage.wiring.macs(counts):,} MACs")
            self.latencies[key] = self.stopwatch.latency_ms(self._made(stage, counts, found)[0])
        return self.latencies[key]

    @property
    def _wanted(self) -> float:
        if isinstance(self.target, MaxLatency):
            return self.target.ms
        return self.target.share * self.source.macs

    def _said(self, cost: float) -> str:
        """A cost in words."""
        if isinstance(self.target, MaxLatency):
            return f"a latency of {cost:.3f} ms ({self.options.precision})"
        return f"{100 * cost / self.source.macs:.1f} % of the MACs"

    def _made(self, stage: Stage, counts: Counts, found: Shares) -> tuple[CapsNet, Recipe]:
        """The network of a step, before its fine-tuning."""
        dataset = self.dataset
        return smaller(
            stage.network,
            stage.recipe,
            stage.wiring,
            kept(counts, found),
            classes=len(dataset.classes),
            shape=dataset.shape,
        )

    def _tuned(self, stage: Stage, counts: Counts, found: Shares, folder: Path, title: str) -> Stage:
        """The network of a step, fine-tuned."""
        network, recipe = self._made(stage, counts, found)
        recipe = replace(self._fine_tuning, network=recipe.network)
        start = folder.with_suffix(".safetensors")
        save_weights(start, network)
        trainer = Trainer(recipe, self.dataset, Run(folder), device=self.options.device)
        trainer.start(start)
        share = stage.wiring.macs(counts) / self.source.macs
        try:
            with self.watch(f"{title}: {100 * share:.0f} % of the MACs") as observer:
                trainer.train(observer)
        except Interrupted as stop:
            raise Interrupted(f"interrupted in {title}; no run was written") from stop
        best = trainer.run.load_best()
        tuned = Stage(best, trainer.run.read_recipe(), wiring_of(best, self.dataset.shape), trainer.run)
        self.rounds.append(
            Round(
                counts=dict(counts),
                macs_share=share,
                validation_error=float(self._mistakes(best).mean()),
                change=self._change(tuned),
            )
        )
        return tuned

    @cached_property
    def _fine_tuning(self) -> Recipe:
        """The source's recipe, with the source as the teacher, at a lower rate."""
        options, source = self.options, self.source
        factor = (
            FINE_TUNING_RATE
            if options.learning_rate is None
            else options.learning_rate / source.recipe.train.learning_rate
        )
        settings = [
            f"train.epochs={options.epochs}",
            "train.schedule=one-cycle",
            f"train.learning_rate={source.recipe.train.learning_rate * factor}",
            f"routing.learning_rate={source.recipe.routing.learning_rate * factor}",
            "train.precision=auto",
        ]
        recipe = load_recipe(str(source.run.path / "recipe.toml"), [*settings, *options.overrides])
        teachers = (str(source.run.path.resolve()),)
        return replace(recipe, name=self.name, train=replace(recipe.train, teachers=teachers))

    @cached_property
    def _images(self) -> list[torch.Tensor]:
        images, _ = on_device(self.dataset.train.spread(SCORED_IMAGES), torch.device("cpu"))
        return [normalized(batch) for batch in torch.split(images, BATCH)]

    def _figures(self, stage: Stage, latency_ms: float) -> Figures:
        scores = {score.split: score.error for score in stage.run.read_record().scores}
        return Figures(
            parameters=stage.wiring.parameters(stage.wiring.sizes),
            macs=stage.macs,
            latency_ms=latency_ms,
            validation_error=scores["validation"],
            test_error=scores["test"],
        )

    def _change(self, stage: Stage) -> Difference:
        """Of the validation error, against the source's."""
        return paired_difference([self._mistakes(stage.network)], [self._source_mistakes])

    @cached_property
    def _source_mistakes(self) -> NDArray[np.bool_]:
        return self._mistakes(self.source.network)

    def _mistakes(self, network: CapsNet) -> NDArray[np.bool_]:
        """Which validation images get a wrong answer."""
        validation = self.dataset.validation
        lengths = lengths_of(network, validation, torch.device("cpu")).numpy()
        network.eval()
        return wrong_answers(lengths, validation.labels)


@contextmanager
def _claimed(name: str, folder: Path | None) -> Iterator[Run]:
    """The folder of the new run, which goes again if nothing is put into it."""
    if folder is None:
        with new_run(name) as run:
            yield run
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Run(folder)
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """A folder for what is tried, on the file system of the run."""
    folder = run.path / ".work"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _move(run: Run, to: Run) -> None:
    """Move a finished run; its record comes last, and makes a run of the folder."""
    files = sorted(run.path.iterdir(), key=lambda file: file.name == "run.json")
    for file in files:
        if file.name != ".lock":
            file.replace(to.path / file.name)
