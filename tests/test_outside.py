"""A stranger's text neither steers a terminal nor becomes a formula."""

import re
import unicodedata

import pytest

from capsedge.outside import cell, distinct, encodable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("T-shirt, Größe 4, 日本 👍🏽", "T-shirt, Größe 4, 日本 👍🏽"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("می‌خواهم", "می‌خواهم"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31mred", "\\x9b31mred"),
        ("photo\u202egnp.exe", "photo\\u202egnp.exe"),
        ("a\rb\x08\x07\x00", "a\\rb\\x08\\x07\\x00"),
        ("lone \udcff", "lone \\udcff"),
    ],
)
def test_what_steers_a_terminal_is_written_as_its_code(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_or_direction_character_is_left_of_all_there_are() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {each for each in printable(every) if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert left == {"\n", "\t", "\u200c", "\u200d"}


def test_a_text_of_any_bytes_has_its_own_name_from_which_it_comes_back() -> None:
    texts = [
        "a.png",
        "C:\\photos\\u\\a.png",
        "\udcff.png",
        "\udcfe.png",
        r"\udcff.png",
        r"\\udcff.png",
        "\\\udcff.png",
        "größe\ud800",
        r"größe\ud800",
    ]
    names = [distinct(text) for text in texts]
    assert names[:3] == ["a.png", "C:\\photos\\u\\a.png", r"\udcff.png"]
    assert len({*names}) == len(texts)
    assert all(encodable(name) == name for name in names)
    code = re.compile(r"\\(\\|u(d[89a-f]..))")  # the way back of docs/images.md
    for text, name in zip(texts, names, strict=True):
        escaped = re.search(r"\\ud[89a-f]", name)
        assert text == (code.sub(lambda each: chr(int(each[2], 16)) if each[2] else "\\", name) if escaped else name)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "bag", "0.5", "a=b", "größer"])
def test_other_cells_stay(text: str) -> None:
    assert cell(text) == text
