"""The assembled network against Table I and published counts."""

import pytest
import torch

from capsedge.errors import WrongUse
from capsedge.models import build_network
from capsedge.recipe import load_recipe


def test_table_1_has_1152_primary_capsules_and_the_published_number_of_weights() -> None:
    network = build_network(load_recipe("fashion-mnist-l2"), classes=10, shape=(28, 28, 1))
    capsules = network(torch.rand(2, 1, 28, 28))
    assert capsules.primary.shape == (2, 1152, 8)
    assert capsules.lengths.shape == (2, 10)
    assert capsules.poses.shape == (2, 10, 16)
    # Sabour et al. 2017, section 5: "8.2M parameters and 6.8M parameters without the reconstruction subnetwork".
    assert network.decoder is not None
    decoder = sum(p.numel() for p in network.decoder.parameters())
    total = sum(p.numel() for p in network.parameters())
    assert round(total / 1e6, 1) == 8.2
    assert round((total - decoder) / 1e6, 1) == 6.8


@pytest.mark.parametrize("kind", ["l2", "dynamic"])
def test_lengths_are_the_norms_of_the_poses_and_lie_below_one(kind: str) -> None:
    network = build_network(load_recipe(f"fashion-mnist-{kind}-small"), classes=10, shape=(28, 28, 1))
    capsules = network(torch.rand(3, 1, 28, 28) * 50)
    torch.testing.assert_close(capsules.lengths, torch.linalg.vector_norm(capsules.poses, dim=-1))
    assert (capsules.lengths < 1).all()


def test_any_number_of_classes_and_rectangular_colour_images_fit() -> None:
    network = build_network(load_recipe("fashion-mnist-l2-small"), classes=3, shape=(20, 33, 3))
    assert network(torch.rand(2, 3, 20, 33)).lengths.shape == (2, 3)


def test_images_smaller_than_the_kernels_are_refused_with_the_smallest_size() -> None:
    with pytest.raises(WrongUse, match=r"at least 17x17 pixels, and these have 28x16"):
        build_network(load_recipe("fashion-mnist-l2-small"), classes=3, shape=(16, 28, 1))
    build_network(load_recipe("fashion-mnist-l2-small"), classes=3, shape=(17, 17, 1))


def test_capsules_stay_in_float32_under_bf16_autocast() -> None:
    network = build_network(load_recipe("fashion-mnist-l2-small"), classes=10, shape=(28, 28, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        capsules = network(torch.rand(2, 1, 28, 28))
    assert capsules.primary.dtype == torch.float32
    assert capsules.classes.dtype == torch.float32


def test_the_decoder_sees_the_masked_capsule_only() -> None:
    network = build_network(load_recipe("fashion-mnist-l2"), classes=10, shape=(28, 28, 1))
    assert network.decoder is not None
    poses, mask = torch.randn(1, 10, 16), torch.eye(10)[[4]]
    before = network.decoder(poses, mask)
    poses[:, 5:] = 9.0
    assert torch.equal(network.decoder(poses, mask), before)
    poses[:, 4] += 1.0
    assert not torch.equal(network.decoder(poses, mask), before)
    assert before.shape == (1, 784)
    assert ((before > 0) & (before < 1)).all()
