"""Which recipe each training of the paper gets, and what its folder is called."""

from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from capsedge.errors import WrongUse
from capsedge.recipe import RoutingKind, load_recipe, shipped_recipes
from capsedge.reproduce.cases import (
    KINDS,
    METHODS,
    PAPER_SETS,
    Width,
    checked_kinds,
    in_words,
    kinds_with_recipes,
    paper_set,
    recipe_of,
    run_name,
)

FASHION = paper_set("fashion-mnist")
WIDTHS: tuple[Width, ...] = get_args(Width)


def test_every_kind_of_routing_has_its_place_in_the_order() -> None:
    assert sorted(KINDS) == sorted(get_args(RoutingKind))


def test_every_row_of_the_table_has_a_shipped_recipe_at_both_widths() -> None:
    methods = {method.name: method for method in METHODS}
    for data, width in product(PAPER_SETS, WIDTHS):
        for name in data.methods:
            recipe = recipe_of(data, methods[name].kind, decoder=methods[name].decoder, width=width)
            assert recipe.routing.kind == methods[name].kind
            assert bool(recipe.network.decoder) == (methods[name].decoder and data.name != "cifar-10")


def test_the_small_width_gets_table_i_s_decoder_where_the_row_has_one() -> None:
    recipe = recipe_of(FASHION, "dynamic", decoder=True, width="small")
    assert (recipe.network.filters, recipe.network.capsule_types) == (64, 8)
    assert recipe.network.decoder == (512, 1024)  # Table I: FC1 and FC2
    assert recipe_of(FASHION, "dynamic", width="small").network.decoder == ()


def test_mnist_without_a_decoder_is_trained_as_section_iv_b_says() -> None:
    """Batches of 32, and a rate that halves every 1000 iterations."""
    train = recipe_of(paper_set("mnist"), "l2", decoder=False).train
    assert (train.batch_size, train.schedule, train.decay, train.decay_steps) == (32, "step", 0.5, 1000)
    for other in (recipe_of(paper_set("mnist"), "l2", decoder=True), recipe_of(FASHION, "l2", decoder=False)):
        assert (other.train.batch_size, other.train.decay) == (128, 0.96)


def test_a_person_s_value_wins_over_the_case_s() -> None:
    recipe = recipe_of(paper_set("mnist"), "l2", decoder=False, overrides=["train.batch_size=64"])
    assert recipe.train.batch_size == 64


def test_nothing_but_seed_and_epochs_is_changed_of_a_recipe_that_is_asked_for_as_it_is() -> None:
    recipe = recipe_of(FASHION, "l1", seed=5, epochs=3)
    assert recipe == load_recipe("fashion-mnist-l1", ["train.seed=5", "train.epochs=3"])


@pytest.mark.parametrize("source", ["fashion-mnist-subset", "12"])
def test_a_data_set_of_one_s_own_is_trained_as_fashion_mnist_is(source: str) -> None:
    """A folder's name can look like a number, which a TOML value must not turn into one."""
    recipe = recipe_of(paper_set(source), "l2")
    assert recipe.data.source == source
    assert recipe.network == load_recipe("fashion-mnist-l2").network


def test_a_folder_that_is_called_like_a_data_set_of_the_paper_is_not_taken_for_it(tmp_path: Path) -> None:
    mine = paper_set(str(tmp_path / "mnist"))
    assert mine.name == "mnist-folder"
    assert mine.source == str(tmp_path / "mnist")


def test_every_training_has_a_folder_of_its_own() -> None:
    names = [
        run_name(
            data, recipe_of(data, method.kind, decoder=method.decoder, width=width, seed=seed), width=width, epochs=n
        )
        for data, width, seed, n in product(PAPER_SETS, WIDTHS, (0, 1), (None, 2))
        for method in METHODS
        if method.name in data.methods
    ]
    assert len(set(names)) == len(names)
    assert "paper-fashion-mnist-l2-fc-small-epochs2-seed1" in names
    assert "paper-multi-mnist-dynamic-seed0" in names


@pytest.mark.parametrize(
    ("override", "instead"),
    [("routing.kind=em", "--kind"), ("data.source=mnist", "--data"), ("train.seed=1", "--seed")],
)
def test_what_an_option_decides_cannot_be_set_otherwise(override: str, instead: str) -> None:
    with pytest.raises(WrongUse, match=f"--set {override.partition('=')[0]} has no effect here: .*{instead}"):
        recipe_of(FASHION, "l2", overrides=[override])


def test_the_decoder_can_be_set_only_where_no_row_decides_it() -> None:
    assert recipe_of(FASHION, "l2", overrides=["network.decoder=[]"]).network.decoder == ()
    with pytest.raises(WrongUse, match=r"--set network\.decoder has no effect here: it is set by the row"):
        recipe_of(FASHION, "l2", decoder=True, overrides=["network.decoder=[]"])


def test_kinds_are_those_with_a_shipped_recipe_in_one_order() -> None:
    known = kinds_with_recipes(FASHION, "small")
    assert {f"fashion-mnist-{kind}-small" for kind in known} <= set(shipped_recipes())
    assert known[:4] == ("dynamic", "l2", "l1", "frozen")
    assert checked_kinds(None, FASHION, "small") == known
    assert checked_kinds(["frozen", "dynamic"], FASHION, "small") == ("dynamic", "frozen")
    with pytest.raises(WrongUse, match=r"--kind: expected dynamic, l2, .*, got 'l3'"):
        checked_kinds(["l3"], FASHION, "small")


def test_titles_say_when_a_training_was_shortened_and_what_was_changed() -> None:
    assert in_words("table1", epochs=2, recipe_epochs=40) == "Table I width, 2 epochs (shortened from 40)"
    assert in_words("table1", epochs=40, recipe_epochs=40) == "Table I width, 40 epochs"
    words = in_words("small", changes=["train.batch_size=8"], decoder=False, epochs=1)
    assert words == "small width, no decoder, train.batch_size=8, 1 epoch"
