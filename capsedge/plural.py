"""Singular and plural of words beside a number: 1 image, 2 images."""


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
