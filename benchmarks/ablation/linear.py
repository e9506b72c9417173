"""A plain classifier for comparison: the same stem and primary convolution, then linear layers and softmax.

It keeps the primary capsules' convolution with its normalization. A ReLU replaces squash, and the head is linear,
normalization, ReLU, linear. The hidden width gives the head as many weights as the capsules' W. An image uses each
weight of either head once, so the number of products is equal, too. A direct head is the last linear layer alone.

The training is capsedge's own: batches, augmentation, schedule, decay, averaging and the choice of the epoch. Only
the loss differs: cross-entropy.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
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


class HeadOutputs(Capsules):
    """Outputs of a linear head in the form of capsules.

    `primary` holds the features, [batch, inputs], and `classes` the logits, [batch, classes].
    """

    @property
    def lengths(self) -> Float[Tensor, "batch classes"]:
        """Log-probabilities of the classes; the largest is the answer, as with capsule lengths."""
        return torch.log_softmax(self.classes, 1)


class LinearNet(CapsNet):
    """Stem and primary convolution of a capsule network, and a linear head.

    Args:
        capsules: The network whose stem and primary convolution are used.
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
        """No layers."""
        return []

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> HeadOutputs:
        """Features and logits of images with values 0 to 1."""
        maps = self.primary.conv(self.dropout(self.stem(self.prepare(images)))).float()
        if self.primary.norm is not None:
            maps = self.primary.norm(maps)
        features = torch.relu(maps).flatten(1)
        with torch.autocast(features.device.type, enabled=False):  # as the routing
            return HeadOutputs(features, self.head(features))


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
        """The run's network, made from a capsule network of its recipe."""
        return LinearNet(capsules, hidden=0 if self.direct else equal_width(capsules))

    def load_best(self) -> CapsNet:
        """The network with the weights of the best epoch, in evaluation mode on the CPU.

        Raises:
            ModelError: The weights are missing or damaged.
        """
        record = self.read_record()
        network = self.with_head(build_network(self.read_recipe(), classes=len(record.classes), shape=record.shape))
        load_network(self.best, network)
        return network.eval()


def run_in(path: Path) -> Run:
    """The run in a folder: of capsules, or of a linear head, which the names of its weights tell."""
    run = Run(path)
    try:
        with safe_open(run.best, "pt") as weights:
            names = set(weights.keys())
    except (OSError, SafetensorError):
        return run  # its `load_best` says what is wrong
    if not any(name.startswith("network.head.") for name in names):
        return run
    return LinearRun(path, direct="network.head.1.weight" not in names)


class LinearTrainer(Trainer):
    """The training of a network with a linear head, by cross-entropy.

    Args:
        recipe: Recipe with the stem. Its routing must be `frozen`, so that there is no routing step.
        dataset: The images, each of one class.
        run: The folder to fill.
        devices: See `Trainer`.
        device: See `Trainer`.

    Raises:
        WrongUse: The images have two classes each, or the recipe has parts that a linear head does not support.
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
        # With the same seed, stem and convolution have the same initial weights as below capsules.
        super().__init__(recipe, dataset, run, devices=devices, device=device)
        self.network = run.with_head(self.network)
        self.module = self.devices.replicated(self.network)
        self.optimizer = weights_optimizer(self.network, self.recipe.train)
        self.average = Average(self.network, recipe.train.averaging) if recipe.train.averaging else None

    def _lengths_loss(self, lengths: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """The cross-entropy of each image."""
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
    """The hidden width whose linear head has the closest number of weights to a network's routing layers."""
    weights = sum(layer.weight.numel() for layer in capsules.routing_layers)
    return max(1, round(weights / sum(_sides(capsules))))


def _sides(capsules: CapsNet) -> tuple[int, int]:
    """Number of input features and of classes of a head."""
    count, dim = capsules.routing_layers[0].weight.shape[:2]
    return count * dim, capsules.routing.weight.shape[2]


def _check(recipe: Recipe, dataset: Dataset) -> None:
    if recipe.routing.kind != "frozen":
        raise WrongUse(
            f"expected routing.kind frozen for a linear head, got {recipe.routing.kind} in recipe '{recipe.name}'"
        )
    if recipe.network.decoder:
        raise WrongUse(f"a linear head has no decoder, and recipe '{recipe.name}' has one: set network.decoder=[]")
    if recipe.train.teachers:
        raise WrongUse("a linear head does not support teachers: leave out train.teachers")
    if dataset.labels_per_image > 1:
        raise WrongUse("a linear head answers with one class, and each of these images has two: set data.overlap=0")
