"""The values of a recipe that a fine-tuning may change; needs no torch."""

from collections.abc import Sequence

from capsedge.errors import WrongUse, refuse_text

FIXED = {"train.teachers": "its teacher is the run itself", "routing.kind": "its routing is that of the run"}


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse changes of a recipe that are not for the fine-tuning.

    Args:
        overrides: `section.key=value`, as in `capsedge train --set`.

    Raises:
        WrongUse: One is of another section, or is decided by the compression.
    """
    refuse_text(overrides, "settings")
    for override in overrides:
        if not override.strip().startswith(("train.", "routing.")):
            raise WrongUse(f"expected train.* or routing.* of the fine-tuning, got '{override}'")
        if (key := override.partition("=")[0].strip()) in FIXED:
            raise WrongUse(f"{key} is not for the fine-tuning: {FIXED[key]}")
