"""The limit as a person writes it."""

import pytest

from capsedge.errors import WrongUse
from capsedge.measure.bench.baseline import parse_regression


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("5", 0.05), (" 2.5 % ", 0.025), ("0.5%", 0.005), ("0", 0.0), ("150%", 1.5)]
)
def test_a_limit_is_read_as_a_percentage(text: str, share: float) -> None:
    assert parse_regression(text) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("text", ["", "%", "five", "-5%", "nan", "inf", "1e2", "5%%", "5 10", "\u0665%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match=r"percentage of 0 or more such as 5%, '.*' was given"):
        parse_regression(text)


def test_a_share_without_a_sign_is_asked_back() -> None:
    with pytest.raises(WrongUse, match=r"may be 0\.05% or 5%: write the percent sign"):
        parse_regression("0.05")
