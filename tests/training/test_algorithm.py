"""Algorithm 1 against its equations, written out a second time in double precision; autograd gives the gradients."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from capsedge.data import Dataset
from capsedge.models import build_network
from capsedge.recipe import Recipe
from capsedge.training import Run, Trainer
from capsedge.training.batches import Batches
from capsedge.training.metrics import read_metrics
from tests.tiny import tiny_recipe, train_tiny

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba 2015


@dataclass
class Written:
    """What a training must leave.

    Attributes:
        weights: Every parameter by its name.
        b: Routing coefficients.
        losses: Loss that each weight step saw.
    """

    weights: dict[str, Tensor]
    b: Tensor
    losses: list[float]


def by_hand(recipe: Recipe, data: Dataset, factors: tuple[float, ...] = (1.0,)) -> Written:
    """One epoch of Algorithm 1; `factors` are the schedule's, one an iteration."""
    torch.manual_seed(recipe.train.seed)
    network = build_network(recipe, classes=10, shape=(28, 28, 1))
    weights = {name: each.detach().double().requires_grad_() for name, each in network.named_parameters()}
    b = torch.full((weights["routing.weight"].shape[0], 10), recipe.routing.b0, dtype=torch.float64)
    m, s = torch.zeros_like(b), torch.zeros_like(b)
    adam = torch.optim.Adam(weights.values())
    batches = Batches(
        data.train,
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
        shift=recipe.data.shift,
        device=torch.device("cpu"),
    )
    losses, steps = [], 0
    for factor, (pixels, labels) in zip(factors, batches.epoch(0), strict=True):
        images = pixels.double()
        for _ in range(recipe.routing.n_b):
            u = primary(weights, images)
            loss = total_loss(weights, torch.einsum("bid,idjk,ij->bjk", u, weights["routing.weight"], b), images, labels, recipe)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.param_groups[0]["lr"] = recipe.train.rate * factor
            adam.step()
            losses.append(loss.item())
        if not recipe.routing.reuse_primary:
            u = primary(weights, images)
        for _ in range(recipe.routing.n_r):
            b.requires_grad_()
            v = torch.einsum("bid,idjk,ij->bjk", u.detach(), weights["routing.weight"].detach(), b)
            (g,) = torch.autograd.grad(objective(v, b, labels, recipe), b)
            b, steps = b.detach(), steps + 1
            if recipe.routing.step == "adam":
                m, s = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * s + (1 - BETA_2) * g**2
                g = m / (1 - BETA_1**steps) / ((s / (1 - BETA_2**steps)).sqrt() + EPSILON)
            b = b + recipe.routing.rate * factor * g
    return Written({name: each.detach() for name, each in weights.items()}, b, losses)


def primary(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Capsules of 4 components, of 2 types at each position."""
    features = conv2d(images, weights["conv.weight"], weights["conv.bias"]).relu()
    maps = conv2d(features, weights["primary.conv.weight"], weights["primary.conv.bias"], stride=2)
    return squash(maps.unflatten(1, (2, 4)).flatten(3).transpose(2, 3).flatten(1, 2))


def squash(v: Tensor) -> Tensor:
    norm = v.norm(dim=-1, keepdim=True)
    return norm**2 / (1 + norm**2) * v / norm  # eq 3


def total_loss(weights: dict[str, Tensor], v: Tensor, images: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    poses, targets = squash(v), torch.eye(10)[labels]
    lengths = poses.norm(dim=-1)
    margin = targets * (0.9 - lengths).clamp(min=0) ** 2 + 0.5 * (1 - targets) * (lengths - 0.1).clamp(min=0) ** 2
    loss = margin.sum(1).mean()  # eq 16
    if recipe.network.decoder:
        masked = (poses * targets[:, :, None]).flatten(1)
        hidden = linear(masked, weights["decoder.layers.0.weight"], weights["decoder.layers.0.bias"]).relu()
        pixels = linear(hidden, weights["decoder.layers.2.weight"], weights["decoder.layers.2.bias"]).sigmoid()
        loss = loss + recipe.train.reconstruction * (pixels - images.flatten(1)).square().sum(1).mean()
    return loss


def objective(v: Tensor, b: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    signs = 2 * torch.eye(10)[labels] - 1
    data = (signs * v.square().sum(2)).sum()  # eq 10
    if recipe.routing.reduction == "mean":
        data = data / len(labels)
    size = b.abs().sum() if recipe.routing.kind == "l1" else b.square().sum()  # eq 14, eq 10
    return data - recipe.routing.penalty * size
