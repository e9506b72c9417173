"""What `capsedge train` prints before the first step."""

from typing import TYPE_CHECKING

from capsedge.cli.console import say
from capsedge.cli.precision import in_words
from capsedge.data.balance import about_balance
from capsedge.data.known import SUBSET
from capsedge.data.split import Split
from capsedge.plural import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capsedge.recipe import Recipe
    from capsedge.training import Trainer
    from capsedge.training.devices import Devices


def say_start(recipe: "Recipe", trainer: "Trainer") -> None:
    """Print what will be trained: the recipe as asked for, what was chosen, and the data."""
    dataset = trainer.dataset
    say(
        f"recipe: {recipe.name} ({recipe.routing.kind} routing, {_stem(trainer)}, "
        f"{number_of(recipe.network.capsule_types, 'capsule type')})"
    )
    say(f"data:   {dataset.description}, from {dataset.location}")
    if plan := [*_schedule(recipe, trainer), *_drawing(trainer)]:
        say(f"plan:   {'; '.join(plan)}")
    if recipe.data.flip == "auto":
        say(
            "flip:   half of the images are mirrored, since they are in colour; where left and right differ, set "
            "data.flip=false"
            if trainer.recipe.data.flip
            else "flip:   no image is mirrored, since they are grey; where a mirrored image has the same class, set "
            "data.flip=true"
        )
    routing = trainer.recipe.routing
    if routing.learning_rate != recipe.routing.learning_rate:
        say(
            f"b:      starts at {routing.b0:g}, learning rate {routing.learning_rate:g} "
            f"(routing.learning_rate={recipe.routing.learning_rate:g} is for b0 = 1); chosen by the number of "
            "primary capsules: routing.b0"
        )
    for remark in dataset.remarks:
        say(f"note: {remark.text}")
    if dataset.source != recipe.data.source and dataset.source == SUBSET:
        say(f"note: the full {recipe.data.source} is not on this machine; --download downloads it")
    if recipe.train.teachers:
        say(f"teachers: {', '.join(recipe.train.teachers)} (train.distillation {recipe.train.distillation:g})")
    if trainer.teachers.of_other_data:
        say(
            f"note: these teachers were trained on other data: {', '.join(trainer.teachers.of_other_data)}; they may "
            "have seen the validation images, so the validation error may be too low"
        )
    say(f"run:    {trainer.run.path} on {_devices(trainer.devices)}, {in_words(trainer.precision)}")


def _schedule(recipe: "Recipe", trainer: "Trainer") -> "Iterator[str]":
    """The length of the training and its steps, if they were chosen."""
    chosen = [key for key in ("epochs", "batch_size") if not getattr(recipe.train, key)]
    if chosen:
        train = trainer.recipe.train
        epochs, steps = number_of(train.epochs, "epoch"), number_of(len(trainer.batches), "step")
        yield (
            f"{epochs} of {steps}, batches of {train.batch_size}, learning rate {train.learning_rate:g}"
            f"{_scaled(recipe, train.batch_size)}"
        )
        yield f"chosen by the number of images: {', '.join(f'train.{key}' for key in chosen)}"


def _drawing(trainer: "Trainer") -> "Iterator[str]":
    """How often each class is drawn, where there is something to say."""
    train = trainer.dataset.train
    if isinstance(train, Split) and (said := about_balance(train.labels, balance=trainer.recipe.data.balance)):
        yield said


def _scaled(recipe: "Recipe", batch_size: int) -> str:
    """How the learning rate was made of the recipe's, in brackets, if a smaller batch size was chosen."""
    from capsedge.training.plan import LARGEST_BATCH

    if batch_size in (recipe.train.batch_size, LARGEST_BATCH):
        return ""
    given = f"train.learning_rate={recipe.train.learning_rate:g}"
    return f" ({given} is for batches of {LARGEST_BATCH}, and scaled by sqrt({batch_size} / {LARGEST_BATCH}))"


def _stem(trainer: "Trainer") -> str:
    network = trainer.recipe.network
    if network.stem == "table1":
        return number_of(network.filters, "filter")
    blocks = len(list(trainer.network.stem.children()))  # network.grid adds blocks to those of the recipe
    return f"{network.stem} stem of {number_of(blocks, 'block')}"


def _devices(group: "Devices") -> str:
    return f"{group.device}" if group.count == 1 else f"{group.count} x {group.device.type}"
