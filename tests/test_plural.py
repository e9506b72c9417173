"""Numbers with their nouns, and that no message of the package has a number with a noun of the wrong kind."""

import re
from pathlib import Path

import pytest

import capsedge
from capsedge.plural import amount, number_of, plural


@pytest.mark.parametrize(
    ("count", "noun", "told"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (2000, "image", "2,000 images"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
        (2, "batch", "2 batches"),
        (2, "epoch", "2 epochs"),
        (5, "other file", "5 other files"),
    ],
)
def test_a_noun_follows_its_number(count: int, noun: str, told: str) -> None:
    assert number_of(count, noun) == told


@pytest.mark.parametrize(
    ("value", "digits", "told"),
    [
        (1e6, 12, "1,000,000"),
        (123456.789, 12, "123,456.789"),
        (0.5, 12, "0.5"),
        (40.0, 12, "40"),
        (1036.4, 3, "1,040"),
    ],
)
def test_a_large_number_has_commas_and_no_exponent(value: float, digits: int, told: str) -> None:
    assert amount(value, digits) == told


def test_a_verb_does_too() -> None:
    assert [plural(count, "takes", "take") for count in (0, 1, 2)] == ["take", "takes", "take"]


def test_no_other_place_makes_its_own_plural() -> None:
    """A count and an s by hand, such as `thread{'s' * (count != 1)}`, is what the helper is for."""
    own = re.compile(r"""\{\s*['"]e?s['"] (\*|if) """)
    package = Path(capsedge.__file__).parent
    found = [
        f"{file.relative_to(package)}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        if file.name != "plural.py"
        for line in file.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    ]
    assert found == []
