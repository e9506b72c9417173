"""The CPU threads of a training: the option, and notes about a busy machine and about a resumed run."""

from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.console import say
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.training import RunRecord

ThreadsOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=256,
        help="CPU threads of each process that trains; 0 takes torch's number, or that of the resumed run.",
    ),
]

_NEEDED = 0.75  # share of the threads that must find a free core: each step waits for the slowest thread


def note_load(device: str, threads: int, *, processes: int = 1) -> None:
    """Print that other programs use the cores, if the number of threads was not chosen.

    Args:
        device: Device of the training: `auto`, `cpu` or `cuda`, or torch's name of it.
        threads: The value of --threads.
        processes: Processes of the training on this machine; each has as many threads.
    """
    import os

    import torch

    from capsedge.measure.bench.warnings import load_of_others
    from capsedge.measure.machine.processor import load_average

    each = torch.get_num_threads()
    count = each * processes
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    load, cores = load_of_others(load_average()), os.cpu_count() or 1
    if threads or on_gpu or each == 1 or load == "unavailable" or load < 1:
        return
    free = max(0.0, cores - load)
    if free < _NEEDED * count:
        say(
            f"note: other programs had a load average of {load:.1f} on {number_of(cores, 'core')} in the last "
            f"minute; the training has {number_of(count, 'thread')}, which wait for each other in each step; "
            f"--threads {max(1, int(free) // processes)} may be much faster"
        )


def note_other_threads(record: "RunRecord") -> None:
    """Print that a resumed run has another number of threads than before, which changes its last bits."""
    import torch

    now = torch.get_num_threads()
    if record.threads not in (0, now) and record.device == "cpu":
        say(
            f"note: the run had {number_of(record.threads, 'CPU thread')}, and now has {now}: its numbers will "
            "differ in the last digits from those of a run without an interruption; "
            f"--threads {record.threads} avoids it"
        )
