"""The paper's figures against the paper's text."""

from capsedge.reproduce.cases import METHODS, PAPER_SETS
from capsedge.reproduce.published import PUBLISHED

# The lines of Table II as they are printed, in its order of columns: DR, L2, L1, L2/FC, L1/FC.
TABLE_II = """
MNIST 0.34 0.35 0.32 0.35 0.44
Fashion-MNIST 7.21 7.01 6.76 6.75 6.77
CIFAR-10 15.3 - - 14.52 14.04
"""


def test_the_published_errors_are_those_of_table_ii() -> None:
    columns = ["dr", "l2", "l1", "l2-fc", "l1-fc"]
    for line in TABLE_II.split("\n")[1:-1]:
        name, *figures = line.split()
        printed = {column: float(each) for column, each in zip(columns, figures, strict=True) if each != "-"}
        assert PUBLISHED[name.lower()] == printed


def test_multi_mnist_stands_as_the_text_says() -> None:
    """Section IV.B.2: "an evaluation error of 7.54% compared to 7.47% of dynamic routing", no kind named."""
    assert PUBLISHED["multi-mnist"] == {"dr": 7.47, "l2": 7.54, "l1": 7.54}


def test_every_published_figure_has_its_row_and_the_stand_in_has_none() -> None:
    rows = {data.name: set(data.methods) for data in PAPER_SETS}
    assert {name: set(figures) for name, figures in PUBLISHED.items()} == {name: rows[name] for name in PUBLISHED}
    assert set(rows) - set(PUBLISHED) == {"multi-fashion-mnist"}
    assert [method.label for method in METHODS] == ["DR", "L2", "L1", "L2/FC", "L1/FC"]
