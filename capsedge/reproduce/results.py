"""Table II: the test error of every method on every data set, measured and published."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec

from capsedge.data import Dataset
from capsedge.errors import DataError
from capsedge.files import write_atomically
from capsedge.recipe import Recipe
from capsedge.reproduce.cases import PaperMethod, PaperSet, Width, chosen_rows, row_name
from capsedge.reproduce.published import KIND_NOT_NAMED, PUBLISHED
from capsedge.reproduce.trainings import (
    TrainingSettings,
    full_set_missing,
    is_stand_in,
    load_images,
    train_all,
)
from capsedge.statistics import MeanSpread, mean_and_spread, standard_error
from capsedge.training import Run

Tell = Callable[["TableRow"], None]


class TableRow(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one data set.

    Attributes:
        name: `data set/method`, as in --only.
        data: The data set's title.
        method: The method's label in the paper.
        status: `measured`, `no data`, or `waiting` for its training.
        published_percent: The paper's test error; None if it gives none.
        seeds: Seeds of the finished trainings.
        errors: Test error of each seed, 0 to 1.
        error: Their mean and spread.
        standard_error: Standard error of one of those errors, for the number of test images.
        epochs: Epochs of each training.
        recipe_epochs: Epochs of the shipped recipe.
        runs: The run folders.
        note: A note on the numbers.
    """

    name: str
    data: str
    method: str
    status: Literal["measured", "no data", "waiting"]
    published_percent: float | None
    seeds: tuple[int, ...] = ()
    errors: tuple[float, ...] = ()
    error: MeanSpread | None = None
    standard_error: float | None = None
    epochs: int = 0
    recipe_epochs: int = 0
    runs: tuple[str, ...] = ()
    note: str = ""

    @property
    def shortened(self) -> bool:
        """Whether the trainings had fewer epochs than the shipped recipe."""
        return self.epochs < self.recipe_epochs


class Table2(msgspec.Struct, frozen=True, kw_only=True, tag="table2", tag_field="kind"):
    """The whole table.

    Attributes:
        width: Width of all networks.
        changes: Values of the recipes that were changed (`--set`).
        rows: In the order of the paper.
        data: Description of each measured data set, with its numbers of images.
        missing: For each missing data set, how to get it.
    """

    width: Width
    changes: tuple[str, ...]
    rows: tuple[TableRow, ...]
    data: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def table2(settings: TrainingSettings, out: Path, *, only: Sequence[str] = (), tell: Tell = lambda _: None) -> Table2:
    """Train every row whose data is available, or reuse finished runs.

    Args:
        settings: Settings of all trainings. With `data`, the table has that data set alone.
        out: The folder of `table2.json`, which is written after every training.
        only: Rows to train, as `data set`, `data set/method`, or a pattern such as `*/l2-fc`; empty for all.
        tell: Called with the updated row after each of its trainings.

    Returns:
        The table; without `data`, rows whose data is missing have the status `no data`.

    Raises:
        DataError: The data of `settings` is missing or damaged.
        WrongUse: A filter matches no row, or a run of that name has another recipe.
        Interrupted: The training was stopped; the same call resumes.
    """
    chosen = chosen_rows(settings.data, only)
    table = Table2(width=settings.width, changes=settings.overrides, rows=tuple(_waiting(*each) for each in chosen))
    for data, group in groupby(chosen, key=lambda each: each[0]):
        methods = [method for _, method in group]
        try:
            dataset = load_images(_recipe(settings, data, methods[0], settings.seeds[0]), fetch=settings.download)
            if is_stand_in(dataset, data):
                raise full_set_missing(data)
        except DataError as error:
            if settings.data is not None:
                raise
            table = _without(table, data, str(error))
            continue
        table = msgspec.structs.replace(table, data=(*table.data, dataset.description))
        for row in _measured(settings, data, methods, dataset):
            table = _with(table, row)
            _save(table, out)
            tell(row)
    _save(table, out)
    return table


def _waiting(data: PaperSet, method: PaperMethod) -> TableRow:
    published = PUBLISHED.get(data.name, {}).get(method.name)  # a user's data set never has a name of the paper's
    return TableRow(
        name=row_name(data, method),
        data=data.title,
        method=method.label,
        status="waiting",
        published_percent=published,
        note=KIND_NOT_NAMED if data.name == "multi-mnist" and method.name in ("l2", "l1") else "",
    )


def _recipe(settings: TrainingSettings, data: PaperSet, method: PaperMethod, seed: int) -> Recipe:
    return settings.recipe(data, method.kind, seed=seed, decoder=method.decoder)


def _measured(
    settings: TrainingSettings, data: PaperSet, methods: Sequence[PaperMethod], dataset: Dataset
) -> Iterator[TableRow]:
    """The row of each method after each of its seeds; all methods are trained with one seed before the next seed."""
    cells = [(method, seed) for seed in settings.seeds for method in methods]
    recipes = [_recipe(settings, data, method, seed) for method, seed in cells]
    done: dict[str, list[Run]] = {method.name: [] for method in methods}
    for (method, _), (recipe, run) in zip(cells, train_all(settings, data, dataset, recipes), strict=True):
        done[method.name].append(run)
        yield _row(settings, data, method, recipe, done[method.name])


def _row(
    settings: TrainingSettings, data: PaperSet, method: PaperMethod, recipe: Recipe, runs: Sequence[Run]
) -> TableRow:
    scores = [next(score for score in run.read_record().scores if score.split == "test") for run in runs]
    errors = tuple(score.error for score in scores)
    error = mean_and_spread(errors)
    return msgspec.structs.replace(
        _waiting(data, method),
        status="measured",
        seeds=settings.seeds[: len(runs)],
        errors=errors,
        error=error,
        standard_error=standard_error(error.mean, scores[0].images),
        epochs=recipe.train.epochs,
        recipe_epochs=settings.recipe_epochs(data, recipe),
        runs=tuple(str(run.path) for run in runs),
    )


def _with(table: Table2, row: TableRow) -> Table2:
    rows = tuple(row if row.name == old.name else old for old in table.rows)
    return msgspec.structs.replace(table, rows=rows)


def _without(table: Table2, data: PaperSet, reason: str) -> Table2:
    """The table with the rows of a data set marked as missing."""
    mark = {row.name: msgspec.structs.replace(row, status="no data") for row in table.rows if row.data == data.title}
    rows = tuple(mark.get(row.name, row) for row in table.rows)
    return msgspec.structs.replace(table, rows=rows, missing=(*table.missing, f"{data.title}: {reason}"))


def _save(table: Table2, out: Path) -> None:
    write_atomically(out / "table2.json", msgspec.json.format(msgspec.json.encode(table)))
