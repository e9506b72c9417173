"""Algorithm 1 against its equations, written out a second time in double precision; autograd gives the gradients."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import conv2d, linear

from capsedge.data import Dataset
from capsedge.data.dataset import overlapped
from capsedge.models import build_network
from capsedge.recipe import Recipe, load_recipe
from capsedge.training import Run, Trainer
from capsedge.training.algorithm import Algorithm1
from capsedge.training.batches import Batches
from capsedge.training.devices import Devices
from capsedge.training.metrics import read_metrics
from tests.tiny import Silent, tiny_recipe, train_tiny

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba 2015


def by_hand(recipe: Recipe, data: Dataset) -> tuple[dict[str, Tensor], float]:
    """One epoch of Algorithm 1 from the seed's network: the state it leaves, and the mean of the losses it saw."""
    torch.manual_seed(recipe.train.seed)
    network = build_network(recipe, classes=10, shape=data.shape)
    weights = {name: each.detach().double().requires_grad_() for name, each in network.named_parameters()}
    b = torch.full((weights["routing.weight"].shape[0], 10), recipe.routing.b0 or 1.0, dtype=torch.float64)
    if recipe.routing.kind == "backprop":
        b = weights["routing.b"]
    m, s = torch.zeros_like(b), torch.zeros_like(b)
    adam = torch.optim.Adam(weights.values())
    batches = Batches(
        data.train,
        recipe=recipe.data,
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
        device=torch.device("cpu"),
    )
    losses, steps = [], 0
    for iteration, batch in enumerate(batches.epoch(0)):
        images, labels, parts = batch.images.double(), batch.labels, batch.parts.double()
        factor = schedule(iteration, len(batches), recipe)
        taught = lengths_of_teachers(recipe, images)
        for _ in range(recipe.routing.n_b):
            u = primary(weights, images)
            v = torch.einsum("bid,idjk,ij->bjk", u, weights["routing.weight"], b)
            loss = total_loss(weights, v, parts, labels, taught, recipe)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():  # Loshchilov and Hutter 2019, algorithm 2: apart from the gradient
                for name, each in weights.items():
                    if name.endswith(".weight"):
                        each.mul_(1 - recipe.train.learning_rate * factor * recipe.train.weight_decay)
            adam.param_groups[0]["lr"] = recipe.train.learning_rate * factor
            adam.step()
            losses.append(loss.item())
        if recipe.routing.kind == "backprop":
            continue
        if not recipe.routing.reuse_primary:
            u = primary(weights, images)
        for _ in range(recipe.routing.n_r):
            b = b.detach().requires_grad_()
            v = torch.einsum("bid,idjk,ij->bjk", u.detach(), weights["routing.weight"].detach(), b)
            (g,) = torch.autograd.grad(objective(v, b, labels, recipe), b)
            if recipe.routing.step == "adam":
                steps += 1
                m, s = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * s + (1 - BETA_2) * g**2
                g = m / (1 - BETA_1**steps) / ((s / (1 - BETA_2**steps)).sqrt() + EPSILON)
            b = b.detach() + recipe.routing.learning_rate * factor * g
            if recipe.routing.proximal:
                shrunk = b.abs() - recipe.routing.learning_rate * factor * recipe.routing.penalty
                b = torch.where(shrunk > 0, b.sign() * shrunk, torch.zeros_like(b))
    state = {name: each.detach() for name, each in weights.items()} | {"routing.b": b.detach()}
    return state, sum(losses) / len(losses)


