"""Text that a stranger may have written (names in files, paths, classes), made safe for where it is shown."""

import unicodedata

_KEPT = "\n\t"
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that steer a terminal, turn the direction of text, or are not seen."""

_JOINERS = "\u200c\u200d"  # which Persian, Indic scripts and emoji are written with

# What spreadsheet programs take for the start of a formula (owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""Text for a terminal: what would steer it is written as its code, such as `\x1b` or `\u202e`.

    Line breaks and tabs stay; see `one_line`.
    """
    if text.isprintable():
        return text
    return "".join(each if _is_plain(each) else _code(each) for each in text)


def one_line(text: str) -> str:
    r"""A name for a terminal, a table or a page: as `printable`, and a line break is written `\n`."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def cell(text: str) -> str:
    """Text for a cell of a CSV file: an apostrophe goes before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_plain(character: str) -> bool:
    return character in _KEPT or character in _JOINERS or unicodedata.category(character) not in _UNSEEN


def _code(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
