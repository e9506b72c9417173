"""Algorithm 1: alternate steps on the weights (margin loss) and on the routing coefficients (routing objective).

On several devices each takes its part of every batch. Losses and objective are sums over the images divided by the
size of the whole batch, and their gradients are summed over the devices, so that N devices take the steps of one.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec.structs import replace
from torch import Tensor

from capsedge.contract import Score
from capsedge.data import Dataset, Split
from capsedge.data.images import wants_dark_background
from capsedge.errors import CapsedgeError, Interrupted, ModelError
from capsedge.models import CapsNet, Capsules, build_network, margin_loss, reconstruction_loss
from capsedge.models.loss import distillation_loss
from capsedge.models.stem import BatchNorm
from capsedge.recipe import Recipe
from capsedge.records import decoded
from capsedge.scoring import balanced_error
from capsedge.training.advice import advice
from capsedge.training.batches import Batch, Batches
from capsedge.training.checkpoint import (
    DamagedFile,
    Position,
    check_whole,
    load_checkpoint,
    load_network,
    save_checkpoint,
    save_weights,
)
from capsedge.training.devices import Devices, launch, share_statistics
from capsedge.training.dropout import SharedDropout
from capsedge.training.evaluate import Evaluation, evaluate, multi_hot
from capsedge.training.interrupt import Interruption
from capsedge.training.log import Clock, Observer, TrainingLog
from capsedge.training.metrics import MetricsFile, read_metrics
from capsedge.training.plan import planned
from capsedge.training.precision import Bf16Cost, PrecisionChoice, choose_precision, cost_of_bf16
from capsedge.training.routing_step import coefficient_statistics, routing_step
from capsedge.training.run import Run, RunRecord
from capsedge.training.schedule import rate_factor
from capsedge.training.teachers import Teachers
from capsedge.training.weights import Average, weights_optimizer
from capsedge.version import __version__

ROW_EVERY = 20  # iterations summed into one metrics row; reading the sums is the only wait for the device

_LOOKED_AT = 200  # validation images whose background is looked at


class Trainer:
    """One training, from a fresh or a resumed state to a finished run.

    Args:
        recipe: What to train. Where its precision is `auto`, it is chosen here, by the first device for all.
        dataset: The images, in three splits.
        run: The folder to fill; only rank 0 writes to it.
        devices: As `launch` gave them to this training alone; None for one device.
        device: Which that is, where there are no `devices`: `auto`, `cpu` or `cuda`.

    Raises:
        ProviderError: CUDA was asked for and is not there.
        WrongUse: The images do not fit the recipe's network, or a teacher is no finished run on such images.
    """

    def __init__(
        self, recipe: Recipe, dataset: Dataset, run: Run, *, devices: Devices | None = None, device: str = "auto"
    ) -> None:
        self.dataset = dataset
        self.run = run
        self.devices = devices or launch(device)
        chosen = choose_precision(recipe.train.precision, self.devices.device)
        self.precision = decoded(self.devices.told(msgspec.json.encode(chosen).decode()), PrecisionChoice)
        recipe = planned(recipe, recipe.data.epoch_images or len(dataset.train))
        self.recipe = recipe = replace(recipe, train=replace(recipe.train, precision=self.precision.precision))
        torch.manual_seed(recipe.train.seed)
        self.network = build_network(recipe, classes=len(dataset.classes), shape=dataset.shape)
        ranks = {"rank": self.devices.rank, "ranks": self.devices.count}
        if recipe.network.dropout:
            self.network.dropout = SharedDropout(recipe.network.dropout, seed=recipe.train.seed, **ranks)
        if self.devices.count > 1:
            share_statistics(self.network)
        self.module = self.devices.replicated(self.network)
        self.optimizer = weights_optimizer(self.network, recipe.train)
        self.average = Average(self.network, recipe.train.averaging) if recipe.train.averaging else None
        self.teachers = Teachers(recipe, dataset, self.devices.device)
        self.routing_step = routing_step(self.network, recipe.routing, self.devices.summed)
        self.batches = Batches(
            dataset.train,
            recipe=recipe.data,
            batch_size=recipe.train.batch_size,
            seed=recipe.train.seed,
            device=self.devices.device,
            **ranks,
        )
        self.position = Position()
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.devices.device)  # loss, wrong, images

    def cost_of_bf16(self) -> Bf16Cost | None:
        """Measure what bf16 costs here; None where the training is in fp32, or the device has the units for bf16.

        It takes about a second, changes no number of the training, and is for the first device alone to ask.
        """
        if self.precision.precision == "fp32" or self.precision.units == "used":
            return None
        # A pass in training mode would move the running statistics, and wait for the other devices to do so.
        self.network.eval()
        cost = cost_of_bf16(self.network, next(self.batches.epoch(0)).images)
        self.network.train()
        return cost

    @property
    def steps(self) -> int:
        """Iterations of the whole training."""
        return self.recipe.train.epochs * len(self.batches)

    @property
    def validated(self) -> CapsNet:
        """The network that is validated, kept as the best, and tested: the average where there is one."""
        return self.network if self.average is None else self.average.network

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
        if weights is not None:  # a run that is interrupted before its first validation starts from them again
            self._save()

    def resume(self) -> str:
        """Take up the state of the run's last checkpoint; a run interrupted before its first starts over.

        Returns:
            What was wrong with the last checkpoint where the one before it was taken up; "" for nothing.

        Raises:
            ModelError: The checkpoint and the one before it are damaged; it is of another recipe; the weights of the
                best epoch are damaged; or a teacher's have changed.
        """
        self.teachers.check_same(self.run.read_record().teachers, self.run)
        if self.precision.asked == "auto" and self.devices.first:  # somebody changed the run's recipe
            self.run.write_recipe(self.recipe)
        if self.run.best.exists():
            check_whole(self.run.best)  # or the training would only fail at its end
        files = [file for file in (self.run.last, self.run.previous) if file.exists()]
        if not files:
            return ""
        damaged = ""
        try:
            self._take_up(files[0])
        except DamagedFile as error:
            if len(files) == 1:
                raise
            damaged = str(error)
            self._take_up(files[1])
        return damaged

    def _take_up(self, checkpoint: Path) -> None:
        average = None if self.average is None else self.average.network
        self.position, sums = load_checkpoint(checkpoint, self.network, self._optimizers(), average)
        if self.devices.first:  # they are the sums over all devices
            self.sums = sums.to(self.devices.device)

    def train(self, observer: Observer) -> RunRecord:
        """Train to the recipe's last epoch, then score the best weights on the test set.

        Raises:
            Interrupted: Ctrl-C or a termination signal came; the state was saved.
            ModelError: Another process trains in the run's folder, or the loss is no longer a number.
            WrongUse: The run's folder cannot be locked.
        """
        with ExitStack() as stack:
            refused: CapsedgeError | None = None
            if self.devices.first:
                try:
                    stack.enter_context(self.run.locked())
                except CapsedgeError as error:
                    refused = error
            # All devices hear of it: those that went on would wait for the first for ever.
            if told := self.devices.told(str(refused or "")):
                raise refused or ModelError(told)
            first = self.devices.first
            metrics = MetricsFile(self.run.metrics, self.position.step) if first else None
            try:
                return self._train(metrics, observer)
            except RuntimeError as error:  # gloo has no kind of its own for a process that is gone
                if self.devices.lost_one():
                    again = (
                        f"go on with: capsedge train --resume --run {self.run.path} --devices {self.devices.count}"
                    )
                    raise ModelError(
                        "another process of the training has ended", again, code="process-lost"
                    ) from error
                raise

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

    def iterate(self, batch: Batch) -> None:
        """Lines 2 to 9 of Algorithm 1 on this device's part of one minibatch."""
        recipe = self.recipe
        factor = rate_factor(self.position.step, self.steps, recipe.train)
        targets = multi_hot(batch.labels, len(self.dataset.classes))
        taught = self._taught(batch.images)
        for number in range(recipe.routing.n_b):
            if isinstance(self.network.dropout, SharedDropout):
                self.network.dropout.begin(self.position.step * recipe.routing.n_b + number, batch.total)
            primary = self._weight_step(batch, targets, taught, factor)
        if self.routing_step is not None:
            with torch.no_grad():
                if not recipe.routing.reuse_primary:
                    primary = self._primary_again(batch.images)
                for _ in range(recipe.routing.n_r):
                    self.routing_step(primary, targets, total=batch.total, factor=factor)
        if self.average is not None:
            self.average.update(self.network, self.position.step)

    def _taught(self, images: Tensor) -> Tensor | None:
        """The teachers' lengths, computed in the training's precision."""
        if not self.teachers:
            return None
        with self.devices.computing_in(self.precision.precision):
            return self.teachers.lengths(images)

    def _weight_step(self, batch: Batch, targets: Tensor, taught: Tensor | None, factor: float) -> Tensor:
        """Descend the loss in W; gives the primary capsules that it saw."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.train.learning_rate * factor
        capsules = self._capsules(batch.images)
        lengths = capsules.lengths
        loss = self._lengths_loss(lengths, targets, taught) + self._reconstruction_loss(capsules, batch)
        self.optimizer.zero_grad()
        # The gradients are averaged over the devices, whose parts may differ in size.
        (loss.sum() * (self.devices.count / batch.total)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        wrong = _wrong(lengths, targets, labels=batch.labels.shape[1]).sum()
        self.sums += torch.stack([loss.detach().sum(), wrong, torch.full_like(wrong, len(targets))])
        return capsules.primary.detach()

    def _capsules(self, images: Tensor) -> Capsules:
        """A pass in the training's precision, its results in fp32."""
        with self.devices.computing_in(self.precision.precision):
            capsules: Capsules = self.module(images)
        return capsules._replace(**{name: part.float() for name, part in capsules._asdict().items()})

    def _lengths_loss(self, lengths: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """Each image's loss by its labels, and by what teachers say of it."""
        by_labels = margin_loss(lengths, targets)
        if taught is None:
            return by_labels
        share = self.recipe.train.distillation
        return (1 - share) * by_labels + share * distillation_loss(lengths, taught)

    def _primary_again(self, images: Tensor) -> Tensor:
        """The primary capsules of the weights as they are now.

        Algorithm 1 computes them again because W has moved, so nothing else changes: normalization is by the same
        batch's statistics and dropout leaves out the same channels as in the weight step. The running statistics have
        counted this batch already.
        """
        with _running_statistics_kept(self.network):
            return self._capsules(images).primary

    def _reconstruction_loss(self, capsules: Capsules, batch: Batch) -> Tensor | float:
        """Each image's reconstruction loss: every one of its classes is reconstructed from its own capsule alone."""
        decoder = self.network.decoder
        if decoder is None:
            return 0.0
        poses, classes = capsules.poses, capsules.classes.shape[1]
        losses = [
            reconstruction_loss(decoder(poses, multi_hot(labels[:, None], classes)), part)
            for labels, part in zip(batch.labels.unbind(1), batch.parts.unbind(1), strict=True)
        ]
        return self.recipe.train.reconstruction * torch.stack(losses).sum(0)

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
                f"training diverged: the loss is {loss} at step {self.position.step}; "
                "lower train.learning_rate or routing.learning_rate"
            )

    def _validate(self, log: TrainingLog) -> None:
        position = self.position
        score = self._evaluate(self.validated, self.dataset.validation)
        self._check_finite(score.loss)
        if position.improved_by(score.error, score.loss, self.recipe.train):
            position.best_error, position.best_loss = score.error, score.loss
            position.best_epoch = position.epoch + 1
            if self.devices.first:
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
        """Score the best weights on the test set, once, when nothing is left to choose."""
        self.devices.wait_for_all()  # rank 0 may still be writing them
        best: CapsNet = self.run.load_best().to(self.devices.device)
        test = self._evaluate(best, self.dataset.test)
        remarks = self._remarks(self._evaluate(best, self.dataset.validation))
        log.write(
            {"kind": "test", "epoch": self.position.best_epoch, "step": self.position.step, "error": test.error}
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
            remarks=remarks,
            seconds=round(self.position.seconds, 1),
        )
        if self.devices.first:
            self.run.write_record(record)
            self.run.previous.unlink(missing_ok=True)
        return record

    def _remarks(self, validation: Evaluation) -> tuple[str, ...]:
        """What a person should know of the training; only the first device has its rows."""
        if validation.confusion is None or not self.devices.first:
            return ()
        return tuple(
            advice(
                read_metrics(self.run.metrics),
                validation.confusion,
                self.dataset.classes,
                recipe=self.recipe.train,
                best_epoch=self.position.best_epoch,
                steps=self.position.step,
            )
        )

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
        """Whether to stop here: all devices at the same iteration. Asking each other is a wait for a CUDA device."""
        if self.devices.count == 1:
            return requested
        return (at_row or self.devices.device.type == "cpu") and bool(
            self.devices.summed(torch.tensor(float(requested), device=self.devices.device)) > 0
        )

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers: dict[str, torch.optim.Optimizer] = {"weights": self.optimizer}
        if self.routing_step is not None:
            optimizers["routing"] = self.routing_step.optimizer
        return optimizers

    def _save(self) -> None:
        sums = self.devices.summed(self.sums)
        if self.devices.first:
            average = None if self.average is None else self.average.network
            save_checkpoint(self.run.last, self.position, self.network, self._optimizers(), sums, average)

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
            teachers=self.teachers.records,
            **more,
        )


@contextmanager
def _running_statistics_kept(network: CapsNet) -> Iterator[None]:
    """Let passes in training mode normalize by their batch, and leave no trace in the running statistics."""
    buffers = [each for module in network.modules() if isinstance(module, BatchNorm) for each in module.buffers()]
    before = [each.clone() for each in buffers]
    yield
    for now, then in zip(buffers, before, strict=True):
        now.copy_(then)


def _balanced(test: Evaluation) -> float | None:
    """The balanced test error, where the classes differ in images, so that it says something else than the error."""
    counts = None if test.confusion is None else test.confusion.sum(1)
    if counts is None or test.confusion is None or counts.max() == counts.min():
        return None
    return balanced_error(test.confusion)


def _wrong(lengths: Tensor, targets: Tensor, *, labels: int) -> Tensor:
    """Which images get a wrong answer (`capsedge.scoring`, on the device)."""
    longest = multi_hot(lengths.topk(labels, 1).indices, targets.shape[1])
    return (longest != targets).any(1)


def _on_dark_background(dataset: Dataset) -> bool:
    if dataset.dark_background is not None:
        return dataset.dark_background
    return wants_dark_background(dataset.validation.images[:_LOOKED_AT])
