"""Settings of trainings that end in a second, and an observer that can press Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capsedge.reproduce import TrainingSettings
from capsedge.reproduce.trainings import Watch
from tests.tiny import Interrupting, Silent

TINY = (
    "network.filters=4",
    "network.capsule_types=2",
    "network.primary_dim=4",
    "network.class_dim=4",
    "train.batch_size=200",
    "train.validations=2",
    "train.precision=fp32",  # so that all machines train alike
)


class Watched:
    """Remembers which trainings were watched, and interrupts one of them after some steps."""

    def __init__(self, interrupt: str = "", after: int = 0) -> None:
        self.interrupt, self.after = interrupt, after
        self.titles: list[str] = []

    @contextmanager
    def __call__(self, title: str) -> "Iterator[Silent]":
        self.titles.append(title)
        yield Interrupting(self.after) if self.interrupt and self.interrupt in title else Silent()


MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings for tiny networks on the shipped subset, with runs in this test's own folder."""

    def make(*, watch: Watch | None = None, more: tuple[str, ...] = (), **changes: object) -> TrainingSettings:
        values: dict[str, object] = {
            "data": "fashion-mnist-subset",
            "width": "small",
            "epochs": 1,
            "overrides": (*TINY, *more),
            "runs": tmp_path / "runs",
            "device": "cpu",
            "watch": watch or Watched(),
        }
        return TrainingSettings(**(values | changes))  # type: ignore[arg-type]

    return make
