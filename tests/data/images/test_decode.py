"""Decoding: every kind of file that people have, and every kind of damage."""

import struct
import subprocess
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.data import decode_image
from capsedge.data.images import header
from capsedge.errors import DataError
from tests.data.images.made import encoded, gradient


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_grey_stays_grey_and_colour_stays_colour(mode: str, kind: str) -> None:
    image = decode_image(encoded(gradient(mode), kind))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), np.asarray(gradient(mode)))


def test_a_file_and_its_bytes_give_the_same_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(gradient()))
    np.testing.assert_array_equal(np.asarray(decode_image(path)), np.asarray(decode_image(path.read_bytes())))


# What EXIF's orientations do to an image, as its specification says of the first row and the first column.
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


# Pillow maps files without compression into memory, and turned those of some modes wrongly.
@pytest.mark.parametrize(
    ("orientation", "mode", "compression"),
    [
        *((orientation, mode, None) for orientation in UPRIGHT for mode in ("L", "I;16")),
        *((6, mode, how) for mode in ("L", "RGB", "1", "I;16") for how in ("tiff_lzw", "packbits", "tiff_deflate")),
        *((orientation, "RGB", None) for orientation in (3, 5, 6, 8)),
        (6, "1", None),
    ],
)
def test_a_tiff_that_lies_on_its_side_is_turned_by_path_and_by_bytes(
    tmp_path: Path, orientation: int, mode: str, compression: str | None
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 9, 3) if mode == "RGB" else (5, 9)).astype(np.uint8)
    written = {"1": values > 127, "I;16": values.astype(np.uint16) * 257}.get(mode, values)
    file = tmp_path / "image.tif"
    Image.fromarray(written).save(file, compression=compression, tiffinfo={274: orientation})

    expected = UPRIGHT[orientation]((values > 127) * np.uint8(255) if mode == "1" else values)
    np.testing.assert_array_equal(np.asarray(decode_image(file)), expected)
    np.testing.assert_array_equal(np.asarray(decode_image(file.read_bytes())), expected)


def test_sixteen_bits_take_little_more_memory_than_their_pixels() -> None:
    """A small file of many pixels: 64-bit integers in between took twelve times as much."""
    content = encoded(Image.fromarray(np.zeros((3000, 3000), np.uint16)))
    tracemalloc.start()
    try:
        decode_image(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3.5 * 2 * 3000 * 3000


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_kinds_are_read(kind: str) -> None:
    image = decode_image(encoded(Image.new("RGB", (8, 8), (200, 100, 50)), kind))
    assert image.size == (8, 8)
    np.testing.assert_allclose(np.asarray(image, dtype=int)[4, 4], (200, 100, 50), atol=4)


def test_bilevel_images_are_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert np.asarray(decode_image(encoded(image))).tolist() == [[0, 255]]


def test_a_palette_becomes_its_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    decoded = decode_image(encoded(image))
    assert decoded.mode == "RGB"
    assert np.asarray(decoded).tolist() == [[[10, 20, 30], [200, 100, 0]]]


def test_what_is_transparent_is_black_and_what_is_half_transparent_is_half_as_bright() -> None:
    image = Image.new("RGBA", (3, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 128))
    image.putpixel((2, 0), (200, 100, 50, 0))
    # 200 * 128 / 255 = 100.4, 100 * 128 / 255 = 50.2, 50 * 128 / 255 = 25.1
    assert np.asarray(decode_image(encoded(image))).tolist() == [[[200, 100, 50], [100, 50, 25], [0, 0, 0]]]


def test_grey_with_transparency_stays_grey() -> None:
    image = Image.new("LA", (2, 1), (200, 255))
    image.putpixel((1, 0), (200, 0))
    decoded = decode_image(encoded(image))
    assert decoded.mode == "L"
    assert np.asarray(decoded).tolist() == [[200, 0]]


def test_a_transparent_colour_of_a_palette_or_of_plain_pixels_is_black() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 0])
    palette.putpixel((1, 0), 1)
    assert np.asarray(decode_image(encoded(palette, transparency=0))).tolist() == [[[0, 0, 0], [200, 100, 0]]]
    plain = Image.new("RGB", (2, 1), (9, 8, 7))
    plain.putpixel((1, 0), (1, 2, 3))
    assert np.asarray(decode_image(encoded(plain, transparency=(9, 8, 7)))).tolist() == [[[0, 0, 0], [1, 2, 3]]]
    grey = Image.fromarray(np.array([[40, 50]], dtype=np.uint8))
    assert np.asarray(decode_image(encoded(grey, transparency=40))).tolist() == [[0, 50]]


