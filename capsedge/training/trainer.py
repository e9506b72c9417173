"""A training from a fresh or a resumed state to a finished run: epochs, validation, checkpoints, record."""

import math
import os
import shlex
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch

from capsedge.contract import Score
from capsedge.cores import usable_cores
from capsedge.data import Dataset, Split
from capsedge.data.images import wants_dark_background
from capsedge.errors import CapsedgeError, Interrupted, ModelError
from capsedge.models import CapsNet
from capsedge.recipe import Recipe
from capsedge.run_record import RunRecord
from capsedge.scoring import balanced_error
from capsedge.training.advice import Ended, remarks_of, warnings_of
from capsedge.training.algorithm import Algorithm1
from capsedge.training.checkpoint import (
    DamagedFile,
    check_whole,
    load_checkpoint,
    load_network,
    save_checkpoint,
    save_weights,
)
from capsedge.training.devices import Devices, launch, reporting_lost_process
from capsedge.training.evaluate import Evaluation, evaluate
from capsedge.training.interrupt import Interruption
from capsedge.training.log import Clock, Observer, TrainingLog
from capsedge.training.metrics import MetricsFile, read_metrics
from capsedge.training.routing_step import coefficient_statistics
from capsedge.training.run import Run
from capsedge.version import __version__

ROW_EVERY = 20  # iterations summed into one metrics row; reading the sums is the only wait for the device

_BACKGROUND_IMAGES = 200  # validation images from which the background is determined


