"""Remarks about an evaluation: skipped images, assumptions, and other reasons for caution."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from capsedge.data.remark import DataCode, Remark

EvalCode = Literal[
    DataCode,
    "assumed-background",
    "assumed-classes",
    "assumed-fit",
    "assumed-pixels",
    "exchanged",
    "fitted-to-other",
    "not-finite",
    "trained-on",
]


class EvalRemark(msgspec.Struct, frozen=True, kw_only=True):
    """A remark about the images or the model of an evaluation.

    Attributes:
        code: For programs; docs/images.md lists all codes.
        text: The remark in words.
        numbers: Its figures by name, mostly numbers of images or files.
        model: Name of the other model of a comparison, if the remark is about that one; else "".
    """

    code: EvalCode
    text: str
    numbers: dict[str, float] = {}
    model: str = ""

    def of(self, model: str) -> "EvalRemark":
        """The same remark about the other model of a comparison."""
        return msgspec.structs.replace(self, text=f"{model}: {self.text}", model=model)


def eval_remark(code: EvalCode, text: str, **numbers: float) -> EvalRemark:
    """Make a remark.

    Args:
        code: See `EvalRemark`.
        text: See `EvalRemark`.
        numbers: See `EvalRemark`.
    """
    return EvalRemark(code=code, text=text, numbers=numbers)


def of_data(remarks: Iterable[Remark]) -> tuple[EvalRemark, ...]:
    """The remarks about a data set, for an evaluation on it."""
    return tuple(EvalRemark(code=each.code, text=each.text, numbers=each.numbers) for each in remarks)
