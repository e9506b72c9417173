"""The plain baseline of the benchmarks computes what the library's dynamic routing computes: a fair comparison."""

import torch

from benchmarks.textbook import textbook_routing
from capsedge.models.routing import DynamicRouting


def test_the_textbook_and_the_library_give_the_same_capsules_and_gradients() -> None:
    torch.manual_seed(0)
    layer = DynamicRouting(capsules=12, dim=4, classes=5, class_dim=6, iterations=3, sigma=1.0).double()
    u = torch.randn(3, 12, 4, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(u), textbook_routing(layer.weight, u)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(v.square().sum(), [u, layer.weight]) for v in (ours, theirs)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
