"""The losses of the first iterations of a training, one by one."""

from itertools import islice
from pathlib import Path

from benchmarks.prove.asked import Steps, StepsWanted
from capsedge.recipe import load_recipe
from capsedge.reproduce.steps import whole_batches
from capsedge.training import Run, Trainer, dataset_of


def work(wanted: StepsWanted) -> Steps:
    """Train; nothing is written."""
    trainer = trainer_of(wanted)
    losses, before = [], 0.0
    for batch in islice(whole_batches(trainer), wanted.steps):
        trainer.iterate(batch)
        trainer.position.step += 1  # which sets the rate
        total = float(trainer.sums[0])
        losses.append((total - before) / batch.total)
        before = total
    return Steps(str(trainer.fabric.device), tuple(losses))


def trainer_of(wanted: StepsWanted) -> Trainer:
    """A training at its start."""
    recipe = load_recipe(wanted.recipe, wanted.changes)
    return Trainer(recipe, dataset_of(recipe.data), Run(Path("unused")), device=wanted.device)
