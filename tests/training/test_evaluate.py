"""Scoring a network leaves it as it was."""

import pytest
import torch

from capsedge.data import Dataset
from capsedge.models import build_network
from capsedge.training import evaluate, lengths_of
from tests.training.residual import residual_recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("training", [True, False])
def test_a_scored_network_stays_in_its_mode_with_its_statistics(training: bool, little: Dataset) -> None:
    network = build_network(residual_recipe("network.dropout=0.5"), classes=10, shape=little.shape)
    network.train(training)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    lengths = lengths_of(network, little.test, CPU)
    assert network.training is training
    assert evaluate(network, little.test, CPU, classes=10).images == 100
    assert network.training is training
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(lengths, lengths_of(network, little.test, CPU)), "without dropout"
