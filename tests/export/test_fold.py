"""Networks without their normalization and branches, against the trained ones in float64 and sums by hand."""

from collections import Counter
from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from capsedge.export.collapse import deployable
from capsedge.export.fold import folded
from capsedge.models import squash, squashed_length
from capsedge.models.stem import BatchNorm
from tests.export.exact import exact_capsules
from tests.export.graphs import graph_of
from tests.export.stems import STEMS, stem_network

# Blocks of [8, 2], [8, 1] and [12, 2], and the primary capsules: convolutions that are left at the edge.
CONVOLUTIONS = {"table1": 2, "plain": 4, "separable": 1 + 2 + 2 + 1, "residual": 1 + 2 + 3 + 1, "repvgg": 4}
KINDS = [(stem, "l2") for stem in STEMS] + [("residual", "dynamic"), ("repvgg", "em")]
POSES = {"em": ("network.primary_dim=16", "network.class_dim=16")}  # 4x4 matrices


Images = NDArray[np.uint8]


def test_a_convolution_of_one_weight_and_its_normalization_by_hand() -> None:
    network = stem_network("plain")
    assert isinstance(network.stem, nn.Sequential)
    first = network.stem[0]
    assert isinstance(first, nn.Sequential)
    conv, norm, _ = first
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[3, 0, 1, 1] = 2.0
        for values, number in (
            (norm.running_mean, 3.0),
            (norm.running_var, 4.0),
            (norm.weight, 0.5),
            (norm.bias, 1.0),
        ):
            values[3] = number

    made = folded(network).stem

    assert isinstance(made, nn.Sequential)
    merged = made[0]
    assert isinstance(merged, nn.Sequential)
    without, nothing, relu = merged
    image = torch.full((1, 1, 28, 28), 5.0)
    # 2 * 5 = 10, which is 7 above the mean and so 3.5 deviations of 2; half of that, and 1: 2.75.
    torch.testing.assert_close(without(image)[0, 3], torch.full((14, 14), 2.75), atol=5e-6, rtol=0)
    assert isinstance(nothing, nn.Identity)
    assert isinstance(relu, nn.ReLU)


@pytest.mark.parametrize(("stem", "routing"), KINDS)
def test_the_folded_network_computes_what_the_trained_one_does(stem: str, routing: str, images: Images) -> None:
    network = stem_network(stem, routing, *POSES.get(routing, ()))
    expected = torch.from_numpy(exact_capsules(deepcopy(network), images))
    assert expected.std() > 0.01  # a network that tells images apart
    pixels = torch.from_numpy(images)
    with torch.no_grad():
        classes = folded(network)(pixels.permute(0, 3, 1, 2) / 255).classes
        lengths, poses = deployable(network)(pixels)
    torch.testing.assert_close(classes.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lengths.double(), squashed_length(expected), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(poses.double(), squash(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("stem", "routing"), KINDS)
def test_an_exported_file_has_one_convolution_for_each_that_is_left_and_no_normalization(
    stem: str, routing: str
) -> None:
    graph: onnx.ModelProto = graph_of(stem_network(stem, routing, *POSES.get(routing, ())))
    operators = Counter(node.op_type for node in graph.graph.node)
    assert operators["BatchNormalization"] == 0
    assert operators["Conv"] == CONVOLUTIONS[stem]
    # What is left of a normalization is the bias of the convolution before it.
    assert all(len(node.input) == 3 for node in graph.graph.node if node.op_type == "Conv")


@pytest.mark.parametrize("stem", STEMS)
def test_the_trained_network_stays_as_it_was(stem: str, images: Images) -> None:
    network = stem_network(stem).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modules = [type(module) for module in network.modules()]

    made = folded(network)
    made(torch.from_numpy(images[:4]).permute(0, 3, 1, 2) / 255)

    assert network.training
    assert not made.training
    assert [type(module) for module in network.modules()] == modules
    after = network.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    shared = {value.data_ptr() for value in network.parameters()} & {value.data_ptr() for value in made.parameters()}
    assert not shared


def test_a_channel_that_never_varied_is_folded_with_the_normalizations_epsilon(images: Images) -> None:
    network = stem_network("residual")
    for norm in network.modules():
        if isinstance(norm, BatchNorm):
            assert norm.running_var is not None
            norm.running_var[1] = 0.0
    expected = torch.from_numpy(exact_capsules(deepcopy(network), images))
    made = folded(network)(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).classes
    assert made.isfinite().all()
    torch.testing.assert_close(made.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
