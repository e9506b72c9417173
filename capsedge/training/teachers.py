"""Teachers: finished runs from whose capsule lengths a training learns, in addition to the labels."""

from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from capsedge.data import Dataset
from capsedge.errors import ModelError, WrongUse
from capsedge.files import sha256_of
from capsedge.plural import number_of
from capsedge.recipe import Recipe
from capsedge.run_record import Teacher
from capsedge.training.run import Run


class Teachers:
    """The networks of a recipe's `train.teachers`, as an ensemble.

    Args:
        recipe: Recipe of the student.
        dataset: Images of the student.
        device: Device of the training.

    Attributes:
        records: Folders and hashes of the teachers.
        of_other_data: Folders of the teachers that were trained on other images. These may include validation images
            of this training, which biases the choice of the best epoch.

    Raises:
        WrongUse: A folder is not a finished run, or its network has other classes or another image shape.
        ModelError: A run's weights are damaged.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, device: torch.device) -> None:
        runs = [_finished(Path(folder), recipe, dataset) for folder in recipe.train.teachers]
        self.records = tuple(Teacher(run=str(run.path.resolve()), sha256=sha256_of(run.best)) for run in runs)
        own = dataset.sha256() if runs else ""
        self.of_other_data = tuple(str(run.path) for run in runs if run.read_record().data_sha256 != own)
        self.networks = [run.load_best().requires_grad_(False).to(device) for run in runs]

    def __bool__(self) -> bool:
        return bool(self.networks)

    @torch.no_grad()
    def lengths(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The mean of the teachers' lengths."""
        return torch.stack([network(images).lengths for network in self.networks]).mean(0)

    def check_same(self, began_with: Iterable[Teacher], run: Run) -> None:
        """Refuse to resume with other teachers than the run started with.

        Raises:
            ModelError: The teachers differ in number, or one has other weights now.
        """
        began_with = tuple(began_with)
        if len(began_with) != len(self.records):
            raise ModelError(
                f"run '{run.path}' started with {number_of(len(began_with), 'teacher')}, and its recipe.toml now has "
                f"{len(self.records)}",
                "restore train.teachers, or start a new run",
            )
        for was, now in zip(began_with, self.records, strict=True):
            if was.sha256 != now.sha256:
                raise ModelError(
                    f"run '{run.path}' learns from teacher '{was.run}', and '{now.run}' now has other weights",
                    "restore the former weights, or start a new run",
                )


def _finished(folder: Path, recipe: Recipe, dataset: Dataset) -> Run:
    """The run of a teacher, after checking that it fits."""
    run = Run(folder)
    wanted = f"teacher '{folder}' must be a finished run"
    try:
        record, crop = run.read_record(), run.read_recipe().data.crop
        if record.status == "finished":
            run.check_best()
    except ModelError as error:
        raise ModelError(f"{wanted}, and cannot be read: {error.text}", error.advice) from error
    if record.status != "finished":
        raise WrongUse(f"{wanted}, and its training has not ended", "continue it with --resume, or name another run")
    if record.classes != dataset.classes:
        raise WrongUse(
            f"teacher '{folder}' must have the classes of the images ({dataset.description}), and "
            f"{_difference(dataset.classes, record.classes)}",
            "name a run that was trained on the same classes",
        )
    if record.shape != dataset.shape:
        raise WrongUse(
            f"teacher '{folder}' must take images of {_size(dataset.shape)}, and takes {_size(record.shape)}",
            "name a run that was trained on images of that size, or set data.size",
        )
    if record.fit != dataset.fit:  # it would get images that are fitted in another way than those of its training
        raise WrongUse(
            f"teacher '{folder}' must fit images with data.frame={dataset.fit.frame} and "
            f"data.levels={dataset.fit.levels}, and has {record.fit.frame} and {record.fit.levels}",
            "name a run that fits them so, or set them",
        )
    if recipe.data.crop not in (0, crop):  # it would get cropped images
        raise WrongUse(
            f"teacher '{folder}' must have data.crop = {recipe.data.crop}, as recipe '{recipe.name}' has, and has "
            f"{crop}",
            "name a run of the same crop",
        )
    return run


def _difference(wanted: tuple[str, ...], given: tuple[str, ...]) -> str:
    if len(wanted) != len(given):
        return f"has {len(given)} classes where they have {len(wanted)}"
    number, (one, other) = next(
        (number, names) for number, names in enumerate(zip(wanted, given, strict=True)) if names[0] != names[1]
    )
    return f"its class {number} is '{other}' where theirs is '{one}'"


def _size(shape: tuple[int, int, int]) -> str:
    height, width, channels = shape
    return f"{width}x{height} pixels in {number_of(channels, 'channel')}"
