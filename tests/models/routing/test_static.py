"""The folded form of eq 6 against votes summed one by one."""

import torch

from capsedge.models.routing import StaticRouting


def layer_in_float64() -> StaticRouting:
    torch.manual_seed(3)
    layer = StaticRouting(capsules=6, dim=3, classes=4, class_dim=5, sigma=0.5).double()
    layer.b.normal_()
    return layer


def test_class_capsules_are_the_weighted_sum_of_votes() -> None:
    layer = layer_in_float64()
    u = torch.randn(2, 6, 3, dtype=torch.float64)
    expected = torch.zeros(2, 4, 5, dtype=torch.float64)
    for k in range(2):
        for i in range(6):
            for j in range(4):
                for d in range(3):
                    expected[k, j] += layer.b[i, j] * layer.weight[i, d, j] * u[k, i, d]
    torch.testing.assert_close(layer(u), expected)


def test_the_margin_loss_cannot_train_b() -> None:
    layer = layer_in_float64()
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert "b" in layer.state_dict()
