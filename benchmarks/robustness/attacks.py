"""White-box attacks within an L-infinity ball of float pixels: FGSM, and PGD on two losses.

An attack usually maximizes the loss of the training: the margin loss (eq 16), or the cross-entropy of a linear head.
But the margin loss is flat where the right length is above 0.9 and all others are below 0.1: its gradient there is
exactly zero, and an attack on it has no effect. That is gradient masking, not robustness. So PGD also runs on the gap
of lengths, which has a gradient everywhere.

Dynamic and KL routing detach their coefficients from the gradient in training. An attacker need not: here the
gradient flows through every iteration.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from capsedge.models import CapsNet
from capsedge.scoring import wrong_answers
from capsedge.training.evaluate import multi_hot

Images = Float[Tensor, "batch channels height width"]
Loss = Callable[[Float[Tensor, "batch classes"], Float[Tensor, "batch classes"]], Float[Tensor, " batch"]]

STEPS = 20
STRIDE = 2.5  # total length of all steps, in radii of the ball (Madry's own code)


def length_gap(
    lengths: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """The longest capsule of an absent class less the shortest of a present one: above 0 the answer is wrong."""
    absent = lengths.masked_fill(targets > 0, -torch.inf).amax(1)
    present = lengths.masked_fill(targets == 0, torch.inf).amin(1)
    return absent - present


def cross_entropy(
    logarithms: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """The cross-entropy of log-probabilities, which a linear head gives in place of lengths."""
    return -(targets * logarithms).sum(1)


def slopes(
    network: CapsNet, images: Images, labels: Int[Tensor, "batch labels"], loss: Loss
) -> tuple[NDArray[np.bool_], Images]:
    """The wrong answers, and the gradient of each image's loss by its pixels, through the routing as well."""
    images = images.detach().requires_grad_()
    with _AllGradients():
        lengths = network(images).lengths
    (gradient,) = torch.autograd.grad(loss(lengths, multi_hot(labels, lengths.shape[1])).sum(), images)
    return wrong_answers(lengths.detach().numpy(), labels.numpy()), gradient


@torch.no_grad()
def mistakes(network: CapsNet, images: Images, labels: Int[Tensor, "batch labels"]) -> NDArray[np.bool_]:
    """For each image, whether the answer is wrong."""
    return wrong_answers(network(images).lengths.numpy(), labels.numpy())


def fgsm(images: Images, gradient: Images, epsilon: float) -> Images:
    """One step of `epsilon` along the gradient's sign (Goodfellow et al. 2015), cut to 0 to 1."""
    return _within(images + epsilon * gradient.sign(), images, epsilon)


def pgd(
    network: CapsNet,
    images: Images,
    labels: Int[Tensor, "batch labels"],
    epsilon: float,
    *,
    loss: Loss,
    start: Images,
    steps: int = STEPS,
) -> Images:
    """Projected gradient ascent from a random start (Madry et al. 2018), cut to 0 to 1.

    An image stops changing once its answer is wrong, also without an attack, or once its gradient is zero.

    Args:
        network: The network in evaluation mode.
        images: Images of 0 to 1.
        labels: Their classes.
        epsilon: Largest change of a value.
        loss: Loss to maximize.
        start: Random start, -1 to 1, in units of epsilon.
        steps: Number of steps, each of `STRIDE * epsilon / steps`.
    """
    attacked = images.clone()
    left = torch.from_numpy(np.flatnonzero(~mistakes(network, images, labels)))
    attacked[left] = _within(images[left] + epsilon * start[left], images[left], epsilon)
    for _ in range(steps):
        if not len(left):
            break
        wrong, gradient = slopes(network, attacked[left], labels[left], loss)
        moving = torch.from_numpy(~wrong) & (gradient != 0).flatten(1).any(1)
        left, gradient = left[moving], gradient[moving]
        moved = attacked[left] + STRIDE * epsilon / steps * gradient.sign()
        attacked[left] = _within(moved, images[left], epsilon)
    return attacked


def _within(moved: Images, images: Images, epsilon: float) -> Images:
    """Project onto the ball and the pixel range of 0 to 1."""
    return moved.clamp(images - epsilon, images + epsilon).clamp(0, 1)


class _AllGradients(TorchFunctionMode):
    """Disables `detach`, so that gradients flow through a network's routing coefficients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is torch.Tensor.detach else func(*args, **(kwargs or {}))
