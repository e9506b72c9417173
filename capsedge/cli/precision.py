"""Messages about the precision of a training: its reason, and the cost of bf16 without hardware units."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from capsedge.cli.console import say
from capsedge.cli.threads import note_load
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.training import Trainer
    from capsedge.training.precision import PrecisionChoice

AVOID_BF16 = "avoid it by --set train.precision=auto"
RESUMED = "a resumed run keeps its precision"


def in_words(choice: "PrecisionChoice") -> str:
    """The precision, with the reason in brackets where `auto` chose it."""
    return f"{choice.precision} (auto: {_units(choice)})" if choice.asked == "auto" else choice.precision


def note_cost(trainer: "Trainer", advice: str = AVOID_BF16) -> None:
    """Measure and print the cost of bf16 if it was requested and the device has no units for it."""
    cost = trainer.cost_of_bf16() if trainer.devices.first else None
    if cost is not None:
        times = f"{cost.times_fp32:.{0 if cost.times_fp32 >= 10 else 1}f}"
        images = number_of(cost.images, "image")
        say(
            f"note: {_units(trainer.precision)}: a step takes about {times} times as long as in fp32 "
            f"(measured on {images}); {advice}"
        )


def precision_reporter(*, silent: bool) -> "Callable[[Trainer], None]":
    """A function that prints the precision of each training of a command, the same once, and notes a busy machine."""
    told: set[PrecisionChoice] = set()

    def tell(trainer: "Trainer") -> None:
        if not told:
            note_load(str(trainer.devices.device), trainer.threads)
        if trainer.precision in told:
            return
        told.add(trainer.precision)
        if not silent:
            say(f"precision: {in_words(trainer.precision)}")
        note_cost(trainer)

    return tell


def _units(choice: "PrecisionChoice") -> str:
    if choice.device == "cuda":
        return "this GPU has bf16 units" if choice.units == "used" else "this GPU has no bf16 units"
    return {
        "used": f"this processor has {choice.instructions}",
        "absent": "this processor has no bf16 instructions",
        "unused": f"torch does not use this processor's {choice.instructions}",
        "unknown": "this system does not tell the processor's instruction sets",
    }[choice.units]
