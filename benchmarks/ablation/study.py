"""Trains the missing runs of a study, and makes the rows of its table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks.ablation.cost import NetworkCost, cost_of
from benchmarks.ablation.record import Training, VariantResult
from capsedge.contract import Score
from capsedge.data import Dataset, Split
from capsedge.recipe import Recipe
from capsedge.reproduce.trainings import OnStart, finished, unreported
from capsedge.run_record import is_run
from capsedge.scoring import wrong_answers
from capsedge.statistics import Difference, mean_and_spread, paired_difference
from capsedge.training import Observer, Run, RunRecord, Trainer, lengths_of
from capsedge.training.log import TrainingLog

Part = Literal["validation", "test"]
Watch = Callable[[str], AbstractContextManager[Observer]]


class UntestedTrainer(Trainer):
    """A training that does not evaluate the test images."""

    def _finish(self, log: TrainingLog) -> RunRecord:
        """Record only the validation error."""
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
class StudyVariant:
    """A variant: a recipe, with its trainer and its run type.

    Attributes:
        name: Name of the variant, also part of its runs' folders.
        changes: Differences from the base, for the record.
        recipe: The recipe, whose seed is replaced for each run.
        trainer: Makes a trainer from a recipe, a data set and a run.
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
class StudySettings:
    """Settings that all trainings of a study share.

    Attributes:
        output: Parent folder of the runs.
        seeds: Seeds, with one training of each case for each.
        only: Names of the cases to train, beside the base; empty for all.
        parts: Splits whose errors are measured: validation, and optionally test.
        device: `auto`, `cpu` or `cuda`.
        watch: Called with a training's name before it starts; gives the observer of the training.
        on_start: Called with each trainer before its first step.
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
    """The results of a finished run for the table."""

    training: Training
    cost: NetworkCost
    wrong: Mapping[Part, NDArray[np.bool_]]  # by split, the images with a wrong answer


def rows_of(
    cases: Sequence[StudyVariant], dataset: Dataset, settings: StudySettings
) -> Iterator[tuple[VariantResult, ...]]:
    """Reuse finished runs, and train the missing ones: for each seed first the base, then the others.

    Args:
        cases: The variants, the base first.
        dataset: The images.
        settings: Settings that all trainings share.

    Yields:
        The rows of all finished runs, including cases that were not requested: at the start if there are any, and
        after every training.

    Raises:
        WrongUse: A folder is no run, or holds a run of another recipe or other images.
        Interrupted: Ctrl-C or a termination signal came; the same call continues.
    """
    found: dict[tuple[str, int], _Found] = {}
    missing: list[tuple[StudyVariant, int, Run]] = []
    # Check all folders first, so that an invalid one is refused before hours of training.
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


def _train(
    case: StudyVariant, seed: int, run: Run, dataset: Dataset, settings: StudySettings, observer: Observer
) -> None:
    """Train a run from its start or from its last checkpoint."""
    begun = is_run(run.path)
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


def _rows(
    cases: Sequence[StudyVariant], settings: StudySettings, found: Mapping[tuple[str, int], _Found]
) -> tuple[VariantResult, ...]:
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
            VariantResult(
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
