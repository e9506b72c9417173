"""The page's preprocessing, run by Node.js, against the same of `capsedge infer`."""

import base64
import json
import shutil
import subprocess
import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data.images import Invert, read_image, turning
from capsedge.export.web.write import SCRIPTS, source
from capsedge.fit import Fit, Frame, Levels
from capsedge.runtime.infer.usual import distances_of, usual_of
from tests.export.web.images import COLOUR, GREY, png, pngs

SHAPES = ((28, 28, 1), (28, 28, 3), (20, 33, 1), (31, 16, 3))
RESIZES: tuple[Literal["bilinear", "bicubic", "lanczos", "nearest"], ...] = (
    "bilinear",
    "bicubic",
    "lanczos",
    "nearest",
)
FITS = [
    Fit(resize=resize, frame=frame, levels=levels)
    for resize, frame, levels in product(RESIZES, get_args(Frame), get_args(Levels))
]


def facts(shape: tuple[int, int, int], fit: Fit, usual: object = None) -> dict[str, Any]:
    height, width, channels = shape
    fields = {"resize": fit.resize, "frame": fit.frame, "levels": fit.levels}
    given = {"height": height, "width": width, "channels": channels}
    return {"dark_background": True, "contract": {"input": given, "fit": fields, "usual": usual}}


def in_node(jobs: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What the page's scripts make of images."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed; `make browser` needs it")
    script = "\n".join(source(name) for name in SCRIPTS if name not in ("app.js", "paper.js"))
    driver = Path(__file__).with_name("in_node.js").read_text(encoding="utf-8")
    (folder / "page.mjs").write_text(f"{script}\n{driver}", encoding="utf-8")
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = [node, "page.mjs", "jobs.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def job(content: bytes, facts: dict[str, Any], invert: str = "auto") -> dict[str, Any]:
    return {"file": base64.b64encode(content).decode(), "facts": facts, "invert": invert}


def pixels_of(result: dict[str, Any], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    assert "error" not in result, result
    return np.frombuffer(base64.b64decode(result["pixels"]), np.uint8).reshape(shape)


def test_every_kind_of_png_becomes_the_very_pixels_that_infer_gives_the_network(tmp_path: Path) -> None:
    files = list(pngs(96, seed=7, most=80))
    inverts: tuple[Invert, ...] = ("auto", "auto", "no", "yes")
    cases = [
        (name, content, SHAPES[number % 4], FITS[(number * 5) % len(FITS)], inverts[(number // 4) % 4])
        for number, (name, content) in enumerate(files)
    ]
    results = in_node([job(content, facts(shape, fit), invert) for _, content, shape, fit, invert in cases], tmp_path)

    differing = []
    turned = 0
    for (name, content, shape, fit, invert), result in zip(cases, results, strict=True):
        rule = turning(invert, dark_background=True)
        wanted, inverted = rule.fitted(read_image(content), shape, fit)
        turned += inverted and invert == "auto"
        if inverted != result.get("inverted") or not np.array_equal(pixels_of(result, shape), wanted):
            differing.append((name, shape, fit, invert))
    assert differing == []
    assert turned > 5


def test_each_shape_has_the_statistics_by_which_infer_finds_unusual_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    jobs, wanted = [], []
    for shape in (*SHAPES, (3, 5, 3)):
        train, validation = rng.integers(0, 256, (60, *shape), np.uint8), rng.integers(0, 200, (9, *shape), np.uint8)
        usual = usual_of(train, validation, np.ones(9))
        fields = {name: getattr(usual, name) for name in usual.__struct_fields__}
        image = rng.integers(0, 256, shape).astype(np.int64)
        content = png(image, 8, GREY if shape[2] == 1 else COLOUR, rng)
        jobs.append(job(content, facts(shape, Fit(), fields), "no"))
        wanted.append(distances_of(image.astype(np.uint8)[np.newaxis], usual)[0])

    assert [result["distance"] for result in in_node(jobs, tmp_path)] == pytest.approx(wanted, rel=1e-9)


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_a_wrong_checksum(content: bytes) -> bytes:
    return content[:29] + bytes([content[29] ^ 1]) + content[30:]


def without_pixels(content: bytes) -> bytes:
    return content[: content.index(b"IDAT") - 4]


def of_no_kind(content: bytes) -> bytes:
    header = content[12:25] + b"\x05" + content[26:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def nothing(content: bytes) -> bytes:
    return b""


def too_large(content: bytes) -> bytes:
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def test_an_image_that_cannot_be_read_gives_one_clear_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = png(rng.integers(0, 256, (40, 40, 3)).astype(np.int64), 8, COLOUR, rng)
    damages = (cut_off, with_a_wrong_checksum, without_pixels, of_no_kind, nothing, too_large)

    (fine, *broken) = in_node(
        [job(each, facts((28, 28, 1), Fit())) for each in (whole, *(damage(whole) for damage in damages))], tmp_path
    )
    assert "error" not in fine
    assert broken == [
        *[{"error": "This image cannot be read, the file is cut off or damaged: choose another."}] * 4,
        {"error": "The file is empty: choose an image."},
        {"error": "This image has 900,000,000 pixels, and at most 89,478,485 are read: make it smaller."},
    ]


def test_a_wrong_checksum_of_the_part_with_the_pixels_is_ignored_as_pillow_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = png(rng.integers(0, 256, (40, 40, 3)).astype(np.int64), 8, COLOUR, rng)
    place = whole.index(b"IEND") - 5
    wrong = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]

    results = in_node([job(each, facts((28, 28, 1), Fit())) for each in (whole, wrong)], tmp_path)
    assert results[0] == results[1]
    assert np.array_equal(np.asarray(read_image(whole)), np.asarray(read_image(wrong)))
