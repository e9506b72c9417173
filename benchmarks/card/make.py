"""Makes a model's folder from a finished, exported run: its files, and the card with their measurements."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks.card.command import command_of
from benchmarks.card.measure import Labels, Lengths, answers, class_errors, facts_of, measured
from benchmarks.card.pictures import draw
from benchmarks.card.record import (
    CARD,
    WEIGHTS,
    Card,
    Data,
    FileFacts,
    FileResult,
    Seeds,
    SeedScore,
    TeacherCard,
    read_card,
)
from benchmarks.card.weights import save_half
from benchmarks.card.words import write_card
from benchmarks.versions import versions_of
from capsedge.compress import record as compression
from capsedge.contract import Contract, Precision, contract_of
from capsedge.data import Dataset, Split, load_dataset
from capsedge.data.known import KNOWN, SUBSET
from capsedge.errors import ModelError, WrongUse
from capsedge.export.pipeline import file_name
from capsedge.files import write_atomically
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.processor import this_processor
from capsedge.recipe import Recipe, to_values
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.scoring import wrong_answers
from capsedge.statistics import mean_and_spread, paired_difference
from capsedge.training import Run, RunRecord

Kept = Literal["fp32", "int8", "weights"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
EXPORT = "capsedge export {} --precision fp32,int8"
TEACHERS = "teachers"  # folder with the teachers' recipes
Given = dict[Precision, dict[str, Lengths]]  # capsule lengths of each file, by split


def make(
    run: Run,
    folder: Path,
    *,
    others: Sequence[Run] = (),
    keep: Sequence[Kept] = ("fp32", "int8", "weights"),
    tell: Callable[[str], None] = lambda _: None,
) -> Card:
    """Fill a model's folder, and measure its files on all of the run's data.

    Latency and robustness are copied from the folder's previous card if it has the same files.

    Args:
        run: A finished run with model.onnx, and optionally model.int8.onnx, as `capsedge export` makes them.
        folder: The folder of the model, such as zoo/edge-small; existing files are replaced.
        others: Finished runs of the same recipe with other seeds.
        keep: The files to put into the folder; all are measured.
        tell: Called with a line about each step.

    Raises:
        ModelError: A run is not finished, or a file is missing, of another run or not accepted by the gate.
        WrongUse: A run was made by `capsedge compress`, or differs in more than the seed; two teachers have the same
            name; an image shows two classes; no executable file is kept; or the folder is the run's own.
        DataError: The run's data is missing.
    """
    if not set(keep) & set(PRECISIONS):
        raise WrongUse(f"a model of the zoo needs an executable file: keep {' or '.join(PRECISIONS)}")
    if folder.resolve() == run.path.resolve():  # its files would be deleted before the copy
        raise WrongUse(f"'{folder}' is the run itself: give another folder, such as zoo/{folder.resolve().name}")
    record, recipe, contracts = _finished(run), run.read_recipe(), _contracts(run)
    _check_teachers(run, record)
    for other in others:
        _check_same(run, other)
    for precision in PRECISIONS:
        if precision in keep and precision not in contracts:
            raise ModelError(f"'{run.path}' has no file in {precision}: {EXPORT.format(run.path)}")
    if "weights" in keep:
        run.check_best()
    dataset = run.load_dataset()
    if dataset.labels_per_image != 1:
        raise WrongUse(
            f"expected images with one class each for a card, got {dataset.labels_per_image} in run '{run.path}'"
        )
    subset = _subset(dataset)
    given: Given = {}
    for precision in contracts:
        tell(f"{precision}: {len(dataset.validation) + len(dataset.test):,} images")
        file = run.path / file_name(precision)
        given[precision] = {name: answers(file, split.images) for name, split in _splits(dataset).items()}
    found = {precision: _measured(run, precision, given[precision], dataset, subset) for precision in contracts}
    shown = next(precision for precision in PRECISIONS if precision in keep)
    name = folder.resolve().name
    card = Card(
        name=name,
        recipe=recipe.name,
        routing=recipe.routing.kind,
        command=command_of(recipe, name, shape=record.shape),
        data=_data(dataset, subset),
        epochs=recipe.train.epochs,
        seconds=record.seconds,
        device=record.device,
        precision_of_training=recipe.train.precision,
        seeds=_seeds([run, *others]),
        teachers=_teachers(record, folder),
        parameters=contracts["fp32"].parameters,
        macs=contracts["fp32"].flops // 2,
        files=_fill(run, record, recipe, folder, keep),
        measured=found,
        shown=shown,
        classes=class_errors(found[shown].confusion),
        int8_change=_change(given, dataset),
        calibration=contracts["int8"].calibration if "int8" in contracts else None,
        trained_with=record.versions,
        exported_with={key: value for contract in contracts.values() for key, value in contract.versions.items()},
        measured_with=versions_of(load_onnxruntime(), np),
        processor=this_processor(),
    )
    card = _with_former(card, folder)
    draw(card, run.metrics, dataset.test.images, folder)
    write_card(card, folder)
    return card


def _data(dataset: Dataset, subset: NDArray[np.intp] | None) -> Data:
    return Data(
        title=KNOWN[dataset.source].title if dataset.source in KNOWN else dataset.name,
        source=dataset.source,
        sha256=dataset.sha256(),
        classes=dataset.classes,
        train=len(dataset.train),
        validation=len(dataset.validation),
        test=len(dataset.test),
        subset=0 if subset is None else len(subset),
    )


def _finished(run: Run) -> RunRecord:
    record = run.read_record()
    if record.status != "finished":
        raise ModelError(f"run '{run.path}' is not finished: capsedge train --resume --run {run.path}")
    if (run.path / compression.FILE).exists():  # its recipe is that of the fine-tuning
        raise WrongUse(
            f"run '{run.path}' was made by capsedge compress, so its recipe alone cannot train it again: give a run "
            "of capsedge train"
        )
    return record


def _check_teachers(run: Run, record: RunRecord) -> None:
    """Refuse teachers with the same folder name, which is their name in the model's folder."""
    folders: dict[str, str] = {}
    for teacher in record.teachers:
        first = folders.setdefault(Path(teacher.run).name, teacher.run)
        if first != teacher.run:
            raise WrongUse(
                f"expected different folder names of the teachers of '{run.path}', got '{first}' and "
                f"'{teacher.run}': rename one of them, also in the run's recipe.toml and run.json"
            )


