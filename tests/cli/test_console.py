"""A stranger's text cannot steer the terminal, in a line or in a table."""

import pytest

from capsedge.cli import console
from capsedge.cli.tables import Column, print_rows, print_table

HOSTILE = "bag\x1b[2J\x9b31m\u202egnp"
SHOWN = "bag\\x1b[2J\\x9b31m\\u202egnp"


def test_a_line_a_table_and_a_description_show_codes(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(f"note: {HOSTILE}")
    console.next_command("capsedge", "infer", HOSTILE)
    print_table([Column("class", [HOSTILE]), Column(HOSTILE, ["0.5"], numeric=True)])
    print_rows(HOSTILE, [("name", HOSTILE)])

    out, err = capsys.readouterr()
    assert out.replace("\n", " ").count(SHOWN) == 4
    assert err.count(SHOWN) == 2
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert not {"\x9b", "\u202e"} & set(err)
    assert "\x1b[2J" not in err
