"""Classify images with ONNX Runtime, NumPy and Pillow alone, without capsedge.

    python examples/plain_onnxruntime.py MODEL.onnx IMAGE...

It shows the steps for a program in any language: read the contract in the file's metadata, fit images to the input as
the contract says, run, and take the longest capsule. The answers equal those of `capsedge infer --invert no`. The
script does not support the frame `figure`, the levels `full` and images of 16 bits, and refuses them. Unlike
`capsedge infer`, it does not invert images that show dark objects on a light background (docs/images.md).
"""

import base64
import json
import sys
import zlib
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps

SCHEMA = 3  # of the contract; a reader refuses any other (docs/contract.md)
Pixels = NDArray[np.uint8]


def main() -> None:
    """Check the model with its golden sample, then classify each image."""
    if len(sys.argv) < 3:
        sys.exit("usage: python plain_onnxruntime.py MODEL.onnx IMAGE...")
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    contract = contract_of(session)

    difference = replay(session, contract)
    print(f"golden sample: largest difference {difference:.1e}, limit {contract['golden']['tolerance']:.1e}")

    for path in sys.argv[2:]:
        with Image.open(path) as image:
            pixels = fitted(decoded(image), contract)
        (lengths,) = run(session, contract, pixels[np.newaxis])
        answer = np.argsort(-lengths, kind="stable")[: contract.get("labels", 1)]
        print(path, *(f"{contract['classes'][label]} {lengths[label]:.6f}" for label in answer), sep="\t")


def contract_of(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """The contract, from the metadata of the ONNX file.

    A key that its JSON Schema does not require (`fit.levels`, `labels`, `batch`) may be absent; its default applies.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    if "capsedge.contract" not in metadata:
        sys.exit("the model has no contract: it was not exported by capsedge")
    contract: dict[str, Any] = json.loads(metadata["capsedge.contract"])
    if contract["schema"] != SCHEMA:
        sys.exit(f"the contract has schema {contract['schema']}, and this script reads {SCHEMA}")
    fit = contract["fit"]
    if fit["frame"] == "figure" or fit.get("levels", "as-is") == "full":
        sys.exit("the model needs frame 'figure' or levels 'full', which this script does not support")
    return contract


def decoded(image: Image.Image) -> Image.Image:
    """An image of 8 bits per channel, upright, in RGB, with transparent parts on black."""
    if image.mode.startswith(("I", "F")):
        sys.exit("expected 8 bits per channel; capsedge reads images of 16 bits, too")
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    with_alpha = upright.convert("RGBA")
    black = Image.new("RGB", with_alpha.size)
    black.paste(with_alpha.convert("RGB"), mask=with_alpha.getchannel("A"))
    return black


def fitted(image: Image.Image, contract: dict[str, Any]) -> Pixels:
    """The input's pixels, uint8 [height, width, channels]; normalization is in the graph."""
    height, width, channels = (contract["input"][side] for side in ("height", "width", "channels"))
    image = image.convert("L" if channels == 1 else "RGB")
    resize = Image.Resampling[contract["fit"]["resize"].upper()]
    if image.size != (width, height):
        across, down = width / image.width, height / image.height
        if contract["fit"]["frame"] == "stretch":
            image = image.resize((width, height), resize)
        elif contract["fit"]["frame"] == "crop":  # fills the input; the rest is cut off
            scale = max(across, down)
            left, top = (image.width - width / scale) / 2, (image.height - height / scale) / 2
            box = (max(0.0, left), max(0.0, top), image.width - max(0.0, left), image.height - max(0.0, top))
            image = image.resize((width, height), resize, box=box)
        else:  # pad: the whole image on black
            scale = min(across, down)
            inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            padded = Image.new(image.mode, (width, height))
            padded.paste(image.resize(inner, resize), ((width - inner[0]) // 2, (height - inner[1]) // 2))
            image = padded
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def run(session: onnxruntime.InferenceSession, contract: dict[str, Any], images: Pixels) -> NDArray[np.float32]:
    """Capsule lengths [images, classes] of uint8 images [images, height, width, channels]."""
    batch = contract.get("batch") or len(images)  # a file with a fixed batch takes no other
    missing = -len(images) % batch
    whole = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
    parts = [
        session.run(["lengths"], {contract["input"]["name"]: whole[start : start + batch]})[0]
        for start in range(0, len(whole), batch)
    ]
    lengths: NDArray[np.float32] = np.concatenate(parts)[: len(images)]
    return lengths


def replay(session: onnxruntime.InferenceSession, contract: dict[str, Any]) -> float:
    """The largest difference between the golden sample's lengths and those that the model gives here."""
    golden = contract["golden"]
    expected = np.array(golden["lengths"])
    shape = (len(expected), *(contract["input"][side] for side in ("height", "width", "channels")))
    images = np.frombuffer(zlib.decompress(base64.b64decode(golden["images"])), np.uint8).reshape(shape)
    return float(np.abs(run(session, contract, images) - expected).max())


if __name__ == "__main__":
    main()
