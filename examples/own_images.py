"""From a folder of images to an exported model that classifies new ones.

    python examples/own_images.py [FOLDER [IMAGE...]] [--output FOLDER] [--recipe RECIPE] [--epochs N]

FOLDER has one folder of images for each class. Without it, the script makes one from images that ship with capsedge:
40 each of three garments in `photos/`, and one new image of each in `new/`. It writes everything, also the run, into
the new folder `own-images/` or that of --output. Needs `capsedge[train,export,cpu]`.
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
EPOCHS = 20  # enough for these images


def main() -> None:
    """Train, export, then classify images with the file."""
    parser = argparse.ArgumentParser(description="Train on a folder of images, export the network, classify images.")
    parser.add_argument("folder", nargs="?", type=Path, help="images, in a folder for each class")
    parser.add_argument("images", nargs="*", type=Path, help="new images to classify")
    parser.add_argument("--output", type=Path, default=Path("own-images"), help="new folder (default: %(default)s)")
    parser.add_argument("--recipe", default="edge-nano", help="a recipe of the edge family (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help=f"default: by the number of images; {EPOCHS} without FOLDER")
    asked = parser.parse_args()
    output = asked.output
    if output.exists():
        parser.error(f"'{output}' exists already: remove it, or give another folder by --output")

    folder, images, epochs = asked.folder, asked.images, asked.epochs
    if folder is None:
        folder, images = make_photos(output / "photos", output / "new")
        epochs = EPOCHS if epochs is None else epochs

    run = capsedge.train(
        asked.recipe,
        data=folder,
        settings=[f"train.epochs={epochs or 0}"],  # 0: chosen by the number of images
        folder=output / "runs" / Path(asked.recipe).stem,
    )
    for score in run.read_record().scores:
        print(f"{score.split} error: {score.error:.2%} of {score.images} images")

    # The gate compares the file with the network, and raises GateRejected if they differ.
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
