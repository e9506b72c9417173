"""Options given several times, in all commands."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from capsedge.cli.app import COMMANDS, application
from tests.cli.conftest import one_line
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


def every_option() -> Iterator[tuple[str, Any]]:
    """Each option of each command, with the command's words."""
    top: Any = typer.main.get_command(application(COMMANDS))
    for name, command in top.commands.items():
        inner = {f"{name} {sub}": each for sub, each in getattr(command, "commands", {}).items()}
        for words, each in (inner or {name: command}).items():
            for option in each.params:
                if option.param_type_name == "option":
                    yield words, option


OPTIONS = list(every_option())
SINGLE = [(words, each) for words, each in OPTIONS if not each.multiple and not each.is_flag]
PAIRS = [(words, each) for words, each in OPTIONS if each.secondary_opts]


def test_options_of_all_kinds_are_found() -> None:
    assert {"train", "bench", "reproduce fig3"} <= {words for words, _ in SINGLE}
    assert len(SINGLE) > 80
    assert {each.name for _, each in PAIRS} == {"spinning", "io_binding", "cuda_graph", "roofline"}


def test_an_option_of_one_value_is_refused_when_it_is_given_twice(capsedge: Capsedge) -> None:
    for words, option in SINGLE:
        name = max(option.opts, key=len)
        line = one_line(capsedge(*words.split(), option.opts[-1], "1", f"{name}=2"), 2)
        assert line == f"capsedge: expected {name} at most once, got it 2 times: give it once"


def test_help_is_shown_beside_an_option_that_is_given_twice(capsedge: Capsedge) -> None:
    done = capsedge("show", "--html", "a.html", "--html", "b.html", "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: capsedge show" in done.stdout


def test_a_switch_is_not_both_on_and_off(capsedge: Capsedge) -> None:
    for words, option in PAIRS:
        on, off = option.opts[0], option.secondary_opts[0]
        line = one_line(capsedge(words, on, off), 2)
        assert line == f"capsedge: expected {on} or {off} at most once, got it 2 times: give it once"


def test_lists_and_plain_flags_may_be_repeated(capsedge: Capsedge) -> None:
    done = capsedge("recipe", "--json", "--set", "train.epochs=3", "--set", "train.epochs=4", "--json")
    assert done.returncode == 0, done.stderr
    assert '"epochs":4' in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("infer a.png --threshold 50%", "'--threshold': expected a number from 0 to 1, got '50%'"),
        ("infer a.png --top 0", "'--top': expected an integer of 1 or more, got '0'"),
        ("bench --max-ratio fast", "'--max-ratio': expected a number of 0 or more, got 'fast'"),
        ("reproduce table2 --seed 1.5", "'--seed': expected an integer, got '1.5'"),
        ("train --threads 1000", "'--threads': expected an integer from 0 to 256, got '1000'"),
    ],
)
def test_a_number_that_is_none_or_out_of_range_says_which_numbers_are_expected(
    words: str, said: str, capsedge: Capsedge
) -> None:
    line = one_line(capsedge(*words.split()), 2)
    assert line.startswith(f"capsedge: invalid value for {said}: see capsedge ")


def test_of_all_numbers_the_error_has_no_formula(capsedge: Capsedge) -> None:
    for words, option in SINGLE:
        if option.type.name.startswith(("int", "float")):
            line = one_line(capsedge(*words.split(), f"{option.opts[0]}=much"), 2)
            assert re.search(
                r": expected an? (integer|number)( from \S+ to \S+| of \S+ or more)?, got 'much': see ", line
            )
