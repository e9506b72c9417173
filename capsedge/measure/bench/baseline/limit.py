"""How much slower is still good, as a person writes it."""

import re

from capsedge.errors import WrongUse


def parse_regression(text: str) -> float:
    """Read a limit in percent: `5%` and `5` are 0.05.

    Raises:
        WrongUse: It is no percentage, or a share such as `0.05` that might mean 5 % or 0.05 %.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text, re.ASCII)
    if found is None:
        raise WrongUse(f"a regression is a percentage of 0 or more such as 5%, '{text}' was given")
    number, sign = float(found[1]), found[2]
    if 0 < number < 1 and not sign:
        raise WrongUse(f"a regression of '{text}' may be {text}% or {100 * number:g}%: write the percent sign")
    return number / 100
