"""What is said about how often a training draws each class."""

import numpy as np
import pytest

from capsedge.data.balance import about_balance


@pytest.mark.parametrize(
    ("counts", "balance", "said"),
    [
        (
            (3, 1),
            True,
            "classes are drawn as they are, since none has over 3 times the images of another (data.balance)",
        ),
        ((3, 1), False, ""),
        ((4, 1), True, "every class is drawn equally often, since one has over 3 times the images of another "),
        ((4, 1), False, "classes are drawn as they are; data.balance=true draws every class equally often"),
    ],
)
def test_it_is_told_whether_the_classes_are_balanced(counts: tuple[int, int], balance: bool, said: str) -> None:
    assert about_balance(np.repeat([0, 1], counts), balance=balance).startswith(said)
    assert bool(about_balance(np.repeat([0, 1], counts), balance=balance)) == bool(said)