def test_sixteen_bits_are_scaled_to_eight() -> None:
    values = np.array([[0, 128, 129, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    # v / 257, rounded: 0, 0.498, 0.502, 127.502, 254.498, 254.502, 255.
    for kind in ("PNG", "TIFF"):
        decoded = decode_image(encoded(Image.fromarray(values), kind))
        assert decoded.mode == "L"
        assert np.asarray(decoded).tolist() == [[0, 0, 1, 128, 254, 255, 255]]


def test_a_16_bit_portable_greymap_is_scaled_too() -> None:
    content = b"P5 2 1 65535\n" + struct.pack(">2H", 65535, 257 * 7)
    assert np.asarray(decode_image(content)).tolist() == [[255, 7]]


@pytest.mark.parametrize(
    ("mode", "grey"),
    [("1", True), ("L", True), ("LA", True), ("I;16", True), ("P", False), ("RGB", False), ("RGBA", False)],
)
def test_whether_a_file_is_grey_agrees_with_decoding_it(tmp_path: Path, mode: str, grey: bool) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (2, 2)).save(path)
    assert header(path).grey is grey
    assert (decode_image(path).mode == "L") is grey


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^there is no image '.*gone\.png'$"):
        decode_image(tmp_path / "gone.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as an image: Is a directory"):
        decode_image(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", encoded(gradient())[:40], encoded(gradient(size=(60, 40)))[:-60], b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["empty", "text", "header cut", "pixels cut", "postscript"],
)
def test_damaged_and_foreign_files_are_one_line_that_names_them(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png' cannot be read as an image: \w+") as caught:
        decode_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["EPS", "PCX"])
def test_kinds_that_are_not_listed_are_not_opened(kind: str) -> None:
    # EPS matters: Pillow would hand it to Ghostscript.
    with pytest.raises(DataError, match="it is none of PNG, JPEG, BMP"):
        decode_image(encoded(gradient(), kind))


@pytest.mark.skipif(sys.platform == "win32", reason="Pillow's wheels for Windows do not export libtiff's functions")
def test_libtiff_writes_no_lines_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    whole = encoded(gradient(), "TIFF", compression="tiff_lzw")
    path.write_bytes(whole[:9] + b"\xff" * 20 + whole[29:])
    code = f"from pathlib import Path; from capsedge.data import decode_image; decode_image(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[0].startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith(f"capsedge.errors.DataError: '{path}' cannot be read as an image")


def test_a_file_that_is_empty_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for source, name in ((tmp_path / "empty.png", ""), (b"", "standard input")):
        with pytest.raises(DataError, match=r"(empty\.png'|standard input) cannot be read as an image: it is empty$"):
            decode_image(source, name=name)


def test_bytes_are_called_what_the_caller_calls_them() -> None:
    with pytest.raises(DataError, match=r"^the image cannot be read"):
        decode_image(b"hello")
    with pytest.raises(DataError, match=r"^standard input cannot be read as an image: it is none of PNG, JPEG"):
        decode_image(b"hello", name="standard input")


@pytest.mark.parametrize("limit", [4, 6])
def test_a_decompression_bomb_is_refused_from_pillows_limit_on(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    # Pillow itself only warns up to twice its limit: 8 pixels are twice 4, and not twice 6.
    content = encoded(Image.new("L", (4, 2)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=f"it has more than {limit} pixels; make it smaller"):
        decode_image(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    assert decode_image(content).size == (4, 2)


def test_pixels_that_cannot_be_scaled_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point numbers; save it with 8 bits a channel"):
        decode_image(encoded(Image.new("F", (2, 2)), "TIFF"))
    with pytest.raises(DataError, match="more than 16 bits"):
        decode_image(encoded(Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)), "TIFF"))


def test_a_length_beyond_the_end_of_a_file_allocates_nothing(tmp_path: Path) -> None:
    content = encoded(gradient())
    place = content.index(b"IDAT") - 4
    path = tmp_path / "x.png"
    path.write_bytes(
        content[:place] + (0xFF000000).to_bytes(4, "big") + content[place + 4 :]
    )  # 4 GB in an IDAT chunk
    tracemalloc.start()
    try:
        assert decode_image(path).tobytes() == gradient().tobytes()  # it is cut off after its pixels
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_importing_the_images_imports_nothing_heavy() -> None:
    heavy = ["torch", "onnx", "onnxruntime", "pooch", "requests", "rich", "typer", "matplotlib"]
    code = f"import capsedge.data.images, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_two_threads_change_the_filters_of_warnings_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one would take the other's filter away, or leave its own behind for good."""
    before, both = list(warnings.filters), threading.Barrier(2)
    met, real = [], Image.open

    def opened(*arguments: Any, **options: Any) -> Image.Image:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.1)  # for another thread, which must not come
            met.append(True)
        return real(*arguments, **options)

    monkeypatch.setattr(Image, "open", opened)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(decode_image, [encoded(gradient())] * 2))) == 2
    assert met == []
    assert list(warnings.filters) == before
