"""Predictions as text."""

import sys

import pytest

from capsedge.cli.screens.infer import Table, Tally
from capsedge.runtime.infer.classify import Broken, Guess, Prediction


def prediction(path: str, name: str | None = "Coat", **more: object) -> Prediction:
    return Prediction(path, name, 0.5, (Guess("Dress", 0.25),), **more)  # type: ignore[arg-type]


def test_rows_are_printed_page_by_page_and_columns_only_grow(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(page=2)
    table.add(prediction("long-name.png"))
    assert capsys.readouterr().out == ""
    table.add(prediction("b.png"))
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header == "  file           class  length  next best"
    assert set(rule) == {"─"}
    assert rows == ["  long-name.png  Coat   0.500   Dress 0.250", "  b.png          Coat   0.500   Dress 0.250"]
    table.add(prediction("c.png"))
    table.flush()
    assert capsys.readouterr().out == "  c.png          Coat   0.500   Dress 0.250\n"


def test_several_classes_no_class_and_an_inverted_image_can_be_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(page=4)
    table.add(prediction("a.png", also=(Guess("Bag", 0.4),)))
    table.add(prediction("b.png", None))
    table.add(prediction("c.png", inverted=True))
    table.add(prediction("d.png", inverted=True, unlike=True))
    header, _, *lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert header.index("next best") == lines[0].index("Dress") == lines[3].index("Dress")
    assert lines[2].index("(inverted)") == lines[3].index("(inverted")
    assert rows[0] == ["a.png", "Coat,", "Bag", "0.500,", "0.400", "Dress", "0.250"]
    assert rows[1] == ["b.png", "-", "-", "Dress", "0.250"]
    assert rows[2] == ["c.png", "Coat", "0.500", "Dress", "0.250", "(inverted)"]
    assert " ".join(rows[3][5:]) == "(inverted, unlike the training images)"


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Table(page=1).add(prediction("a\x1b[2J\nb.png", "Co\rat"))
    said = capsys.readouterr().out
    assert r"a\x1b[2J\nb.png" in said
    assert r"Co\rat" in said
    assert len(said.splitlines()) == 3


def test_many_images_are_summed_up_in_one_line_and_few_are_not() -> None:
    tally = Tally()
    for index in range(20):
        tally.add(prediction(f"{index}.png", "Bag" if index % 4 else "Coat", inverted=index == 1))
    assert tally.summary() == ""
    tally.add(Broken("x.png", "broken"))
    tally.add(prediction("y.png", None))
    tally.add(prediction("z.png", also=(Guess("Bag", 0.4),)))
    assert tally.summary() == "23 images: Bag 15, Coat 5, no class 1, Coat + Bag 1, 1 inverted, 1 broken"
    assert (tally.images, tally.broken) == (23, 1)


def test_the_rarest_of_many_classes_are_summed_up_as_others() -> None:
    tally = Tally()
    for index in range(1300):
        tally.add(prediction("x.png", f"class {index % 13}"))
    assert tally.summary().startswith("1,300 images: class 0 100, ")
    assert tally.summary().endswith(", class 9 100, others 300")


@pytest.mark.parametrize(("columns", "longest"), [(40, 40), (400, 54)])
def test_the_rule_is_no_longer_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, longest: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Table(page=1).add(prediction("a-name-of-24-letters.png"))

    (rule,) = (line for line in capsys.readouterr().out.splitlines() if set(line) == {"─"})
    assert len(rule) == longest


@pytest.mark.parametrize(
    ("strange", "usual", "broken", "doubted", "unreliable"),
    [(2, 2, 3, True, True), (1, 2, 0, False, False), (1, 0, 0, False, True), (0, 0, 1, False, False)],
)
def test_a_network_that_is_no_judge_of_most_images_is_doubted(
    strange: int, usual: int, broken: int, doubted: bool, unreliable: bool
) -> None:
    tally = Tally()
    for unlike in [True] * strange + [False] * usual:
        tally.add(prediction("a.png", unlike=unlike))
    for _ in range(broken):
        tally.add(Broken("b.png", "it is empty"))
    assert bool(tally.warning()) is doubted
    assert tally.unreliable is unreliable
    if doubted:
        assert tally.warning().startswith("2 of 4 images are unlike the training images")


def test_a_narrow_terminal_gets_the_file_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table = Table(page=1)
    table.add(prediction("a.png"))
    table.add(prediction("photographs/of-the-summer/number-0123.png"))

    first, second = "photographs/of-the-summer/number-0123.png", "Coat   0.500   Dress 0.250"
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["  a.png  Coat   0.500   Dress 0.250", f"  {first}", f"    {second}"]
    assert max(map(len, lines)) <= 60

    Table(page=1).add(prediction(first))
    assert capsys.readouterr().out.splitlines()[:2] == ["  file", "    class  length  next best"]

    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    Table(page=1).add(prediction(first))
    assert capsys.readouterr().out.splitlines()[2] == f"  {first}  {second}"
