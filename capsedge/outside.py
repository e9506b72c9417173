"""Untrusted text (names in files, paths, classes), made safe for terminals, tables and spreadsheets."""

import re
import unicodedata

_CODE = re.compile(r"\\ud[89a-f][0-9a-f]{2}")  # of a lone surrogate
_KEPT = "\n\t"
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode categories of characters that control a terminal, change the direction of text, or are invisible."""

_JOINERS = "\u200c\u200d"  # needed in Persian, Indic scripts and emoji

# Characters that start a formula in spreadsheet programs (owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""Text for a terminal: control and invisible characters are written as codes, such as `\x1b` or `\u202e`.

    Line breaks and tabs stay; see `one_line`.
    """
    if text.isprintable():
        return text
    return "".join(each if _is_plain(each) else _code(each) for each in text)


def one_line(text: str) -> str:
    r"""A name for a terminal, a table or a page: as `printable`, with line breaks and tabs as `\n` and `\t`."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def encodable(text: str) -> str:
    r"""Text that UTF-8 can encode: bytes of a path that are not UTF-8 are written as codes, such as `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def distinct(text: str) -> str:
    r"""Text that UTF-8 can encode, different for each `text`: `encodable`, where it must be reversible.

    A text with bytes that are not UTF-8 has them as codes, such as `\udcff`, and each of its backslashes twice; and
    so has a text in which such a code is written. docs/images.md has the way back.
    """
    if encodable(text) == text and not _CODE.search(text):
        return text
    return encodable(text.replace("\\", "\\\\"))


def cell(text: str) -> str:
    """Text for a cell of a CSV file, with an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_plain(character: str) -> bool:
    return character in _KEPT or character in _JOINERS or unicodedata.category(character) not in _UNSEEN


def _code(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
