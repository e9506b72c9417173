"""The network of the paper: squash, capsule layers, routing, decoder and loss."""

from capsedge.models.loss import margin_loss, reconstruction_loss
from capsedge.models.network import CapsNet, Capsules, build_network, primary_capsules
from capsedge.models.squash import squash, squashed_length

__all__ = [
    "CapsNet",
    "Capsules",
    "build_network",
    "margin_loss",
    "primary_capsules",
    "reconstruction_loss",
    "squash",
    "squashed_length",
]
