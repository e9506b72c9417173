"""What does not fit: the name, what is expected, what was given; recipes have more of it (test_recipe)."""

from typing import Annotated

import pytest
from msgspec import Meta

from capsedge.misfit import misfit

Small = Annotated[int, Meta(ge=1, le=9)]


def test_nothing_is_said_of_what_fits() -> None:
    assert misfit(3, Small, "side") == ""


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (10, "side: expected an integer from 1 to 9, got 10"),
        ("three", "side: expected an integer from 1 to 9, got 'three'"),
        (None, "side: expected an integer from 1 to 9, got nothing"),
        ("x" * 80, f"side: expected an integer from 1 to 9, got '{'x' * 56}..."),
    ],
)
def test_a_misfit_is_told_with_what_was_given(value: object, told: str) -> None:
    assert misfit(value, Small, "side") == told


def test_of_a_long_list_only_the_item_that_does_not_fit_is_shown() -> None:
    assert misfit([*[1] * 99, 0], tuple[Small, ...], "sides") == (
        "sides: expected a list in which each is an integer from 1 to 9, got 0"
    )
