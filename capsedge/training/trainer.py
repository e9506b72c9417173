"""Algorithm 1: alternate steps on the weights (margin loss) and on the routing coefficients (routing objective)."""

import logging
import math
import time
from importlib.metadata import version
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import one_hot

from capsedge import __version__
from capsedge.contract import Score
from capsedge.data import Dataset
from capsedge.errors import Interrupted, ModelError, ProviderError
from capsedge.models import CapsNet, build_network, margin_loss, reconstruction_loss
from capsedge.recipe import Recipe
from capsedge.training.batches import Batches
from capsedge.training.checkpoint import Position, load_checkpoint, save_checkpoint, save_weights
from capsedge.training.evaluate import evaluate
from capsedge.training.interrupt import Interruption
from capsedge.training.metrics import MetricsFile
from capsedge.training.routing_step import coefficient_statistics, routing_step
from capsedge.training.run import Run, RunRecord
from capsedge.training.schedule import rate_factor

ROW_EVERY = 20  # iterations summed into one metrics row; reading the sums is the only wait for the device


class Observer(Protocol):
    """What a training tells while it goes; the command line draws it."""

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """Training starts or resumes at `position`."""

    def stepped(self, images: int) -> None:
        """One iteration is done."""

    def measured(self, row: dict[str, Any]) -> None:
        """A row was added to the metrics file."""


