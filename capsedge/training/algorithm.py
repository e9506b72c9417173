"""Algorithm 1: alternating steps on the weights (margin loss) and on the routing coefficients (routing objective).

On several devices each takes its part of every batch. Losses and objective are sums over the images divided by the
size of the whole batch, and their gradients are summed over the devices, so that N devices take the same steps as
one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import torch
from msgspec.structs import replace
from torch import Tensor

from capsedge.data import Dataset
from capsedge.models import (
    CapsNet,
    Capsules,
    build_network,
    margin_loss,
    primary_capsules,
    reconstruction_loss,
)
from capsedge.models.loss import distillation_loss
from capsedge.models.routing import with_b0
from capsedge.models.stem import BatchNorm
from capsedge.recipe import Recipe
from capsedge.records import decoded
from capsedge.training.batches import Batch, Batches
from capsedge.training.checkpoint import Position
from capsedge.training.devices import Devices, share_statistics
from capsedge.training.dropout import SharedDropout
from capsedge.training.evaluate import multi_hot
from capsedge.training.plan import planned
from capsedge.training.precision import Bf16Cost, PrecisionChoice, choose_precision, cost_of_bf16
from capsedge.training.routing_step import routing_step
from capsedge.training.schedule import rate_factor
from capsedge.training.teachers import Teachers
from capsedge.training.weights import Average, weights_optimizer


class Algorithm1:
    """The state of a training in memory, and one iteration of Algorithm 1.

    Args:
        recipe: What to train. If its precision is `auto`, the first device chooses it here for all.
        dataset: The images, in three splits.
        devices: The devices of this training.

    Raises:
        WrongUse: The images do not fit the recipe's network, or a teacher is not a finished run on such images.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, devices: Devices) -> None:
        self.dataset = dataset
        self.devices = devices
        chosen = choose_precision(recipe.train.precision, devices.device)
        self.precision = decoded(devices.told(msgspec.json.encode(chosen).decode()), PrecisionChoice)
        images = recipe.data.epoch_images or len(dataset.train)
        recipe = planned(recipe, images, channels=dataset.shape[2])
        recipe = replace(recipe, train=replace(recipe.train, precision=self.precision.precision))
        torch.manual_seed(recipe.train.seed)
        self.network = build_network(recipe, classes=len(dataset.classes), shape=dataset.shape)
        capsules = primary_capsules(recipe, dataset.shape)
        self.recipe = recipe = replace(recipe, routing=with_b0(recipe.routing, capsules))
        ranks = {"rank": devices.rank, "ranks": devices.count}
        if recipe.network.dropout:
            self.network.dropout = SharedDropout(recipe.network.dropout, seed=recipe.train.seed, **ranks)
        if devices.count > 1:
            share_statistics(self.network)
        self.module = devices.replicated(self.network)
        self.optimizer = weights_optimizer(self.network, recipe.train)
        self.average = Average(self.network, recipe.train.averaging) if recipe.train.averaging else None
        self.teachers = Teachers(recipe, dataset, devices.device)
        self.routing_step = routing_step(self.network, recipe.routing, devices.summed)
        self.batches = Batches(
            dataset.train,
            recipe=recipe.data,
            batch_size=recipe.train.batch_size,
            seed=recipe.train.seed,
            device=devices.device,
            **ranks,
        )
        self.position = Position()
        self.sums = torch.zeros(3, dtype=torch.float64, device=devices.device)  # loss, wrong, images

    def cost_of_bf16(self) -> Bf16Cost | None:
        """Measure the cost of bf16 here; None if the training is in fp32, or the device has the units for bf16.

        It takes about a second and changes no number of the training. Only the first device may call it.
        """
        if self.precision.precision == "fp32" or self.precision.units == "used":
            return None
        # A pass in training mode would update the running statistics, and wait for the other devices to do so.
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
        """The network that is validated, saved as the best, and tested: the average if there is one."""
        return self.network if self.average is None else self.average.network

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimizers, by their names in a checkpoint."""
        optimizers: dict[str, torch.optim.Optimizer] = {"weights": self.optimizer}
        if self.routing_step is not None:
            optimizers["routing"] = self.routing_step.optimizer
        return optimizers

    def iterate(self, batch: Batch) -> None:
        """Lines 2 to 9 of Algorithm 1 on this device's part of one minibatch."""
        recipe = self.recipe
        factor = rate_factor(self.position.step, self.steps, recipe.train)
        targets = multi_hot(batch.labels, len(self.dataset.classes))
        taught = self._teacher_lengths(batch.images)
        for number in range(recipe.routing.n_b):
            if isinstance(self.network.dropout, SharedDropout):
                self.network.dropout.begin(self.position.step * recipe.routing.n_b + number, batch.total)
            primary = self._weight_step(batch, targets, taught, factor)
        if self.routing_step is not None:
            with torch.no_grad():
                if not recipe.routing.reuse_primary:
                    primary = self._recomputed_primary(batch.images)
                for _ in range(recipe.routing.n_r):
                    self.routing_step(primary, targets, total=batch.total, factor=factor)
        if self.average is not None:
            self.average.update(self.network, self.position.step)

    def _teacher_lengths(self, images: Tensor) -> Tensor | None:
        """The teachers' lengths, computed in the training's precision."""
        if not self.teachers:
            return None
        with self.devices.computing_in(self.precision.precision):
            return self.teachers.lengths(images)

    def _weight_step(self, batch: Batch, targets: Tensor, taught: Tensor | None, factor: float) -> Tensor:
        """Take a step on the weights; returns the primary capsules of its forward pass."""
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
        """A forward pass in the training's precision, with the results in fp32."""
        with self.devices.computing_in(self.precision.precision):
            capsules: Capsules = self.module(images)
        return capsules._replace(**{name: part.float() for name, part in capsules._asdict().items()})

    def _lengths_loss(self, lengths: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """Each image's loss from its labels and from the teachers' lengths."""
        by_labels = margin_loss(lengths, targets)
        if taught is None:
            return by_labels
        share = self.recipe.train.distillation
        return (1 - share) * by_labels + share * distillation_loss(lengths, taught)

    def _recomputed_primary(self, images: Tensor) -> Tensor:
        """The primary capsules with the current weights.

        Algorithm 1 computes them again because W has changed, so nothing else may differ: normalization uses the
        statistics of the same batch, and dropout the masks of the weight step. The running statistics include this
        batch already.
        """
        with _running_statistics_kept(self.network):
            return self._capsules(images).primary

    def _reconstruction_loss(self, capsules: Capsules, batch: Batch) -> Tensor | float:
        """Each image's reconstruction loss: each of its classes is reconstructed from its own capsule alone."""
        decoder = self.network.decoder
        if decoder is None:
            return 0.0
        poses, classes = capsules.poses, capsules.classes.shape[1]
        losses = [
            reconstruction_loss(decoder(poses, multi_hot(labels[:, None], classes)), part)
            for labels, part in zip(batch.labels.unbind(1), batch.parts.unbind(1), strict=True)
        ]
        return self.recipe.train.reconstruction * torch.stack(losses).sum(0)


@contextmanager
def _running_statistics_kept(network: CapsNet) -> Iterator[None]:
    """Restore the running statistics of normalization after passes in training mode."""
    buffers = [each for module in network.modules() if isinstance(module, BatchNorm) for each in module.buffers()]
    before = [each.clone() for each in buffers]
    yield
    for now, then in zip(buffers, before, strict=True):
        now.copy_(then)


def _wrong(lengths: Tensor, targets: Tensor, *, labels: int) -> Tensor:
    """Which images get a wrong answer (`capsedge.scoring`, on the device)."""
    longest = multi_hot(lengths.topk(labels, 1).indices, targets.shape[1])
    return (longest != targets).any(1)