def _check_same(run: Run, other: Run) -> None:
    """Refuse a run that differs from another in more than its seed."""
    mine, theirs = (each.read_recipe() for each in (run, other))
    same = replace(theirs, train=replace(theirs.train, seed=mine.train.seed)) == mine
    if not same or _finished(other).data_sha256 != run.read_record().data_sha256:
        raise WrongUse(f"'{other.path}' differs from '{run.path}' in more than train.seed: give runs of one recipe")
    if theirs.train.seed == mine.train.seed:
        raise WrongUse(
            f"'{other.path}' has the same seed as '{run.path}', {mine.train.seed}: give runs of other seeds"
        )


def _contracts(run: Run) -> dict[Precision, Contract]:
    """The contracts of the run's files, model.onnx first, which is required."""
    record = run.read_record()
    contracts: dict[Precision, Contract] = {}
    for precision in PRECISIONS:
        file = run.path / file_name(precision)
        if not file.is_file():
            continue
        contract = contract_of(read_onnx_file(file), source=str(file))
        if contract is None or contract.verdict is None or contract.verdict.status != "accepted":
            raise ModelError(f"'{file}' was not accepted by the gate: {EXPORT.format(run.path)}")
        if tuple(score for score in contract.scores if score.stage == "trained") != record.scores:
            raise ModelError(f"'{file}' is of another training than '{run.path}': {EXPORT.format(run.path)}")
        contracts[precision] = contract
    if "fp32" not in contracts:
        raise ModelError(f"'{run.path}' has no model.onnx: {EXPORT.format(run.path)}")
    return contracts


def _splits(dataset: Dataset) -> dict[str, Split]:
    return {"validation": dataset.validation, "test": dataset.test}


def _measured(
    run: Run, precision: Precision, given: dict[str, Lengths], dataset: Dataset, subset: NDArray[np.intp] | None
) -> FileResult:
    validation, test = ((given[name], split.labels) for name, split in _splits(dataset).items())
    return measured(run.path / file_name(precision), validation, test, subset)


