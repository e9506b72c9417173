"""A plain classifier beside the capsules: the same stem and primary convolution, then linear layers and softmax.

Of the capsules only the convolution of the primary ones stays, with its normalization. A ReLU takes the place of
squash, and the head is linear, normalization, ReLU, linear. Its hidden width is the one with which the head has as
many weights as the capsules' W. Each weight of either head is used once an image, so the products are as many, too.
A direct head has the last linear layer alone.

The training is capsedge's own: batches, augmentation, schedule, decay, averaging and the choice of the epoch. Only
the loss differs: cross-entropy.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from capsedge.data import Dataset, Split
from capsedge.errors import WrongUse
from capsedge.models import CapsNet, Capsules, build_network
from capsedge.models.routing import Routing
from capsedge.recipe import Recipe
from capsedge.scoring import wrong_answers
from capsedge.training import Evaluation, Run, Trainer, lengths_of
from capsedge.training.checkpoint import load_network
from capsedge.training.devices import Devices
from capsedge.training.weights import Average, weights_optimizer


class Answers(Capsules):
    """What a linear head computes, in the place of capsules.

    `primary` are the features, [batch, inputs], and `classes` the logits, [batch, classes].
    """

    @property
    def lengths(self) -> Float[Tensor, "batch classes"]:
        """Logarithms of the classes' probabilities: the largest is the answer, as with capsules."""
        return torch.log_softmax(self.classes, 1)


class LinearNet(CapsNet):
    """Stem and primary convolution of a capsule network, and a linear head.

    Args:
        capsules: The network that gives its stem and its convolution.
        hidden: Width of the hidden layer; 0 for none.
    """

    def __init__(self, capsules: CapsNet, *, hidden: int) -> None:
        super().__init__(
            prepare=capsules.prepare,
            stem=capsules.stem,
            channels=capsules.channels,
            dropout=0.0,
            primary=capsules.primary,
            hidden=[],
            routing=capsules.routing,
            decoder=None,
        )
        del self.routing
        self.dropout = capsules.dropout
        inputs, classes = _sides(capsules)
        self.head = nn.Sequential(
            *([nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()] if hidden else []),
            nn.Linear(hidden or inputs, classes),
        )

    @property
    def routing_layers(self) -> list[Routing]:
        """None."""
        return []

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Answers:
        """Features and logits of images with values 0 to 1."""
        maps = self.primary.conv(self.dropout(self.stem(self.prepare(images)))).float()
        if self.primary.norm is not None:
            maps = self.primary.norm(maps)
        features = torch.relu(maps).flatten(1)
        with torch.autocast(features.device.type, enabled=False):  # as the routing
            return Answers(features, self.head(features))


class LinearRun(Run):
    """The run of a network with a linear head.

    Args:
        path: The folder.
        direct: Whether the head has no hidden layer.
    """

    def __init__(self, path: Path, *, direct: bool = False) -> None:
        super().__init__(path)
        self.direct = direct

    def with_head(self, capsules: CapsNet) -> LinearNet:
        """The run's network, made of a capsule network of its recipe."""
        return LinearNet(capsules, hidden=0 if self.direct else equal_width(capsules))

    def load_best(self) -> CapsNet:
        """The network with the weights of the best epoch, in evaluation mode on the CPU.

        Raises:
            ModelError: There are none, or they are damaged.
        """
        record = self.read_record()
        network = self.with_head(build_network(self.read_recipe(), classes=len(record.classes), shape=record.shape))
        load_network(self.best, network)
        return network.eval()


class LinearTrainer(Trainer):
    """The training of a network with a linear head, by cross-entropy.

    Args:
        recipe: Whose stem to train. Its routing must be `frozen`, since no routing step is to be taken.
        dataset: The images, each of one class.
        run: The folder to fill.
        devices: See `Trainer`.
        device: See `Trainer`.

    Raises:
        WrongUse: The images have two classes each, or the recipe has what a linear head cannot have.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        run: LinearRun,
        *,
        devices: Devices | None = None,
        device: str = "auto",
    ) -> None:
        _check(recipe, dataset)
        # The seed gives stem and convolution the start that they have below capsules.
        super().__init__(recipe, dataset, run, devices=devices, device=device)
        self.network = run.with_head(self.network)
        self.module = self.devices.replicated(self.network)
        self.optimizer = weights_optimizer(self.network, self.recipe.train)
        self.average = Average(self.network, recipe.train.averaging) if recipe.train.averaging else None

    def _lengths_loss(self, lengths: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """Each image's cross-entropy."""
        assert taught is None  # `_check` refuses teachers
        return -(targets * lengths).sum(1)

    def _evaluate(self, network: CapsNet, split: Split) -> Evaluation:
        """Error and mean cross-entropy, by which the best epoch is chosen."""
        logarithms = lengths_of(network, split, self.devices.device)
        return Evaluation(
            error=float(wrong_answers(logarithms.numpy(), split.labels).mean()),
            loss=float(nll_loss(logarithms.double(), torch.from_numpy(split.labels))),
            images=len(split),
        )


def equal_width(capsules: CapsNet) -> int:
    """The hidden width with which a linear head has as nearly as can be the weights of a network's routing layers."""
    weights = sum(layer.weight.numel() for layer in capsules.routing_layers)
    return max(1, round(weights / sum(_sides(capsules))))


def _sides(capsules: CapsNet) -> tuple[int, int]:
    """Features that come into a head, and classes that go out."""
    count, dim = capsules.routing_layers[0].weight.shape[:2]
    return count * dim, capsules.routing.weight.shape[2]


def _check(recipe: Recipe, dataset: Dataset) -> None:
    if recipe.routing.kind != "frozen":
        raise WrongUse(
            f"a linear head wants routing.kind frozen, and recipe '{recipe.name}' has {recipe.routing.kind}"
        )
    if recipe.network.decoder:
        raise WrongUse(f"a linear head has no decoder, and recipe '{recipe.name}' has one: set network.decoder=[]")
    if recipe.train.teachers:
        raise WrongUse("a linear head learns from no teacher: leave train.teachers out")
    if dataset.labels_per_image > 1:
        raise WrongUse("a linear head gives one class an image, and each of these images has two: set data.overlap=0")
