"""Images with their classes, before any is decoded: what a folder or a list of images is read into."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from capsedge.data.remark import Remark
from capsedge.plural import plural, quoted

Part = Literal["train", "validation", "test"]

# Names of parts, in any case: folders, and values of the part column of a list.
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        path: Path of the file.
        name: The path relative to the folder or the list, with forward slashes.
        label: Name of its class.
        part: Part given by the user; None if capsedge chooses it.
        group: Images with the same text stay in one part; "" for no group.
    """

    path: Path
    name: str
    label: str
    part: Part | None = None
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a folder or a list.

    Attributes:
        place: The folder or list.
        items: All images, sorted by name.
        remarks: What was skipped.
    """

    place: Path
    items: list[Item]
    remarks: list[Remark] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({item.label for item in self.items}))

    def of(self, part: Part | None) -> list[Item]:
        """Images of a part."""
        return [item for item in self.items if item.part == part]


def few(names: Sequence[str | tuple[str, str]], what: str, several: str = "") -> str:
    """A count with the first names: `3 broken links ('a.png', 'b.png', ...)`.

    Args:
        names: All names; a pair is a copy and its original, `'a.png' of 'b.png'`.
        what: Noun for one of them.
        several: Noun for several; "" for the plural of `what`.
    """
    told = [name if isinstance(name, str) else "' of '".join(name) for name in names[:3]]
    shown = quoted(told) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {plural(len(names), what, several)} ({shown})"
