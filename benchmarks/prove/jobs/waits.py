"""Iterations in which torch refuses to wait for the GPU."""

from itertools import islice

import torch

from benchmarks.prove.asked import Steps, StepsWanted
from benchmarks.prove.jobs.losses import trainer_of
from capsedge.errors import ModelError
from capsedge.reproduce.steps import whole_batches

WARM_UP = 2  # in which cuDNN and the optimizer allocate what they keep


def work(wanted: StepsWanted) -> Steps:
    """Train; the minibatch, the weight step and the routing step may not make the processor wait.

    Raises:
        ModelError: One did; the text says what.
        ProviderError: There is no CUDA.
    """
    trainer = trainer_of(wanted)
    batches = whole_batches(trainer)
    for batch in islice(batches, WARM_UP):
        trainer.iterate(batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in islice(batches, wanted.steps):
            trainer.iterate(batch)
    except RuntimeError as error:
        raise ModelError(f"an iteration waits for the GPU: {error}") from error
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Steps(str(trainer.fabric.device), (float(trainer.sums[0]),))
