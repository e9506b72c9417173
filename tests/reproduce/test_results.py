"""Table II: which rows are trained, what they say, and what is said of data that is not here."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from capsedge.errors import Interrupted, WrongUse
from capsedge.reproduce import table2
from capsedge.reproduce.results import Table2, TableRow
from capsedge.training import Run, lengths_of
from tests.reproduce.conftest import MakeSettings, Watched


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no data set but what ships with capsedge."""
    monkeypatch.setattr("capsedge.data.known.SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CAPSEDGE_DATA", raising=False)


def test_a_row_holds_the_test_error_of_each_seed_s_best_weights(make_settings: MakeSettings, tmp_path: Path) -> None:
    table = table2(make_settings(seeds=(0, 1)), tmp_path, only=["*/l2-fc"])
    (row,) = table.rows
    errors = []
    for path in row.runs:
        run = Run(Path(path))
        dataset = run.load_dataset()
        network = run.load_best()
        device = next(network.parameters()).device
        answers = lengths_of(network, dataset.test, device).numpy().argmax(axis=1)
        errors.append(float(np.mean(answers != dataset.test.labels)))
    assert row.errors == pytest.approx(errors)
    assert row.error is not None
    assert row.error.mean == pytest.approx(sum(errors) / 2)
    assert row.error.spread == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)
    assert row.standard_error == pytest.approx((row.error.mean * (1 - row.error.mean) / 1000) ** 0.5)
    assert (row.name, row.method, row.seeds) == ("fashion-mnist-subset/l2-fc", "L2/FC", (0, 1))
    assert (row.epochs, row.recipe_epochs, row.shortened) == (1, 10, True)
    assert row.published_percent is None  # these are not the paper's images


def test_rows_with_a_decoder_have_one_and_the_others_none(make_settings: MakeSettings, tmp_path: Path) -> None:
    table = table2(make_settings(), tmp_path)
    recipes = {row.method: Run(Path(row.runs[0])).read_recipe() for row in table.rows}
    assert list(recipes) == ["DR", "L2", "L1", "L2/FC", "L1/FC"]
    assert {label: bool(recipe.network.decoder) for label, recipe in recipes.items()} == {
        "DR": True, "L2": True, "L1": True, "L2/FC": False, "L1/FC": False,
    }  # fmt: skip
    assert [recipe.routing.kind for recipe in recipes.values()] == ["dynamic", "l2", "l1", "l2", "l1"]


@pytest.mark.usefixtures("bare")
def test_data_that_is_not_here_is_told_of_with_how_to_get_it(make_settings: MakeSettings, tmp_path: Path) -> None:
    watched = Watched()
    table = table2(make_settings(data=None, watch=watched), tmp_path)
    assert {row.status for row in table.rows} == {"no data"}
    assert watched.titles == []
    titles = [
        "MNIST",
        "Fashion-MNIST",
        "CIFAR-10",
        "MultiMNIST",
        "overlapped Fashion-MNIST (stand-in for MultiMNIST)",
    ]
    assert [line.partition(":")[0] for line in table.missing] == titles
    assert all("--download" in line for line in table.missing)
    published = {row.name: row.published_percent for row in table.rows}
    assert len(published) == 5 + 5 + 3 + 3 + 3
    assert (published["cifar-10/l1-fc"], published["multi-fashion-mnist/l2"]) == (14.04, None)


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["fashion-mnist/l2"], ["fashion-mnist/l2"]),
        (["Fashion-MNIST/DR".lower(), "mnist/l1-fc"], ["mnist/l1-fc", "fashion-mnist/dr"]),
        (["cifar-10"], ["cifar-10/dr", "cifar-10/l2-fc", "cifar-10/l1-fc"]),
        (["multi-*/dr"], ["multi-mnist/dr", "multi-fashion-mnist/dr"]),
    ],
)
@pytest.mark.usefixtures("bare")
def test_filters_choose_rows(only: list[str], names: list[str], make_settings: MakeSettings, tmp_path: Path) -> None:
    table = table2(make_settings(data=None), tmp_path, only=only)
    assert [row.name for row in table.rows] == names


def test_a_filter_that_fits_nothing_is_wrong_use(make_settings: MakeSettings, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"--only 'cifar-10/l2' matches no row: there are: mnist/dr, .*cifar-10/l2-fc"):
        table2(make_settings(data=None), tmp_path, only=["cifar-10/l2"])


def test_a_stopped_table_goes_on_where_it_was(make_settings: MakeSettings, tmp_path: Path) -> None:
    rows = ["*/l2-fc", "*/l1-fc"]
    with pytest.raises(Interrupted):
        table2(make_settings(watch=Watched("-l1-", after=2)), tmp_path, only=rows)
    kept = msgspec.json.decode((tmp_path / "table2.json").read_bytes(), type=Table2)
    assert [row.status for row in kept.rows] == ["measured", "waiting"]
    again = Watched()
    told: list[TableRow] = []
    table = table2(make_settings(watch=again), tmp_path, only=rows, tell=told.append)
    assert [row.status for row in table.rows] == ["measured"] * 2
    assert table.rows[0] == kept.rows[0]
    assert [row.method for row in told] == ["L2/FC", "L1/FC"]
    assert len(again.titles) == 1
    assert msgspec.json.decode((tmp_path / "table2.json").read_bytes(), type=Table2) == table


def test_of_several_seeds_every_method_has_its_first_before_any_has_its_second(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    watched = Watched()
    table2(make_settings(watch=watched, seeds=(3, 4)), tmp_path, only=["*/l2-fc", "*/l1-fc"])
    assert [title.split()[0][-1] for title in watched.titles] == ["3", "3", "4", "4"]
