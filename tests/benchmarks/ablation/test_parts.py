"""The variants of a recipe: what each changes, and what it costs."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation.cost import cost_of
from benchmarks.ablation.parts import AT_NANOS_COST, VARIANTS, variants
from benchmarks.ablation.study import StudyVariant, UntestedTrainer
from capsedge.models import build_network
from capsedge.recipe import Recipe, load_recipe, to_values

SETTINGS = ("data.shift=1", "train.epochs=12")


def cases_of(*settings: str, network: str = "edge-nano", teachers: tuple[Path, ...] = ()) -> dict[str, StudyVariant]:
    return {case.name: case for case in variants(network, settings, teachers, data="fashion-mnist")}


def changed(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    one, other = to_values(recipe), to_values(base)
    return {
        f"{part}.{key}": value
        for part, values in one.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if value != other[part][key]
    }


def test_each_variant_changes_one_thing() -> None:
    base, another, *others = cases_of(*SETTINGS).values()

    assert (base.name, base.recipe) == ("base", load_recipe("edge-nano", SETTINGS, data="fashion-mnist"))
    assert changed(another.seeded(2), base.seeded(2)) == {"train.seed": 1002}
    for case in others:
        found = changed(case.recipe, base.recipe)
        assert [each.partition("=")[0] for each in case.changes] == list(found)
        assert len(found) == (2 if case.name in AT_NANOS_COST else 1)
        assert case.recipe.train.seed == base.recipe.train.seed
    assert {case.trainer for case in (base, another, *others)} == {UntestedTrainer}


@pytest.mark.parametrize(("settings", "left_out"), [(("data.shift=2",), "shift-2"), ((), "shift-1")])
def test_what_the_base_has_is_no_variant(settings: tuple[str, ...], left_out: str) -> None:
    names = {*cases_of(*settings)}

    assert {*VARIANTS} - names == {left_out, "no-flip", "plain"}


def test_a_teacher_is_told_by_the_name_of_its_folder_alone(tmp_path: Path) -> None:
    teacher = cases_of(*SETTINGS, teachers=(tmp_path / "edge-small",))["teacher"]

    assert teacher.recipe.train.teachers == (str(tmp_path / "edge-small"),)
    assert teacher.changes == ("train.teachers=edge-small",)


def test_other_stems_at_nanos_cost_have_no_more_than_nano_may_have() -> None:
    """100,000 parameters and a million products (docs/decisions/0022-stems.md)."""
    for name, case in cases_of().items():
        if name in AT_NANOS_COST:
            network = build_network(case.recipe, classes=10, shape=(28, 28, 1))
            cost = cost_of(network, case.recipe, (28, 28, 1), classes=10)
            assert 80_000 < cost.parameters <= 100_000
            assert 900_000 < cost.macs <= 1_000_000
    assert not {*AT_NANOS_COST} & {*cases_of(network="edge-small")}
