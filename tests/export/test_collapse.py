"""The collapsed network against the network it comes from."""

import pytest
import torch

from capsedge.errors import WrongUse
from capsedge.export.collapse import Deployable, collapse
from capsedge.models.routing import StaticRouting
from capsedge.training import Run


def test_the_collapsed_network_computes_the_same_capsules(trained: Run) -> None:
    network = trained.load_best()
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(collapse(network)(images), network(images).classes, atol=1e-6, rtol=1e-5)


def test_it_holds_one_constant_for_b_and_w(trained: Run) -> None:
    network = trained.load_best()
    static = collapse(network)
    assert isinstance(network.routing, StaticRouting)
    assert static.weight.numel() == network.routing.weight.numel()
    assert not any(name.endswith(".b") or name == "b" for name in static.state_dict())


def test_raw_images_are_scaled_and_turned_inside(trained: Run) -> None:
    network = trained.load_best()
    raw = torch.randint(0, 256, (3, 28, 28, 1), dtype=torch.uint8)
    module = Deployable(collapse(network))
    lengths, poses = module(raw)
    assert module.outputs == ("lengths", "poses")
    expected = network(raw.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(lengths, expected.lengths, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(poses, expected.poses, atol=1e-5, rtol=1e-4)


def test_dynamic_routing_has_nothing_constant_to_fold(dynamic: Run) -> None:
    with pytest.raises(
        WrongUse, match=r"DynamicRouting cannot be collapsed.*routing\.kind l2, l1, frozen or backprop"
    ):
        collapse(dynamic.load_best())