class Trainer(Algorithm1):
    """One training, from a fresh or a resumed state to a finished run.

    Args:
        recipe: What to train. If its precision is `auto`, the first device chooses it here for all.
        dataset: The images, in three splits.
        run: The folder of the run; only rank 0 writes to it.
        devices: From `launch`, for this training alone; None for one device.
        device: That device, if there are no `devices`: `auto`, `cpu` or `cuda`.
        threads: Threads of this process on a CPU; 0 for torch's number; a resumed run keeps its number. After `train`
            torch has its number again.

    Raises:
        ProviderError: `cuda` was requested, and there is no CUDA device.
        WrongUse: The images do not fit the recipe's network, or a teacher is not a finished run on such images.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        run: Run,
        *,
        devices: Devices | None = None,
        device: str = "auto",
        threads: int = 0,
    ) -> None:
        self.threads, self._threads_before = threads, torch.get_num_threads()
        with reporting_lost_process():
            group = devices or launch(device)
            if threads:
                torch.set_num_threads(threads)
            super().__init__(recipe, dataset, group)
        self.run = run

    def start(self, weights: Path | None = None) -> None:
        """Write the new run's recipe and record.

        Args:
            weights: A file of weights to start from, such as another run's best.safetensors; None for random ones.

        Raises:
            ModelError: The file is missing, damaged or of another network; nothing was written.
        """
        if weights is not None:
            for network in {self.network, self.validated}:
                load_network(weights, network)
        if self.devices.first:
            self.run.create(self.recipe, self._record("training"))
        if weights is not None:  # a run that is interrupted before its first validation restarts from them
            with self._reporting_lost_process():
                self._save()

    def resume(self) -> str:
        """Load the run's last checkpoint; a run that was interrupted before its first one starts over.

        Returns:
            What is wrong with the last checkpoint, if the previous one was loaded; else "".

        Raises:
            ModelError: The last and the previous checkpoint are damaged; the checkpoint is of another recipe; the
                weights of the kept network are damaged; or the weights of a teacher have changed.
        """
        record = self.run.read_record()
        self.teachers.check_same(record.teachers, self.run)
        # The last bits of a sum depend on the number of threads that share it.
        if not self.threads and record.threads <= usable_cores() and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(record.threads or torch.get_num_threads())
        if self.precision.asked == "auto" and self.devices.first:  # the run's recipe.toml was edited
            self.run.write_recipe(self.recipe)
        if self.run.best.exists():
            check_whole(self.run.best)  # else the training would only fail at its end
        files = [file for file in (self.run.last, self.run.previous) if file.exists()]
        if not files:
            return ""
        damaged = ""
        try:
            self._load(files[0])
        except DamagedFile as error:
            if len(files) == 1:
                raise
            damaged = str(error)
            self._load(files[1])
        return damaged

    def _load(self, checkpoint: Path) -> None:
        average = None if self.average is None else self.average.network
        self.position, sums = load_checkpoint(checkpoint, self.network, self.optimizers, average)
        if self.devices.first:  # a checkpoint has the sums over all devices
            self.sums = sums.to(self.devices.device)

    def train(self, observer: Observer) -> RunRecord:
        """Train to the recipe's last epoch, then score the best weights on the test set.

        Raises:
            Interrupted: Ctrl-C or a termination signal came; the state was saved.
            ModelError: Another process trains in the run's folder, another process of this training has ended, or the
                loss is not finite.
            WrongUse: The run's folder cannot be locked.
        """
        with self._reporting_lost_process(), ExitStack() as stack:
            stack.callback(torch.set_num_threads, self._threads_before)
            refused: CapsedgeError | None = None
            if self.devices.first:
                try:
                    stack.enter_context(self.run.locked())
                except CapsedgeError as error:
                    refused = error
            # All devices raise it: a device that continued would wait for the first one forever.
            if text := self.devices.told(str(refused or "")):
                raise refused or ModelError(text)
            first = self.devices.first
            metrics = MetricsFile(self.run.metrics, self.position.step) if first else None
            return self._train(metrics, observer)

    def _reporting_lost_process(self) -> AbstractContextManager[None]:
        """As the function, for a run that can be resumed."""
        words = ["capsedge", "train", "--resume", "--run", str(self.run.path), "--devices", str(self.devices.count)]
        return reporting_lost_process(f"resume with {shlex.join(words)}")

    def _train(self, metrics: MetricsFile | None, observer: Observer) -> RunRecord:
        with Interruption() as interruption:
            log = TrainingLog(metrics, observer)
            observer.started(self.position, self.recipe.train.epochs, len(self.batches))
            while self.position.epoch < self.recipe.train.epochs and not self.position.waited(self.recipe.train):
                self._epoch(log, interruption)
            return self._finish(log)

    def _epoch(self, log: TrainingLog, interruption: Interruption) -> None:
        position, count = self.position, len(self.batches)
        validations = self.recipe.train.validations
        due = {round(count * part / validations) for part in range(1, validations + 1)}
        clock = Clock()
        for batch in self.batches.epoch(position.epoch, position.batch):
            self.iterate(batch)
            position.step += 1
            position.batch += 1
            clock.images += batch.total
            log.observer.stepped(batch.total)
            at_row = position.step % ROW_EVERY == 0 or position.batch in due
            if at_row:
                self._write_training_row(log, clock)
            stop = self._agreed(interruption.requested, at_row)
            if position.batch in due:
                self._validate(log)
            if position.batch in due or stop:
                if position.batch == count:
                    position.epoch, position.batch = position.epoch + 1, 0
                position.seconds += clock.lap()
                self._save()
            if stop:
                raise Interrupted(f"interrupted at step {position.step}; the state is saved in '{self.run.path}'")

    def _write_training_row(self, log: TrainingLog, clock: Clock) -> None:
        loss, wrong, images = self.devices.summed(self.sums).tolist()
        self.sums.zero_()
        images_here, seconds = clock.images, clock.lap()  # the sums may hold images of an interrupted session
        self.position.seconds += seconds
        self._check_finite(loss)
        log.write(
            {
                "kind": "training",
                "epoch": self.position.epoch + 1,
                "step": self.position.step,
                "loss": loss / images,
                "error": wrong / images,
                "images_per_second": images_here / seconds,
            }
        )

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise ModelError(
                f"training diverged: the loss is {loss} at step {self.position.step}",
                "lower train.learning_rate or routing.learning_rate",
            )

    def _validate(self, log: TrainingLog) -> None:
        position = self.position
        score = self._evaluate(self.validated, self.dataset.validation)
        self._check_finite(score.loss)
        if position.validated(score.error, score.loss, score.images, self.recipe.train) and self.devices.first:
            save_weights(self.run.best, self.validated)
        log.write(
            {
                "kind": "validation",
                "epoch": position.epoch + 1,
                "step": position.step,
                "loss": score.loss,
                "error": score.error,
                "b": coefficient_statistics(self.validated),
            }
        )

    def _finish(self, log: TrainingLog) -> RunRecord:
        """Score the best weights on the test set, once, after all choices are made."""
        self.devices.wait_for_all()  # rank 0 may still be writing them
        best: CapsNet = self.run.load_best().to(self.devices.device)
        test = self._evaluate(best, self.dataset.test)
        validation = self._evaluate(best, self.dataset.validation)
        log.write(
            {"kind": "test", "epoch": self.position.best_epoch, "step": self.position.step, "error": test.error}
        )
        ended = Ended(
            validation,
            self._metrics(),
            self.dataset.classes,
            self.dataset.validation.labels_per_image,
            self.recipe.train,
            self.recipe.data,
            self.position.best_epoch,
            self.position.step,
        )
        assert self.position.best_error is not None
        record = self._record(
            "finished",
            scores=(
                Score("trained", "validation", len(self.dataset.validation), self.position.best_error),
                Score("trained", "test", test.images, test.error),
            ),
            best_epoch=self.position.best_epoch,
            balanced=_balanced(test),
            warnings=tuple(warnings_of(ended)),
            remarks=tuple(remarks_of(ended)),
            seconds=round(self.position.seconds, 1),
        )
        if self.devices.first:
            self.run.write_record(record)
            self.run.previous.unlink(missing_ok=True)
        return record

    def _metrics(self) -> list[dict[str, Any]]:
        """Rows of the metrics file, which the first device alone has."""
        return read_metrics(self.run.metrics) if self.devices.first else []

    def _evaluate(self, network: CapsNet, split: Split) -> Evaluation:
        return evaluate(
            network,
            split,
            self.devices.device,
            classes=len(self.dataset.classes),
            rank=self.devices.rank,
            ranks=self.devices.count,
            summed=self.devices.summed,
        )

    def _agreed(self, requested: bool, at_row: bool) -> bool:
        """Whether to stop now: all devices at the same iteration. On CUDA the exchange waits for the device."""
        if self.devices.count == 1:
            return requested
        return (at_row or self.devices.device.type == "cpu") and bool(
            self.devices.summed(torch.tensor(float(requested), device=self.devices.device)) > 0
        )

    def _save(self) -> None:
        sums = self.devices.summed(self.sums)
        if self.devices.first:
            average = None if self.average is None else self.average.network
            save_checkpoint(self.run.last, self.position, self.network, self.optimizers, sums, average)

    def _record(self, status: Any, **more: Any) -> RunRecord:
        return RunRecord(
            status=status,
            classes=self.dataset.classes,
            shape=self.dataset.shape,
            fit=self.dataset.fit,
            dark_background=_on_dark_background(self.dataset),
            data=self.dataset.description,
            data_source=self.dataset.source,
            data_sha256=self.dataset.sha256(),
            versions={"capsedge": __version__, "torch": str(torch.__version__)},
            device=str(self.devices.device),
            threads=self.threads or (torch.get_num_threads() if self.devices.count == 1 else 0),
            teachers=self.teachers.records,
            **more,
        )


def _balanced(test: Evaluation) -> float | None:
    """The balanced test error; None if it equals the error, because all classes have as many images."""
    counts = None if test.confusion is None else test.confusion.sum(1)
    if counts is None or test.confusion is None or counts.max() == counts.min():
        return None
    return balanced_error(test.confusion)


def _on_dark_background(dataset: Dataset) -> bool:
    if dataset.dark_background is not None:
        return dataset.dark_background
    return wants_dark_background(dataset.validation.images[:_BACKGROUND_IMAGES])
