"""The layout of tables: what folds, what is left out, what stays whole."""

import pytest

from capsedge.cli import console
from capsedge.cli.tables import Column, Row, fitted, print_rows, print_table

COLUMNS = [
    Column("name", ["primary capsules", "x"]),
    Column("us", ["12,345.6", "1.0"], numeric=True),
    Column("MB", ["0.123", ""], numeric=True, optional=1),
    Column("recorded", ["12,345.6", "1.0"], numeric=True, optional=2),
]


@pytest.mark.parametrize(
    ("width", "shown", "widths"),
    [
        (80, ["name", "us", "MB", "recorded"], [16, 8, 5, 8]),
        (34, ["name", "us", "MB", "recorded"], [9, 8, 5, 8]),  # 30 characters and 4 between them
        (32, ["name", "us", "MB"], [16, 8, 5]),
        (20, ["name", "us"], [10, 8]),
    ],
)
def test_words_fold_before_a_column_is_left_out_and_the_least_important_goes_first(
    width: int, shown: list[str], widths: list[int]
) -> None:
    columns, found = fitted(COLUMNS, width)

    assert [column.title for column in columns] == shown
    assert found == widths


def test_columns_that_are_left_out_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 24)
    print_table(COLUMNS)
    assert "not shown in 24 columns: MB, recorded" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(console.out, "_width", 80)
    print_table(COLUMNS)
    assert "not shown" not in capsys.readouterr().out


def test_a_line_break_in_a_cell_is_a_space_where_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    column = Column("change", ["+0.12\n(-0.30 to +0.54)"], numeric=True)
    for width, said in ((40, "+0.12 (-0.30 to +0.54)"), (20, "(-0.30 to +0.54)")):
        monkeypatch.setattr(console.out, "_width", width)
        print_table([column])
        assert said in [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_a_value_that_is_to_be_copied_is_never_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 40)
    path = "a folder with spaces/and another one/my model.onnx"
    print_rows("Title", [("size", "243 kB"), Row("file", path, whole=True), ("note", "words " * 9)])
    _, size, file, *note = capsys.readouterr().out.splitlines()
    assert size.index("243") == file.index(path) == note[0].index("words")
    assert file.endswith(path)
    assert len(note) > 1


def test_wide_letters_count_twice() -> None:
    assert fitted([Column("name", ["衬衫"])], 80)[1] == [4]
