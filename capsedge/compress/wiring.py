"""The wiring of a network: which layers share a number of channels, and the cost of each channel.

A *width* is a number that compression reduces: the capsule types, and the channels of the stem. Feature maps that a
skip connection adds have the same width. Feature maps inside a block have a width of their own, but a recipe gives
them as many channels as the block's output, so only the choice of their channels is independent.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from capsedge.errors import WrongUse
from capsedge.models import CapsNet
from capsedge.models.routing import StaticRouting
from capsedge.models.stem import Plain, RepVGG, Residual, Separable, Table1

TYPES = "capsule types"
PRIMARY = "primary"

# A multiply-accumulate of the class capsules takes ten times as long as one of a convolution, since each of their
# weights is read for one product only: in Table I's network 1.5 million take 6.7 % of the time, and the 191 million
# of the primary capsules 88.9 % (docs/results.md).
ROUTING_WORK = 10

Counts = Mapping[str, int]  # number of kept items of each width


@dataclass(frozen=True)
class Link:
    """A connection from feature maps to the next ones: a convolution, or the identity of a skip connection.

    Attributes:
        above: Its output maps.
        below: Its input maps; None for the image.
        conv: Name of its convolution; None for an identity, with or without normalization.
        norm: Name of the batch normalization after it, or None.
        depthwise: Whether its convolution is depthwise.
        merged: Whether export folds it into a parallel convolution, so that it costs nothing.
        area: Weights of a kernel for one channel.
        positions: Positions of its output maps.
    """

    above: str
    below: str | None
    conv: str | None = None
    norm: str | None = None
    depthwise: bool = False
    merged: bool = False
    area: int = 0
    positions: int = 0


@dataclass(frozen=True)
class Wiring:
    """The links of a network, and the numbers from which the costs are computed.

    Attributes:
        links: All links, from the image up.
        width_of: The width of each feature map, from the image up; that of the primary capsules is the capsule types.
        sizes: Number of items of each width.
        follows: Widths inside a block, each with the width that has the same number of items.
        unequal: Pairs of widths that must stay different, because a block with equal widths has a skip connection.
        image: Channels of an image.
        dim: Components of a primary capsule.
        grid: Positions of the primary capsules.
        above: Number of capsules above the primary ones, times their components.
        upper: Weights of the routing layers above the first.
    """

    links: tuple[Link, ...]
    width_of: Mapping[str, str]
    sizes: Counts
    follows: Mapping[str, str]
    unequal: tuple[tuple[str, str], ...]
    image: int
    dim: int
    grid: int
    above: int
    upper: int

    def macs(self, counts: Counts) -> int:
        """Multiply-accumulates for one image."""
        layers = sum(link.positions * self._weights(link, counts) for link in self.links)
        return layers + self._routing_weights(counts)

    def work(self, counts: Counts) -> int:
        """Estimated cost of an image on a CPU, in multiply-accumulates of a convolution."""
        return self.macs(counts) + (ROUTING_WORK - 1) * self._routing_weights(counts)

    def parameters(self, counts: Counts) -> int:
        """Weights of the collapsed network, without biases and without the decoder."""
        return sum(self._weights(link, counts) for link in self.links) + self._routing_weights(counts)

    def items(self, maps: str) -> int:
        """Number of items of a feature map's width."""
        return self.sizes[self.width_of[maps]]

    def channels(self, maps: str) -> int:
        """Channels of one item: a capsule type has one for each component."""
        return self.dim if maps == PRIMARY else 1

    def _weights(self, link: Link, counts: Counts) -> int:
        if link.conv is None or link.merged:
            return 0
        above = counts[self.width_of[link.above]] * self.channels(link.above)
        below = self.image if link.below is None else counts[self.width_of[link.below]]
        return link.area * above * (1 if link.depthwise else below)

    def _routing_weights(self, counts: Counts) -> int:
        return counts[TYPES] * self.dim * self.grid * self.above + self.upper


