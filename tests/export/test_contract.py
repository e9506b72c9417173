"""The golden sample: real images of every class, clear ones first, with the trained network's lengths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from capsedge.export import export_run
from capsedge.golden import unpack_images
from capsedge.training import Run
from tests.export.typed_files import contract_in
from tests.tiny import tiny_recipe, train_tiny


def test_the_golden_lengths_are_the_trained_networks_on_validation_images(exported: Run) -> None:
    contract = contract_in(exported.path / "model.onnx")
    images = unpack_images(contract.golden, contract.input.shape)
    dataset = exported.load_dataset()
    split = dataset.validation
    held_out = {image.tobytes(): label for image, label in zip(split.images, split.labels, strict=True)}
    assert [held_out[image.tobytes()] for image in images] == list(contract.golden.labels)
    with torch.no_grad():
        lengths = exported.load_best()(torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 255).lengths
    np.testing.assert_allclose(contract.golden.lengths, lengths.numpy(), atol=2e-6)


def test_no_golden_image_is_a_near_tie_while_there_are_clear_ones(exported: Run) -> None:
    contract = contract_in(exported.path / "model.onnx")
    longest = np.sort(np.array(contract.golden.lengths), axis=1)
    assert (longest[:, -1] - longest[:, -2] > contract.golden.tolerance).all()


@pytest.mark.parametrize("count", [2, 5, 14])
def test_every_class_has_two_golden_images_however_few_there_are(count: int, tmp_path: Path) -> None:
    random = np.random.default_rng(count)
    for part in ("train", "test"):
        for name in ("cat", "dog", "eel"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (17, 17), dtype=np.uint8)).save(folder / f"{number}.png")
    run = train_tiny(tmp_path / "run", tiny_recipe(f"data.source={tmp_path / 'pets'}", "train.epochs=1"))
    assert sorted(export_run(run).contract.golden.labels) == [0, 0, 1, 1, 2, 2]
