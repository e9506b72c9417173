"""The trained network's lengths in float64, layer by layer, and images that differ enough to tell networks apart."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from capsedge.models import CapsNet, squash, squashed_length


def exact_capsules(network: CapsNet, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Its class capsules before squash, [images, classes, class_dim]; the network is in float64 afterwards."""
    capsules: NDArray[np.float64] = _capsules(network, images).numpy()
    return capsules


def exact_lengths(network: CapsNet, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the network gives for raw images, [images, classes]; the network is in float64 afterwards."""
    lengths: NDArray[np.float64] = squashed_length(_capsules(network, images)).numpy()
    return lengths


def exact_poses(network: CapsNet, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Its squashed class capsules, [images, classes, class_dim]; the network is in float64 afterwards."""
    poses: NDArray[np.float64] = squash(_capsules(network, images)).numpy()
    return poses


@torch.no_grad()
def _capsules(network: CapsNet, images: NDArray[np.uint8]) -> torch.Tensor:
    """Class capsules before squash, in float64."""
    network.double()
    primary = network.primary
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    maps = primary.conv(network.stem(network.prepare(pixels)))
    maps = maps if primary.norm is None else primary.norm(maps)
    count, channels, rows, columns = maps.shape
    # Capsule t * positions + p, component d, is channel t * dim + d at position p.
    capsules = maps.view(count, channels // primary.dim, primary.dim, rows * columns).transpose(2, 3)
    return network.route(squash(capsules.reshape(count, -1, primary.dim)))


def patchwork(count: int, side: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """Images of random patches, each with a brightness of its own; the first is black and the second white."""
    random = np.random.default_rng(seed)
    patches = random.integers(0, 256, (count, side // 4, side // 4, channels)) * random.random((count, 1, 1, 1))
    images = patches.astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images[:2] = np.array([0, 255]).reshape(2, 1, 1, 1)
    return images


def save_pictures(folder: Path, *, side: int, channels: int) -> Path:
    """A folder of pictures to train on: three classes, each of one colour that shines through."""
    for seed, (part, count) in enumerate((("train", 24), ("test", 4))):
        for label, name in enumerate(("red", "green", "blue")):
            (folder / part / name).mkdir(parents=True)
            for number, image in enumerate(patchwork(count, side, channels, seed=10 * label + seed)):
                image[: side // 2, :, label % channels] |= 64 << (label % 2)
                picture = Image.fromarray(image if channels == 3 else image[..., 0])
                picture.save(folder / part / name / f"{number:02}.png")
    return folder
