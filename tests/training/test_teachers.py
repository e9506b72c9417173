"""Teachers: who may be one, what a run remembers of them, and that a training goes on with the same ones only."""

import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file

from capsedge.data import Dataset, Split
from capsedge.errors import Interrupted, ModelError, WrongUse
from capsedge.fit import Fit
from capsedge.recipe import Recipe
from capsedge.training import Run, RunRecord, Trainer
from capsedge.training.teachers import Teachers
from tests.tiny import Interrupting, Silent, tiny_recipe, train_tiny
from tests.training.residual import residual_recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(little: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network of another kind, which one can tell in training mode from in evaluation mode."""
    recipe = residual_recipe("train.epochs=1", "network.dropout=0.5")
    return train_tiny(tmp_path_factory.mktemp("teachers") / "one", recipe, little)


def taught(*teachers: Run, more: tuple[str, ...] = ()) -> Recipe:
    recipe = tiny_recipe(*more)
    return replace(recipe, train=replace(recipe.train, teachers=tuple(str(run.path) for run in teachers)))


def test_an_ensembles_lengths_are_the_mean_of_its_evaluated_networks(
    teacher: Run, little: Dataset, tmp_path: Path
) -> None:
    other = train_tiny(tmp_path / "other", tiny_recipe("train.epochs=1"), little)
    teachers = Teachers(taught(teacher, other), little, CPU)
    images = torch.rand(7, 1, 28, 28)
    lengths = teachers.lengths(images)
    with torch.no_grad():
        one, two = (run.load_best()(images).lengths for run in (teacher, other))
    torch.testing.assert_close(lengths, (one + two) / 2)
    assert not lengths.requires_grad
    assert not torch.allclose(one, two, atol=1e-2)


def test_a_run_records_its_teachers_and_leaves_them_as_they_are(
    teacher: Run, little: Dataset, tmp_path: Path
) -> None:
    files = {path: path.read_bytes() for path in teacher.path.iterdir()}
    trainer = Trainer(taught(teacher), little, Run(tmp_path / "run"), device="cpu")
    before = {name: each.clone() for name, each in trainer.teachers.networks[0].state_dict().items()}
    trainer.start()
    record = trainer.train(Silent())
    assert [(each.run, each.sha256) for each in record.teachers] == [
        (str(teacher.path.resolve()), hashlib.sha256(files[teacher.best]).hexdigest())
    ]
    assert trainer.run.read_record() == record
    after = trainer.teachers.networks[0].state_dict()
    assert all(torch.equal(each, before[name]) for name, each in after.items())
    assert {path: path.read_bytes() for path in teacher.path.iterdir()} == files


def test_the_record_of_a_run_before_there_were_teachers_can_be_read(teacher: Run) -> None:
    values = msgspec.json.decode((teacher.path / "run.json").read_bytes())
    assert values.pop("teachers") == []
    assert msgspec.convert(values, RunRecord) == teacher.read_record()


def test_a_taught_training_goes_on_to_the_same_bits(teacher: Run, little: Dataset, tmp_path: Path) -> None:
    states = []
    for name, after in (("whole", 0), ("parts", 2)):
        run = Run(tmp_path / name)
        trainer = Trainer(taught(teacher), little, run, device="cpu")
        trainer.start()
        if after:
            with pytest.raises(Interrupted):
                trainer.train(Interrupting(after))
            trainer = Trainer(run.read_recipe(), little, run, device="cpu")
            trainer.resume()
        trainer.train(Silent())
        states.append(load_file(run.last))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("change", ["gone", "other weights", "fewer"])
def test_a_run_whose_teachers_changed_is_not_resumed(
    change: str, teacher: Run, little: Dataset, tmp_path: Path
) -> None:
    own = Run(tmp_path / "teacher")
    shutil.copytree(teacher.path, own.path)
    run = Run(tmp_path / "run")
    trainer = Trainer(taught(own), little, run, device="cpu")
    trainer.start()
    with pytest.raises(Interrupted):
        trainer.train(Interrupting(2))
    recipe = run.read_recipe()
    if change == "gone":
        shutil.rmtree(own.path)
        wanted = (
            rf"^teacher '{own.path}' must be a finished run, and cannot be read: .* is not a run: it has no run.json"
        )
        with pytest.raises(ModelError, match=wanted):
            Trainer(recipe, little, run, device="cpu")
        return
    if change == "other weights":
        shutil.copy(own.last, own.best)
        wanted = rf"learns from teacher '{own.path}', and '{own.path}' now has other weights: restore the former"
    else:
        recipe = tiny_recipe()
        wanted = r"started with 1 teacher, and its recipe.toml now has 0: restore train.teachers, or"
    trainer = Trainer(recipe, little, run, device="cpu")
    with pytest.raises(ModelError, match=wanted) as error:
        trainer.resume()
    assert "\n" not in str(error.value)


def test_who_cannot_be_a_teacher_is_told_why_in_one_line(teacher: Run, little: Dataset, tmp_path: Path) -> None:
    begun = Run(tmp_path / "begun")
    Trainer(tiny_recipe(), little, begun, device="cpu").start()
    (tmp_path / "empty").mkdir()
    more_classes = dataclasses.replace(little, classes=(*little.classes, "slipper"))
    renamed = dataclasses.replace(little, classes=(*little.classes[:9], "slipper"))
    smaller = dataclasses.replace(
        little, train=cut(little.train), validation=cut(little.validation), test=cut(little.test)
    )
    for run, data, more, words in (
        (Run(tmp_path / "empty"), little, (), "must be a finished run, and cannot be read: '.*empty' is not a run"),
        (begun, little, (), "must be a finished run, and its training has not ended: continue it with --resume, or"),
        (teacher, more_classes, (), "must have the classes of .*, and has 10 classes where they have 11: name a run"),
        (teacher, renamed, (), "and its class 9 is 'ankle-boot' where theirs is 'slipper': name a run"),
        (teacher, smaller, (), "must take images of 20x20 pixels in 1 channel, and takes 28x28 pixels in 1 channel"),
        (teacher, little, ("data.crop=20",), "must have data.crop = 20, as recipe '.*' has, and has 0: name a run"),
    ):
        kind = ModelError if run.path.name == "empty" else WrongUse  # a missing file, and one that does not fit
        with pytest.raises(kind, match=rf"^teacher '{re.escape(str(run.path))}' .*{words}") as error:
            Teachers(taught(run, more=more), data, CPU)
        assert "\n" not in str(error.value)


def cut(split: object) -> Split:
    assert isinstance(split, Split)
    return Split(split.images[:, 4:24, 4:24], split.labels)


def test_a_teacher_is_not_shown_images_that_are_fitted_in_another_way(teacher: Run, little: Dataset) -> None:
    framed = dataclasses.replace(little, fit=Fit(frame="figure", levels="full"))
    with pytest.raises(
        WrongUse, match=r"must fit images with data.frame=figure and data.levels=full, and has pad and"
    ):
        Teachers(taught(teacher), framed, CPU)


def test_a_teacher_crops_images_of_the_whole_size_itself(little: Dataset, tmp_path: Path) -> None:
    run = train_tiny(tmp_path / "cropping", tiny_recipe("train.epochs=1", "data.crop=20", "data.shift=0"), little)
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        expected = run.load_best()(images[:, :, 4:24, 4:24]).lengths
    torch.testing.assert_close(Teachers(taught(run), little, CPU).lengths(images), expected)


def test_teachers_compute_in_the_trainings_precision(teacher: Run, little: Dataset, tmp_path: Path) -> None:
    seen: list[torch.dtype] = []
    for precision in ("fp32", "bf16"):
        recipe = taught(teacher, more=(f"train.precision={precision}",))
        trainer = Trainer(recipe, little, Run(tmp_path / precision), device="cpu")
        trainer.teachers.networks[0].stem.register_forward_hook(lambda *values: seen.append(values[2].dtype))
        trainer.iterate(next(trainer.batches.epoch(0)))
    assert seen == [torch.float32, torch.bfloat16]


def test_teachers_that_were_trained_on_other_images_are_found(teacher: Run, little: Dataset, tmp_path: Path) -> None:
    own = Run(tmp_path / "other")
    shutil.copytree(teacher.path, own.path)
    own.write_record(replace(own.read_record(), data_sha256="0" * 64))
    teachers = Teachers(taught(teacher, own), little, CPU)
    assert teachers.of_other_data == (str(own.path),)
    assert Teachers(taught(), little, CPU).of_other_data == ()