class Trainer:
    """One training, from a fresh or a resumed state to a finished run.

    Args:
        recipe: What to train.
        dataset: The images, in three splits.
        run: The folder to fill.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ProviderError: CUDA was asked for and is not there.
        WrongUse: The images do not fit the recipe's network.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, run: Run, *, device: str = "auto") -> None:
        self.recipe = recipe
        self.dataset = dataset
        self.run = run
        self.fabric = _fabric(device, recipe.train.precision)
        torch.manual_seed(recipe.train.seed)
        self.network = build_network(recipe, classes=len(dataset.classes), shape=dataset.shape)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=recipe.train.rate)
        self.module, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.routing_step = routing_step(self.network.routing, recipe.routing)
        self.batches = Batches(
            dataset.train,
            batch_size=recipe.train.batch_size,
            seed=recipe.train.seed,
            shift=recipe.data.shift,
            device=self.fabric.device,
        )
        self.position = Position()
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.fabric.device)  # loss, wrong, images

    @property
    def steps(self) -> int:
        """Iterations of the whole training."""
        return self.recipe.train.epochs * len(self.batches)

    def start(self) -> None:
        """Write the new run's recipe and record."""
        self.run.create(self.recipe, self._record("training"))

    def resume(self) -> None:
        """Take up the state of the run's last checkpoint; a run interrupted before its first starts over.

        Raises:
            ModelError: The checkpoint is damaged, or of another network.
        """
        if not self.run.last.exists():
            return
        self.position, sums = load_checkpoint(self.run.last, self.network, self._optimizers())
        self.sums = sums.to(self.fabric.device)

    def train(self, observer: Observer) -> RunRecord:
        """Train to the recipe's last epoch, then score the best weights on the test set.

        Raises:
            Interrupted: Ctrl-C or a termination signal came; the state was saved.
            WrongUse: Another process trains in the run's folder.
            ModelError: The loss is no longer a number.
        """
        with self.run.locked(), Interruption() as interruption:
            metrics = MetricsFile(self.run.metrics, self.position.step)
            observer.started(self.position, self.recipe.train.epochs, len(self.batches))
            while self.position.epoch < self.recipe.train.epochs:
                self._epoch(metrics, observer, interruption)
            return self._finish(metrics, observer)

    def _epoch(self, metrics: MetricsFile, observer: Observer, interruption: Interruption) -> None:
        position = self.position
        clock = _Clock()
        for images, labels in self.batches.epoch(position.epoch, position.batch):
            self.iterate(images, labels)
            position.step += 1
            position.batch += 1
            clock.images += len(labels)
            observer.stepped(len(labels))
            if position.step % ROW_EVERY == 0 or position.batch == len(self.batches):
                self._write_training_row(metrics, observer, clock)
            if interruption.requested and position.batch < len(self.batches):
                position.seconds += clock.lap()
                self._save()
                raise Interrupted(f"interrupted at step {position.step}; the state is saved in '{self.run.path}'")
        position.epoch += 1
        position.batch = 0
        self._validate(metrics, observer)
        position.seconds += clock.lap()
        self._save()
        if interruption.requested:
            raise Interrupted(f"interrupted after epoch {position.epoch}; the state is saved in '{self.run.path}'")

    def iterate(self, images: Tensor, labels: Tensor) -> None:
        """Lines 2 to 9 of Algorithm 1 on one minibatch: [batch, channels, height, width] of 0 to 1, and [batch]."""
        recipe = self.recipe
        factor = rate_factor(self.position.step, self.steps, recipe.train)
        for _ in range(recipe.routing.n_b):
            primary = self._weight_step(images, labels, factor)
        if self.routing_step is None:
            return
        if not recipe.routing.reuse_primary:
            with torch.no_grad():
                primary = self.module(images).primary
        for _ in range(recipe.routing.n_r):
            self.routing_step(primary, labels, factor)

    def _weight_step(self, images: Tensor, labels: Tensor, factor: float) -> Tensor:
        """Descend the loss in W; gives the primary capsules that it saw."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.train.rate * factor
        capsules = self.module(images)
        lengths = capsules.lengths
        targets = one_hot(labels, lengths.shape[1]).float()
        loss = margin_loss(lengths, targets)
        if self.network.decoder is not None:
            reconstruction = self.network.decoder(capsules.poses, targets)
            loss = loss + self.recipe.train.reconstruction * reconstruction_loss(reconstruction, images)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        wrong = (lengths.argmax(1) != labels).sum()
        self.sums += torch.stack([loss.detach() * len(labels), wrong, torch.full_like(wrong, len(labels))])
        primary: Tensor = capsules.primary.detach()
        return primary

    def _write_training_row(self, metrics: MetricsFile, observer: Observer, clock: "_Clock") -> None:
        loss, wrong, images = self.sums.tolist()
        self.sums.zero_()
        images_here, seconds = clock.images, clock.lap()  # the sums may hold images of an interrupted session
        self.position.seconds += seconds
        self._check_finite(loss)
        row = {
            "kind": "training",
            "epoch": self.position.epoch + 1,
            "step": self.position.step,
            "loss": loss / images,
            "error": wrong / images,
            "images_per_second": images_here / seconds,
        }
        metrics.append(row)
        observer.measured(row)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise ModelError(
                f"training diverged: the loss is {loss} at step {self.position.step}; "
                "lower train.rate or routing.rate"
            )

    def _validate(self, metrics: MetricsFile, observer: Observer) -> None:
        position = self.position
        score = evaluate(self.network, self.dataset.validation, self.fabric.device)
        self._check_finite(score.loss)
        if position.best_error is None or score.error < position.best_error:
            position.best_error, position.best_epoch = score.error, position.epoch
            save_weights(self.run.best, self.network)
        row = {
            "kind": "validation",
            "epoch": position.epoch,
            "step": position.step,
            "loss": score.loss,
            "error": score.error,
            "b": coefficient_statistics(self.network.routing),
        }
        metrics.append(row)
        observer.measured(row)

    def _finish(self, metrics: MetricsFile, observer: Observer) -> RunRecord:
        """Score the best weights on the test set, once, when nothing is left to choose."""
        best: CapsNet = self.run.load_best().to(self.fabric.device)
        test = evaluate(best, self.dataset.test, self.fabric.device)
        row = {"kind": "test", "epoch": self.position.best_epoch, "step": self.position.step, "error": test.error}
        metrics.append(row)
        observer.measured(row)
        assert self.position.best_error is not None
        record = self._record(
            "finished",
            scores=(
                Score("trained", "validation", len(self.dataset.validation), self.position.best_error),
                Score("trained", "test", test.images, test.error),
            ),
            best_epoch=self.position.best_epoch,
            seconds=round(self.position.seconds, 1),
        )
        self.run.write_record(record)
        return record

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers: dict[str, torch.optim.Optimizer] = {"weights": self.optimizer.optimizer}
        if self.routing_step is not None:
            optimizers["routing"] = self.routing_step.optimizer
        return optimizers

    def _save(self) -> None:
        save_checkpoint(self.run.last, self.position, self.network, self._optimizers(), self.sums)

    def _record(self, status: Any, **more: Any) -> RunRecord:
        return RunRecord(
            status=status,
            classes=self.dataset.classes,
            shape=self.dataset.shape,
            fit=self.dataset.fit,
            data=self.dataset.description,
            data_source=self.dataset.source,
            data_sha256=self.dataset.sha256(),
            versions={
                "capsedge": __version__,
                "torch": str(torch.__version__),
                "lightning-fabric": version("lightning-fabric"),
            },
            device=str(self.fabric.device),
            **more,
        )


class _Clock:
    """Seconds, and images, since it was last asked."""

    def __init__(self) -> None:
        self.images = 0
        self.start = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        seconds, self.start, self.images = now - self.start, now, 0
        return seconds


def _fabric(device: str, precision: str) -> Fabric:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ProviderError(
            f"--device cuda: torch {torch.__version__} finds no CUDA device here; "
            "use --device cpu, or install a CUDA build of torch and the NVIDIA driver"
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision, as we do
    fabric = Fabric(accelerator=device, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")
    fabric.launch()
    return fabric
