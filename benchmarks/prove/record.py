"""What a proof consists of: one record for each thing that was tried, or could not be."""

from typing import Any, Literal

import msgspec

Status = Literal["passed", "failed", "not possible here"]


class Failed(Exception):
    """A step did not give what it must; its text is the record's detail."""


class NotPossible(Exception):
    """A step cannot be tried on this machine; its text says what it needs."""


class Found(msgspec.Struct, frozen=True):
    """What a step found.

    Attributes:
        detail: One line.
        data: Figures.
        status: How it ended.
        what: Which of the step's things it is about, where it has several.
    """

    detail: str
    data: dict[str, Any] = {}
    status: Status = "passed"
    what: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the proof.

    Attributes:
        group: The part of capsedge that it belongs to.
        name: What was tried.
        path: The code that it exercises, by its dotted name.
        status: How it ended.
        seconds: Since the record before. Where one process found several, the first has its time.
        detail: One line: what was seen, or why not.
        data: Figures.
    """

    group: str
    name: str
    path: str
    status: Status
    seconds: float
    detail: str
    data: dict[str, Any] = {}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The content of proof.json.

    Attributes:
        capsedge: Its version.
        commit: The git commit, with `+` where the tree was changed since; "" outside of a checkout.
        started: Date and time, UTC.
        command: The arguments of the command.
        gpu: The GPU with its compute capability, such as `Orin (sm87)`; "" where there is none.
        environment: Variables that change what a GPU computes, as far as they are set.
        records: What was tried, in order.
        unreached: Steps that an interruption left out.
    """

    schema: int = 1
    capsedge: str
    commit: str
    started: str
    command: tuple[str, ...]
    gpu: str
    environment: dict[str, str]
    records: tuple[Record, ...]
    unreached: tuple[str, ...] = ()

    def having(self, status: Status) -> tuple[Record, ...]:
        """The records of one status."""
        return tuple(record for record in self.records if record.status == status)
