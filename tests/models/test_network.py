"""The assembled network against Table I and published counts."""

import pytest
import torch

from capsedge.errors import WrongUse
from capsedge.models import build_network
from capsedge.models.stem import Table1
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


def test_cifar_10_has_64_types_at_12_by_12_positions_as_sabours_code() -> None:
    network = build_network(load_recipe("cifar-10-l2"), classes=10, shape=(32, 32, 3))
    capsules = network(torch.rand(2, 3, 32, 32))
    assert capsules.primary.shape == (2, 9216, 8)
    assert network.decoder is None
    assert isinstance(network.stem, Table1)
    assert torch.equal(network.stem.activation(torch.tensor([-1.0, 1.0])), torch.tensor([-0.2, 1.0]))


def test_training_crops_and_whole_images_give_the_same_where_the_crop_is_the_centre() -> None:
    network = build_network(load_recipe("cifar-10-l2-small"), classes=10, shape=(32, 32, 3))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(network(images[:, :, 4:28, 4:28]).lengths, network(images).lengths)


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"crops to 24x24 pixels, and the images have 20x33"):
        build_network(load_recipe("cifar-10-l2-small"), classes=10, shape=(33, 20, 3))


@pytest.mark.parametrize("kind", ["l2", "backprop", "dynamic"])
def test_hidden_layers_are_squashed_and_routed_in_turn(kind: str) -> None:
    recipe = load_recipe(f"fashion-mnist-{kind}-small", ["network.hidden=[[20, 6], [12, 8]]"])
    network = build_network(recipe, classes=10, shape=(28, 28, 1))
    capsules = network(torch.rand(2, 1, 28, 28))
    u = capsules.primary
    for layer in network.hidden:
        v = layer(u)
        norm = v.square().sum(2, keepdim=True).sqrt()
        u = norm**2 / (1 + norm**2) * v / norm
    assert u.shape == (2, 12, 8)
    torch.testing.assert_close(network.routing(u), capsules.classes)


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
