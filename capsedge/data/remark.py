"""Remarks about images: what was skipped or changed, and what can be misleading."""

from typing import Literal

import msgspec

DataCode = Literal[
    "array-skipped",
    "broken-images",
    "broken-links",
    "copies",
    "copies-in-two-classes",
    "copies-in-two-parts",
    "even-background",
    "few-images",
    "files-missing",
    "files-skipped",
    "files-without-label",
    "fitted",
    "folder-empty",
    "folder-inside",
    "folder-skipped",
    "folders-unreadable",
    "grey-among-colour",
    "groups",
    "held-out",
    "images-outside",
    "lacking-classes",
    "links",
    "list-skipped",
    "made-grey",
    "part-skipped",
    "small-validation",
    "uneven-classes",
]


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """A remark about the images of a data set.

    Attributes:
        code: For programs; docs/images.md lists all codes.
        text: The remark in words.
        numbers: Its figures by name, mostly numbers of images or files.
    """

    code: DataCode
    text: str
    numbers: dict[str, float] = {}


def remark(code: DataCode, text: str, **numbers: float) -> Remark:
    """Make a remark.

    Args:
        code: See `Remark`.
        text: See `Remark`.
        numbers: See `Remark`.
    """
    return Remark(code=code, text=text, numbers=numbers)