def _change(given: Given, dataset: Dataset) -> dict[Any, Any]:
    """Difference of the errors of int8 and fp32, with its interval, by split."""
    if "int8" not in given:
        return {}

    def wrong(precision: Precision, name: str, labels: Labels) -> NDArray[np.bool_]:
        return wrong_answers(given[precision][name], labels)

    return {
        name: paired_difference([wrong("int8", name, split.labels)], [wrong("fp32", name, split.labels)])
        for name, split in _splits(dataset).items()
    }


def _subset(dataset: Dataset) -> NDArray[np.intp] | None:
    """Indices of the subset's test images in a data set's; None if it does not contain them.

    By the rule of scripts/make_subset.py: the first images of each class, in the order of the files.
    """
    part = load_dataset(SUBSET).test
    counts = np.bincount(part.labels)
    if dataset.shape != part.images.shape[1:] or len(dataset.classes) != len(counts):
        return None
    members = [np.flatnonzero(dataset.test.labels == label)[:count] for label, count in enumerate(counts)]
    places = np.sort(np.concatenate(members))
    return places if np.array_equal(dataset.test.images[places], part.images) else None


def _seeds(runs: Sequence[Run]) -> Seeds:
    scores = [_seed_score(run) for run in runs]
    return Seeds(
        runs=tuple(scores),
        validation_error=mean_and_spread([each.validation_error for each in scores]),
        test_error=mean_and_spread([each.test_error for each in scores]),
    )


def _seed_score(run: Run) -> SeedScore:
    record = run.read_record()
    errors = {score.split: score.error for score in record.scores}
    return SeedScore(
        seed=run.read_recipe().train.seed,
        best_epoch=record.best_epoch,
        validation_error=errors["validation"],
        test_error=errors["test"],
    )


def _teachers(record: RunRecord, folder: Path) -> tuple[TeacherCard, ...]:
    """The teachers; writes the recipe of each that still exists, so that it can be trained again."""
    names = {f"{Path(teacher.run).name}.toml" for teacher in record.teachers}
    for file in (folder / TEACHERS).glob("*.toml"):
        if file.name not in names:  # of a previous card; `make zoo` would train it
            file.unlink()
    cards = []
    for teacher in record.teachers:
        run, recipe = Run(Path(teacher.run)), ""
        if (run.path / "recipe.toml").is_file():
            recipe = f"{TEACHERS}/{run.path.name}.toml"
            _write_recipe(run.read_recipe(), folder / recipe)
        cards.append(TeacherCard(name=run.path.name, sha256=teacher.sha256, recipe=recipe))
    return tuple(cards)


def _fill(run: Run, record: RunRecord, recipe: Recipe, folder: Path, keep: Sequence[Kept]) -> dict[str, FileFacts]:
    """Copy the kept files into the folder, and remove earlier files that are not kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for precision in PRECISIONS:
        name = file_name(precision)
        (folder / name).unlink(missing_ok=True)
        if precision in keep:
            shutil.copy(run.path / name, folder / name)
    (folder / WEIGHTS).unlink(missing_ok=True)
    if "weights" in keep:
        save_half(run.load_best(), folder / WEIGHTS)
    # The names of the teachers without their folders, which are paths of the training machine.
    taught = tuple(replace(each, run=f"runs/{Path(each.run).name}") for each in record.teachers)
    Run(folder).write_record(replace(record, teachers=taught))
    _write_recipe(recipe, folder / "recipe.toml")
    shutil.copy(run.metrics, folder / run.metrics.name)
    names = [*map(file_name, PRECISIONS), WEIGHTS, "recipe.toml", "run.json", run.metrics.name]
    return {name: facts_of(folder / name) for name in names if (folder / name).is_file()}


def _write_recipe(recipe: Recipe, file: Path) -> None:
    """Write a recipe with the paths of its teachers relative to the root of a checkout."""
    teachers = tuple(f"runs/{Path(each).name}" for each in recipe.train.teachers)
    write_atomically(file, tomli_w.dumps(to_values(replace(recipe, train=replace(recipe.train, teachers=teachers)))))


def _with_former(card: Card, folder: Path) -> Card:
    """The card with latency and robustness of the folder's previous card, if that has the same files."""
    if not (folder / CARD).is_file():
        return card
    try:
        former = read_card(folder)
    except ModelError:  # written in an earlier schema
        return card
    same = {each.sha256 for each in former.measured.values()} == {each.sha256 for each in card.measured.values()}
    return replace(card, latency=former.latency, robustness=former.robustness) if same else card
