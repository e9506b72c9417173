"""Numbers and names in sentences: 2,000 images, with the singular or plural of the word; names in quotes."""

from collections.abc import Iterable


def plural(count: int, one: str, several: str = "") -> str:
    """Choose the singular or the plural of a word by a number.

    Args:
        count: The number.
        one: The word for 1, such as `image`, `class` or `takes`.
        several: The word for other numbers, such as `take`; "" forms the plural of the noun `one`.
    """
    if count == 1:
        return one
    return several or f"{one}{'es' if one.endswith(('s', 'tch')) else 's'}"


def number_of(count: int, one: str) -> str:
    """A number with its noun: `1 image`, `2,000 images`, `3 classes`."""
    return f"{count:,} {plural(count, one)}"


def amount(value: float, digits: int = 12) -> str:
    """A number without trailing zeros, and without an exponent up to 12 digits: `0.5`, `1,000,000`.

    Args:
        value: The number.
        digits: Significant digits that it is rounded to.
    """
    return f"{float(f'{value:.{digits}g}'):,.12g}"


def quoted(names: Iterable[object]) -> str:
    """Names of files and the like in a sentence: `'a.png', 'b.png'`."""
    return ", ".join(f"'{name}'" for name in names)
