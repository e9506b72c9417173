"""From a folder of images to an exported model that classifies new ones.

    python examples/own_images.py [FOLDER [IMAGE...]] [--recipe RECIPE] [--epochs N]

FOLDER has one folder of images for each class. Without it, the script makes such a folder, `photos/`, from images
that ship with capsedge: 40 each of three garments, and one new image of each in `new/`. The run goes into `runs/`.
Needs `capsedge[train,export,cpu]`.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import capsedge
from capsedge.data import load_dataset

CLASSES = ("sneaker", "t-shirt", "trouser")
IMAGES = 40


def main() -> None:
    """Train, export, then classify images with the file."""
    parser = argparse.ArgumentParser(description="Train on a folder of images, export the network, classify images.")
    parser.add_argument("folder", nargs="?", type=Path, help="images, in a folder for each class")
    parser.add_argument("images", nargs="*", type=Path, help="new images to classify")
    parser.add_argument("--recipe", default="edge-nano", help="a recipe of the edge family (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=0, help="default: as many as the number of images asks for")
    asked = parser.parse_args()

    folder, images = asked.folder, asked.images
    if folder is None:
        folder, images = make_photos(Path("photos"), Path("new"))

    run = capsedge.train(asked.recipe, data=folder, settings=[f"train.epochs={asked.epochs}"])
    for score in run.read_record().scores:
        print(f"{score.split} error: {score.error:.2%} of {score.images} images")

    # The export is accepted only if the file computes what the network computes; else it raises GateRejected.
    exported = capsedge.export_run(run)
    print(f"exported: {exported.path}")

    model = capsedge.load(exported.path)
    for image in images:
        answer = model.predict(image)
        print(f"{image}: {answer.class_name}, length {answer.length:.3f}")


def make_photos(folder: Path, new: Path) -> tuple[Path, list[Path]]:
    """Write shipped images into a folder for each class, and one more image of each class beside them."""
    dataset = load_dataset("fashion-mnist-subset")
    new_images = []
    for name in CLASSES:
        images = dataset.test.images[dataset.test.labels == dataset.classes.index(name)]
        for number in range(IMAGES):
            save(images[number], folder / name / f"{number}.png")
        save(images[IMAGES], new / f"{name}.png")
        new_images.append(new / f"{name}.png")
    return folder, new_images


def save(pixels: NDArray[np.uint8], file: Path) -> None:
    """Write grey pixels, uint8 [height, width, 1], as a PNG file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0]).save(file)


if __name__ == "__main__":
    main()