def schedule(iteration: int, iterations: int, recipe: Recipe) -> float:
    match recipe.train.schedule:
        case "step":
            return recipe.train.decay ** (iteration // recipe.train.decay_steps)
        case "cosine":
            return (1 + math.cos(math.pi * iteration / iterations)) / 2
        case "one-cycle":  # of two iterations, the first half of which it rises in
            return [0.1, (1 + math.cos(math.pi / 3)) / 2][iteration]
    return 1.0


def lengths_of_teachers(recipe: Recipe, images: Tensor) -> Tensor | None:
    """The mean of the lengths by the teachers' best weights."""
    if not recipe.train.teachers:
        return None
    lengths = []
    for folder in recipe.train.teachers:
        tensors = load_file(Path(folder) / "best.safetensors")
        weights = {name.removeprefix("network."): each.double() for name, each in tensors.items()}
        u = primary(weights, images)
        v = torch.einsum("bid,idjk,ij->bjk", u, weights["routing.weight"], weights["routing.b"])
        lengths.append(squash(v).square().sum(2).sqrt())
    return torch.stack(lengths).mean(0)


def primary(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Capsules of 4 components, of 2 types at each position."""
    features = conv2d(images, weights["stem.conv.weight"], weights["stem.conv.bias"]).relu()
    maps = conv2d(features, weights["primary.conv.weight"], weights["primary.conv.bias"], stride=2)
    batch, _, rows, columns = maps.shape
    return squash(maps.view(batch, 2, 4, rows * columns).transpose(2, 3).reshape(batch, -1, 4))


def squash(v: Tensor) -> Tensor:
    norm = v.square().sum(-1, keepdim=True).sqrt()
    return norm.square() / (1 + norm.square()) * v / norm  # eq 3


def present(labels: Tensor) -> Tensor:
    """T_k of eq 16 for one label an image or two."""
    return torch.eye(10)[labels].sum(1)


def total_loss(
    weights: dict[str, Tensor], v: Tensor, parts: Tensor, labels: Tensor, taught: Tensor | None, recipe: Recipe
) -> Tensor:
    poses, targets = squash(v), present(labels)
    lengths = poses.square().sum(2).sqrt()
    margin = targets * (0.9 - lengths).clamp(min=0) ** 2 + 0.5 * (1 - targets) * (lengths - 0.1).clamp(min=0) ** 2
    loss: Tensor = margin.sum(1).mean()  # eq 16
    if taught is not None:
        share = recipe.train.distillation
        loss = (1 - share) * loss + share * (2 * (lengths - taught) ** 2).sum(1).mean()
    if not recipe.network.decoder:
        return loss
    for number in range(labels.shape[1]):
        masked = (poses * torch.eye(10)[labels[:, number]][:, :, None]).flatten(1)
        hidden = linear(masked, weights["decoder.layers.0.weight"], weights["decoder.layers.0.bias"]).relu()
        pixels = linear(hidden, weights["decoder.layers.2.weight"], weights["decoder.layers.2.bias"]).sigmoid()
        errors = (pixels - parts[:, number].flatten(1)).square().sum(1)
        loss = loss + recipe.train.reconstruction * errors.mean()
    return loss


def objective(v: Tensor, b: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    shown = squash(v) if recipe.routing.objective == "squashed" else v
    data = ((2 * present(labels) - 1) * shown.square().sum(2)).sum()  # eq 10
    if recipe.routing.reduction == "mean":
        data = data / len(labels)
    if recipe.routing.proximal:
        return data  # the penalty is a step of its own
    size = b.abs().sum() if recipe.routing.kind == "l1" else b.square().sum()  # eq 14, eq 10
    return data - recipe.routing.penalty * size


ASCENT = ("routing.step=ascent", "routing.learning_rate=0.05")
TWO_BATCHES = "train.batch_size=115"
PAIRS = ("data.overlap=1", "data.epoch_images=230", "data.shift=0", "data.flip=false")

# A recipe, and others that its training must be told from: each is a mistake that one could make in the code.
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ascent in b on capsules computed again, of two steps each": (
        (*ASCENT, "routing.penalty=0.1", "routing.n_b=2", "routing.n_r=2", "routing.reuse_primary=false"),
        ("routing.reuse_primary=true", "routing.n_b=1", "routing.n_r=1"),
    ),
    "ascent in b on the weight step's capsules": (
        (*ASCENT, "routing.reuse_primary=true"),
        ("routing.reuse_primary=false", "routing.reduction=sum"),
    ),
    "one step of Adam": ((), ("routing.step=ascent", "routing.kind=l1")),
    "two steps of Adam on the sum": (
        ("routing.n_r=2", "routing.reduction=sum", "routing.penalty=0.01"),
        ("routing.n_r=1", "routing.reduction=mean", "routing.penalty=0"),
    ),
    "ascent with the L1 penalty on a negative b": (
        (*ASCENT, "routing.kind=l1", "routing.b0=-1.5", "routing.penalty=0.1"),
        ("routing.kind=l2", "routing.penalty=0"),
    ),
    "Adam with the L1 penalty": (
        ("routing.kind=l1", "routing.b0=0.7", "routing.penalty=1e-4"),
        ("routing.kind=l2", "routing.penalty=0"),
    ),
    "the objective after squash": (
        (*ASCENT, "routing.learning_rate=0.5", "routing.objective=squashed"),
        ("routing.objective=raw",),
    ),
    "proximal ascent": (
        (*ASCENT, "routing.kind=l1", "routing.proximal=true", "routing.penalty=6.0", "routing.n_r=4"),
        ("routing.penalty=5.0", "routing.proximal=false"),
    ),
    "proximal Adam": (
        ("routing.kind=l1", "routing.proximal=true", "routing.penalty=0.5"),
        ("routing.penalty=0", "routing.proximal=false"),
    ),
    "coefficients that descend the margin loss": (
        ("routing.kind=backprop", "routing.b0=0.5"),
        ("routing.kind=frozen", "routing.b0=1"),
    ),
    "two labels and two reconstructions": (
        (*PAIRS, "network.decoder=[16]", "train.reconstruction=0.05"),
        ("train.reconstruction=0", "train.reconstruction=0.02"),
    ),
    "reconstruction": (
        ("network.decoder=[16]", "routing.n_b=2"),
        ("train.reconstruction=0", "train.reconstruction=0.0001"),
    ),
    "rates that halve at each iteration": (
        (TWO_BATCHES, "train.schedule=step", "train.decay=0.5", "train.decay_steps=1"),
        ("train.schedule=constant",),
    ),
    "rates that fall along a cosine": ((*ASCENT, TWO_BATCHES, "train.schedule=cosine"), ("train.schedule=constant",)),
    "rates that rise and fall in one cycle": (
        (*ASCENT, TWO_BATCHES, "train.schedule=one-cycle", "train.warmup=0.25"),
        ("train.schedule=constant", "train.schedule=cosine"),
    ),
    "weights that decay": (
        ("network.decoder=[16]", "train.weight_decay=20", "routing.n_b=2"),
        ("train.weight_decay=0", "train.weight_decay=10"),
    ),
    "weights that decay beside coefficients that do not": (
        ("routing.kind=backprop", "routing.b0=0.5", "train.weight_decay=20"),
        ("train.weight_decay=0",),
    ),
    "another seed, and shifted images": (
        (TWO_BATCHES, "train.seed=3", "data.shift=2"),
        ("train.seed=0", "data.shift=0"),
    ),
}


@pytest.mark.parametrize(("overrides", "mistakes"), CASES.values(), ids=CASES)
def test_training_is_algorithm_1_computed_by_hand(
    overrides: tuple[str, ...], mistakes: tuple[str, ...], little: Dataset, tmp_path: Path
) -> None:
    compare(overrides, mistakes, little, tmp_path)


def test_a_training_with_teachers_has_their_lengths_in_its_loss(little: Dataset, tmp_path: Path) -> None:
    one, two = (train_tiny(tmp_path / f"{seed}", tiny_recipe(f"train.seed={seed}"), little).path for seed in (1, 2))
    taught = ("network.decoder=[16]", "routing.n_b=2", "train.distillation=0.7")
    mistakes = ("train.teachers=[]", f"train.teachers=['{one}']", "train.distillation=0", "train.distillation=1")
    compare((*taught, f"train.teachers=['{one}', '{two}']"), mistakes, little, tmp_path)


def compare(overrides: tuple[str, ...], mistakes: tuple[str, ...], little: Dataset, tmp_path: Path) -> None:
    whole = ("train.epochs=1", "train.batch_size=230", "train.schedule=constant", *overrides)
    recipe = tiny_recipe(*whole)
    if recipe.data.overlap:
        little = overlapped(little, recipe.data.overlap, title="overlapped", evaluation_images=50)
    trainer = Trainer(recipe, little, Run(tmp_path / "run"), device="cpu")
    trainer.start()
    trainer.train(Silent())

    state, loss = by_hand(recipe, little)
    assert differing(trainer.network.state_dict(), state, recipe) == []
    (row,) = (row for row in read_metrics(trainer.run.metrics) if row["kind"] == "training")
    assert row["loss"] == pytest.approx(loss, rel=1e-5)
    for mistake in mistakes:
        other, _ = by_hand(tiny_recipe(*whole, mistake), little)
        assert differing(other, state, recipe, factor=10), mistake


def differing(some: dict[str, Tensor], others: dict[str, Tensor], recipe: Recipe, factor: int = 1) -> list[str]:
    """Names of what differs by more than a hundredth of Adam's step, which is `rate` long.

    Float32 leaves a small gradient few digits, and Adam makes it as long as any other; a plain step has them all.
    """
    assert some.keys() == others.keys()
    allowed = dict.fromkeys(some, recipe.train.learning_rate / 100)
    allowed["routing.b"] = recipe.routing.learning_rate / 100 if recipe.routing.step == "adam" else 1e-6
    return [name for name in some if (some[name] - others[name]).abs().max() > factor * allowed[name]]


def test_the_first_steps_at_table_1s_width_do_not_saturate_the_lengths(little: Dataset) -> None:
    """With b = 1 the sum over 1,152 capsules gives losses of about 3 from the second step on."""
    settings = ("train.batch_size=4", "train.epochs=1", "train.precision=fp32", "network.decoder=[]")
    recipe = load_recipe("fashion-mnist-l2", settings)
    algorithm = Algorithm1(recipe, little, Devices(torch.device("cpu")))
    losses = []
    for batch in itertools.islice(algorithm.batches.epoch(0), 4):
        algorithm.sums.zero_()
        algorithm.iterate(batch)
        losses.append(float(algorithm.sums[0]) / batch.total)

    all_lengths_0 = 0.9**2
    assert max(losses) < 1.5 * all_lengths_0
