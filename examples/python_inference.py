"""Classify images from Python: one file, many arrays, a whole folder.

    python examples/python_inference.py [FOLDER] [--model MODEL]

Needs `capsedge[cpu]`: no torch and no onnx.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import capsedge

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    """Load a model once, then use it in three ways."""
    parser = argparse.ArgumentParser(description="Classify the images of a folder.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=SAMPLES, help="default: the samples of the repository"
    )
    parser.add_argument(
        "--model", default="builtin", help="an .onnx file, an .engine, a run's folder, or a model's name"
    )
    asked = parser.parse_args()

    model = capsedge.load(asked.model)
    print(f"{asked.model}: {len(model.classes)} classes, {model.contract.precision}, on {model.provider}")

    # A folder of any size is a stream. An unreadable image gives a Broken in its place.
    readable = []
    for each in model.stream(asked.folder):
        if isinstance(each, capsedge.Broken):
            print(f"{each.path}: {each.error}")
        else:
            readable.append(each.path)
            print(f"{each.path}: {each.class_name}, length {each.length:.3f}")
    if not readable:
        return

    # One image: a path, bytes, an open file, a Pillow image or an array. `top` is the number of classes to list.
    answer = model.predict(readable[0], top=3)
    print(f"first image: {answer.class_name}, then {', '.join(each.class_name for each in answer.next_best)}")

    # Several arrays run as one batch. They may have different sizes; the model's contract says how they are fitted.
    answers = model.predict([pixels_of(path) for path in readable], threshold=0.5)
    named = sum(each.class_name is not None for each in answers)
    print(f"{named} of {len(answers)} images have a capsule of length 0.5 or more")


def pixels_of(path: str) -> NDArray[np.uint8]:
    """An image as a program may have it: uint8 [height, width, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
