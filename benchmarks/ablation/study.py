"""Training the cases of a study, or finding them finished, and the rows of its table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks.ablation.cost import Cost, cost_of
from benchmarks.ablation.record import Row, Training
from capsedge.contract import Score
from capsedge.data import Dataset, Split
from capsedge.recipe import Recipe
from capsedge.reproduce.trainings import OnStart, finished, unreported
from capsedge.scoring import wrong_answers
from capsedge.statistics import Difference, mean_and_spread, paired_difference
from capsedge.training import Observer, Run, RunRecord, Trainer, lengths_of
from capsedge.training.log import Log

Part = Literal["validation", "test"]
Watch = Callable[[str], AbstractContextManager[Observer]]


class UntestedTrainer(Trainer):
    """A training that ends without a look at the test images."""

    def _finish(self, log: Log) -> RunRecord:
        """Record the validation error alone."""
        del log
        assert self.position.best_error is not None
        record = self._record(
            "finished",
            scores=(Score("trained", "validation", len(self.dataset.validation), self.position.best_error),),
            best_epoch=self.position.best_epoch,
            seconds=round(self.position.seconds, 1),
        )
        if self.devices.first:
            self.run.write_record(record)
        return record


@dataclass(frozen=True, kw_only=True)
class Case:
    """A variant: a recipe, and what trains and opens its runs.

    Attributes:
        name: Names the runs' folders, too.
        changes: What differs from the base, for the record.
        recipe: With the seed of any of its runs.
        trainer: Makes a training of a recipe, a data set and a run.
        run: Opens a run's folder.
        seed_offset: Added to every seed.
    """

    name: str
    changes: tuple[str, ...]
    recipe: Recipe
    trainer: Callable[..., Trainer]
    run: Callable[[Path], Run] = Run
    seed_offset: int = 0

    def seeded(self, seed: int) -> Recipe:
        """The recipe with a seed."""
        return replace(self.recipe, train=replace(self.recipe.train, seed=seed + self.seed_offset))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all trainings of a study have in common.

    Attributes:
        output: The folder of the run folders.
        seeds: One training of each case.
        only: Names of the cases to train, beside the base; empty for all.
        parts: The images that errors are told of: validation, and perhaps test.
        device: `auto`, `cpu` or `cuda`.
        watch: Called with a training's name before it starts; gives who is told of its course.
        on_start: Called with each training before its first step.
    """

    output: Path
    seeds: tuple[int, ...]
    only: tuple[str, ...]
    parts: tuple[Part, ...]
    device: str
    watch: Watch
    on_start: OnStart = unreported


@dataclass(frozen=True)
class _Found:
    """What the table needs of a finished run."""

    training: Training
    cost: Cost
    wrong: Mapping[Part, NDArray[np.bool_]]  # by part of the data, which images get a wrong answer


def rows_of(cases: Sequence[Case], dataset: Dataset, settings: Settings) -> Iterator[tuple[Row, ...]]:
    """Find what is trained, and train what is missing: of every seed first the base, then the others.

    Args:
        cases: The base first.
        dataset: The images.
        settings: What all trainings have in common.

    Yields:
        The rows of all that is finished, also of cases that were not asked for: at the start where there is
        something, and after every training.

    Raises:
        WrongUse: A folder holds a run of another recipe or of other images, or is no run's.
        Interrupted: Ctrl-C or a termination signal came; the same call goes on.
    """
    found: dict[tuple[str, int], _Found] = {}
    missing: list[tuple[Case, int, Run]] = []
    # All folders first: one that must be refused is refused before hours are spent on the others.
    for seed in settings.seeds:
        for case in cases:
            run = case.run(settings.output / f"{case.name}-seed{seed}")
            if finished(case.seeded(seed), run, dataset):
                found[case.name, seed] = _measured(run, dataset, settings.parts)
            elif case is cases[0] or not settings.only or case.name in settings.only:
                missing.append((case, seed, run))
    if found:
        yield _rows(cases, settings, found)
    for number, (case, seed, run) in enumerate(missing, 1):
        with settings.watch(f"{run.path} ({number} of {len(missing)})") as observer:
            _train(case, seed, run, dataset, settings, observer)
        found[case.name, seed] = _measured(run, dataset, settings.parts)
        yield _rows(cases, settings, found)


def _train(case: Case, seed: int, run: Run, dataset: Dataset, settings: Settings, observer: Observer) -> None:
    """Train a run from its start, or from where it was stopped."""
    begun = (run.path / "run.json").exists()
    recipe = run.read_recipe() if begun else case.seeded(seed)
    trainer = case.trainer(recipe, dataset, run, device=settings.device)
    if begun:
        trainer.resume()
    else:
        trainer.start()
    settings.on_start(trainer)
    trainer.train(observer)


def _measured(run: Run, dataset: Dataset, parts: Sequence[Part]) -> _Found:
    """Score the weights of a finished run again, image by image, on the CPU."""
    record, recipe, network = run.read_record(), run.read_recipe(), run.load_best()
    splits: dict[Part, Split] = {"validation": dataset.validation, "test": dataset.test}
    wrong = {
        part: wrong_answers(lengths_of(network, splits[part], torch.device("cpu")).numpy(), splits[part].labels)
        for part in parts
    }
    training = Training(
        seed=recipe.train.seed,
        best_epoch=record.best_epoch,
        validation_error=float(wrong["validation"].mean()),
        test_error=float(wrong["test"].mean()) if "test" in wrong else None,
        seconds=record.seconds,
        precision=recipe.train.precision,
        device=record.device,
        versions=record.versions,
    )
    return _Found(training, cost_of(network, recipe, record.shape, classes=len(record.classes)), wrong)


def _rows(cases: Sequence[Case], settings: Settings, found: Mapping[tuple[str, int], _Found]) -> tuple[Row, ...]:
    base = cases[0].name
    rows = []
    for case in cases:
        seeds = [seed for seed in settings.seeds if (case.name, seed) in found]
        if not seeds:
            continue
        trainings = tuple(found[case.name, seed].training for seed in seeds)
        tests = [each.test_error for each in trainings if each.test_error is not None]
        common = [] if case is cases[0] else [seed for seed in seeds if (base, seed) in found]
        changes: dict[Part, Difference] = {
            part: paired_difference(
                [found[case.name, seed].wrong[part] for seed in common],
                [found[base, seed].wrong[part] for seed in common],
            )
            for part in settings.parts
            if common
        }
        rows.append(
            Row(
                name=case.name,
                changes=case.changes,
                cost=found[case.name, seeds[0]].cost,
                trainings=trainings,
                validation_error=mean_and_spread([each.validation_error for each in trainings]),
                test_error=mean_and_spread(tests) if tests else None,
                validation_change=changes.get("validation"),
                test_change=changes.get("test"),
            )
        )
    return tuple(rows)
