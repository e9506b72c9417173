"""Tables that stay readable on a narrow terminal: columns go or fold between words, and no number is cut."""

from collections.abc import Iterable, Sequence

LONGEST_WHOLE = 16  # letters of a word that is kept in one piece; a path may fold anywhere
NARROW = 72  # columns of a terminal, below which the columns that matter least are left out


def longest_word(texts: Iterable[str]) -> int:
    """The width that a column needs so that its cells fold between words only."""
    return max((len(word) for text in texts for word in text.split()), default=0)


def widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """The widths of columns that fold between words where there is not room enough.

    rich folds the widest column first, also within a word, and leaves room in others.

    Args:
        columns: Title and cells of each.
        room: What all columns may take together, without what is between them.
    """
    found = [max(map(len, texts)) for texts in columns]
    least = [min(longest_word(texts), LONGEST_WHOLE) for texts in columns]
    for _ in range(sum(found) - room):
        widest = max(range(len(found)), key=lambda each: found[each] - least[each])
        found[widest] -= found[widest] > least[widest]
    return found