def wiring_of(network: CapsNet, shape: tuple[int, int, int]) -> Wiring:
    """The wiring of a network for images of `shape` (height, width, channels).

    Raises:
        WrongUse: The routing computes its coefficients for each image, so they do not score a capsule in general.
    """
    layers = network.routing_layers
    if not all(isinstance(layer, StaticRouting) for layer in layers):
        raise WrongUse(
            f"compress needs routing whose coefficients are constant after training, and {type(layers[0]).__name__} "
            "computes them for each image",
            "train with routing.kind l2, l1, frozen or backprop",
        )
    blocks = _blocks(network.stem)
    links = [*_stem_links(network.stem, blocks), _primary_link(network, blocks)]
    width_of: dict[str, str] = {}
    for link in links:
        # An identity and a depthwise convolution have the width of their input.
        same = link.below if link.conv is None or link.depthwise else None
        width_of[link.above] = width_of.get(link.above, link.above) if same is None else width_of[same]
    width_of[PRIMARY] = TYPES
    convs = _convolutions(network)
    outputs = _output_positions(network, shape)
    sizes = {width_of[link.above]: convs[link.conv].out_channels for link in links if link.conv}
    sizes[TYPES] = network.primary.types
    capsules, dim, *above = layers[0].weight.shape
    return Wiring(
        links=tuple(
            replace(link, area=prod(convs[link.conv].kernel_size), positions=outputs[link.conv])
            if link.conv
            else link
            for link in links
        ),
        width_of=width_of,
        sizes=sizes,
        follows={f"{name}.inside": width_of[name] for name, block in blocks if isinstance(block, Residual)},
        unequal=tuple(
            (width_of[below], width_of[name])
            for (below, _), (name, block) in pairwise(blocks)
            if not isinstance(block, Plain) and width_of[below] != width_of[name] and _stride(convs, name) == 1
        ),
        image=network.channels,
        dim=dim,
        grid=capsules // network.primary.types,
        above=prod(above),
        upper=sum(layer.weight.numel() for layer in layers[1:]),
    )


def _convolutions(network: CapsNet) -> dict[str, nn.Conv2d]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def _blocks(stem: nn.Module) -> list[tuple[str, nn.Module]]:
    return [] if isinstance(stem, Table1) else [(f"stem.{name}", block) for name, block in stem.named_children()]


def _stride(convs: dict[str, nn.Conv2d], block: str) -> int:
    return next(conv.stride[0] for name, conv in convs.items() if name.startswith(f"{block}."))


def _stem_links(stem: nn.Module, blocks: list[tuple[str, nn.Module]]) -> Iterator[Link]:
    if isinstance(stem, Table1):
        yield Link("stem", None, "stem.conv")
    below: str | None = None
    for name, block in blocks:
        first, second = ((f"{name}.layers.{at}", f"{name}.layers.{at + 1}") for at in (0, 3))
        match block:
            case Plain():
                yield Link(name, below, f"{name}.0", f"{name}.1")
            case Separable():
                yield Link(f"{name}.depthwise", below, *first, depthwise=True)
                yield Link(name, f"{name}.depthwise", *second)
                if block.added:
                    yield Link(name, below)
            case Residual():
                yield Link(f"{name}.inside", below, *first)
                yield Link(name, f"{name}.inside", *second)
                yield Link(name, below, *((f"{name}.around.0", f"{name}.around.1") if len(block.around) else ()))
            case RepVGG():
                yield Link(name, below, f"{name}.spatial.0", f"{name}.spatial.1")
                yield Link(name, below, f"{name}.pointwise.0", f"{name}.pointwise.1", merged=True)
                if block.identity is not None:
                    yield Link(name, below, None, f"{name}.identity")
            case _:
                raise TypeError(f"unknown block type {type(block).__name__}")
        below = name


def _primary_link(network: CapsNet, blocks: list[tuple[str, nn.Module]]) -> Link:
    below = blocks[-1][0] if blocks else "stem"
    return Link(PRIMARY, below, "primary.conv", None if network.primary.norm is None else "primary.norm")


@torch.no_grad()
def _output_positions(network: CapsNet, shape: tuple[int, int, int]) -> dict[str, int]:
    """Number of output positions of each convolution, from a forward pass of one image."""
    found: dict[str, int] = {}

    def record(name: str, conv: nn.Module, given: object, output: Tensor) -> None:
        del conv, given
        found[name] = output.shape[2] * output.shape[3]

    height, width, channels = shape
    with hooked(conv.register_forward_hook(partial(record, name)) for name, conv in _convolutions(network).items()):
        training = network.training
        network.eval()(torch.zeros(1, channels, height, width))
        network.train(training)
    return found


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove the hooks at the end."""
    registered = list(handles)
    try:
        yield
    finally:
        for handle in registered:
            handle.remove()
