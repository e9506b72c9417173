"""One image, two images: numbers with their nouns."""


def plural(count: int, one: str, several: str = "") -> str:
    """The word that stands with a number.

    Args:
        count: The number.
        one: The word for one, such as `image`, `class` or `takes`.
        several: For any other number, such as `take`; "" for the same as a plural noun.
    """
    if count == 1:
        return one
    return several or f"{one}{'es' if one.endswith(('s', 'tch')) else 's'}"


def number_of(count: int, one: str) -> str:
    """A number with its noun: `1 image`, `2,000 images`, `3 classes`."""
    return f"{count:,} {plural(count, one)}"
