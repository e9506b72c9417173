"""Every way to store a pixel, in files made by hand or by Pillow, against the stated formulas in float64."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.data.images import WHITE, decode_image, header, lay_on, read_image
from tests.data.images.made import encoded, gradient

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}


def png(values: NDArray[np.int64], depth: int, kind: int, **chunks: bytes) -> bytes:
    """A PNG file of [height, width, channels], written from the specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def row(line: NDArray[np.int64]) -> bytes:
        bits = "".join(f"{value:0{depth}b}" for value in line.ravel())
        return b"\0" + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")

    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    pixels = zlib.compress(b"".join(row(line) for line in values))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def some_values(depth: int, kind: int) -> NDArray[np.int64]:
    """The ends of the range, and others of it."""
    values = np.random.default_rng(depth + kind).integers(0, 1 << depth, (3, 5, CHANNELS[kind]))
    values[0, 0], values[0, 1] = 0, (1 << depth) - 1
    return values


def over(colour: NDArray[np.float64], alpha: NDArray[np.float64], background: float = 0.0) -> NDArray[np.float64]:
    """The formula: c a + background (1 - a), all of 0 to 255 and a of 0 to 1."""
    return colour * alpha + background * (1 - alpha)


def pixels_of(image: Image.Image) -> NDArray[np.float64]:
    """[height, width, channels]."""
    pixels = np.asarray(image).astype(np.float64)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


@pytest.mark.parametrize(
    ("depth", "kind"),
    [*((depth, GREY) for depth in (1, 2, 4, 8, 16)), *((d, k) for d in (8, 16) for k in (2, 4, 6))],
)
def test_each_kind_of_png_is_scaled_to_8_bits_and_laid_on_black(tmp_path: Path, depth: int, kind: int) -> None:
    values = some_values(depth, kind)
    content = png(values, depth, kind)
    (tmp_path / "a.png").write_bytes(content)

    decoded = decode_image(content)

    scaled = values * 255.0 / ((1 << depth) - 1)
    grey = kind in (GREY, GREY_ALPHA)
    colours = 1 if grey else 3
    expected = over(scaled[..., :colours], scaled[..., colours:] / 255 if kind >= GREY_ALPHA else np.ones(1))
    # Grey is rounded; of 16 bits of colour and of alpha Pillow keeps the upper 8, which is less than 1 off in each.
    tolerance = 0.5 if kind == GREY or depth == 8 else 2.0 if kind >= GREY_ALPHA else 1.0
    assert decoded.mode == ("L" if grey else "RGB")
    np.testing.assert_allclose(pixels_of(decoded), expected, atol=tolerance + 1e-9)
    assert header(tmp_path / "a.png").grey is grey


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_with_alpha_lies_on_black_and_on_white(depth: int) -> None:
    values = some_values(depth, PALETTE)
    rng = np.random.default_rng(5)
    colours = rng.integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    alphas = rng.integers(0, 256, 1 << depth).astype(np.uint8)
    content = png(values, depth, PALETTE, PLTE=colours.tobytes(), tRNS=alphas.tobytes())

    colour, alpha = colours[values[..., 0]].astype(float), alphas[values] / 255

    np.testing.assert_allclose(pixels_of(decode_image(content)), over(colour, alpha), atol=0.51)
    on_white = lay_on(read_image(content), WHITE)
    np.testing.assert_allclose(pixels_of(on_white), over(colour, alpha, 255.0), atol=0.51)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_shade_of_grey_is_found_at_every_depth(depth: int) -> None:
    values = some_values(depth, GREY)
    shade = int(values[1, 1, 0]) or 1
    content = png(values, depth, GREY, tRNS=struct.pack(">H", shade))

    expected = np.where(values == shade, 0, values * 255.0 / ((1 << depth) - 1))

    np.testing.assert_allclose(pixels_of(decode_image(content)), expected, atol=0.5)
    white = np.where(values == shade, 255, values * 255.0 / ((1 << depth) - 1))
    np.testing.assert_allclose(pixels_of(lay_on(read_image(content), WHITE)), white, atol=0.5)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_found_at_every_depth(depth: int) -> None:
    values = some_values(depth, COLOUR)
    content = png(values, depth, COLOUR, tRNS=struct.pack(">3H", *values[1, 1].tolist()))

    decoded = pixels_of(decode_image(content))

    assert decoded[1, 1].tolist() == [0, 0, 0]
    assert np.count_nonzero(decoded.sum(axis=2) == 0) == 2  # that one, and the black one in the corner


@pytest.mark.parametrize("background", [0, 255])
def test_alpha_in_webp_follows_the_formula(background: int) -> None:
    values = np.random.default_rng(1).integers(0, 256, (8, 8, 4)).astype(np.uint8)
    values[..., 3] = np.maximum(values[..., 3], 1)  # WebP forgets the colour of what cannot be seen
    image = read_image(encoded(Image.fromarray(values), "WEBP", lossless=True, exact=True))

    expected = over(values[..., :3].astype(float), values[..., 3:] / 255, background)
    np.testing.assert_allclose(pixels_of(lay_on(image, background)), expected, atol=0.51)


@pytest.mark.parametrize(("kind", "tolerance"), [("TIFF", 1.0), ("JPEG", 3.0)])
def test_cmyk_follows_the_formula_also_inverted_as_adobe_writes_it(kind: str, tolerance: float) -> None:
    options = {"quality": 100} if kind == "JPEG" else {}
    for ink in ((0, 0, 0, 0), (10, 100, 200, 50), (0, 0, 0, 255), (255, 0, 128, 0)):
        content = encoded(Image.new("CMYK", (16, 16), ink), kind, **options)
        assert (b"Adobe" in content) == (kind == "JPEG")
        cyan, magenta, yellow, black = np.array(ink, dtype=np.float64)
        expected = [(255 - each) * (255 - black) / 255 for each in (cyan, magenta, yellow)]
        decoded = decode_image(content)
        assert decoded.mode == "RGB"
        np.testing.assert_allclose(pixels_of(decoded)[8, 8], expected, atol=tolerance)


# What the EXIF standard says the stored rows and columns are, as what has to be done to see the picture upright.
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_says(orientation: int, kind: str) -> None:
    stored = (np.arange(16 * 24) * 5 // 8).astype(np.uint8).reshape(16, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(stored), kind, exif=exif, **options)

    decoded = pixels_of(decode_image(content))[..., 0]

    expected = UPRIGHT[orientation](stored).astype(float)
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded, expected, atol=4 if kind == "JPEG" else 0)


def test_16_bit_grey_is_turned_too() -> None:
    values = (np.arange(6, dtype=np.uint16) * 9000).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(values), "PNG", exif=exif)
    np.testing.assert_allclose(pixels_of(decode_image(content))[..., 0], np.rot90(values, -1) / 257, atol=0.5)


@pytest.mark.parametrize("damage", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x05abc"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_hides_no_picture(damage: bytes) -> None:
    for kind in ("PNG", "JPEG"):
        assert decode_image(encoded(gradient("L"), kind, exif=damage)).size == (6, 4)


def tiff(bits: int, photometric: int, data: bytes, width: int) -> bytes:
    """A TIFF file of one row of grey, written from the specification."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 0), (277, 1), (278, 1)]
    tags.append((279, len(data)))
    place = 8 + 2 + 12 * len(tags) + 4
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, place if tag == 273 else value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + fields + struct.pack("<I", 0) + data


def test_grey_of_12_bits_is_white_at_4095() -> None:
    values = [0, 4095, 2048, 1000]
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big")
    decoded = pixels_of(decode_image(tiff(12, 1, packed, 4))).ravel()
    np.testing.assert_allclose(decoded, np.array(values) * 255 / 4095, atol=0.5)


@pytest.mark.parametrize(("bits", "code"), [(8, "B"), (16, "H")])
def test_a_tiff_whose_zero_is_white_is_turned(bits: int, code: str) -> None:
    most = (1 << bits) - 1
    values = [0, most, most // 3]
    decoded = pixels_of(decode_image(tiff(bits, 0, struct.pack(f"<3{code}", *values), 3))).ravel()
    np.testing.assert_allclose(decoded, [255, 0, 170], atol=0.5)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(first, kind, save_all=True, append_images=[second], **options)
    np.testing.assert_allclose(pixels_of(decode_image(content))[4, 4], (200, 0, 0), atol=4)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bitmaps_of_windows_are_read(mode: str) -> None:
    image = gradient().convert(mode)
    expected = pixels_of(image.convert("L" if mode in "1L" else "RGB"))
    np.testing.assert_array_equal(pixels_of(decode_image(encoded(image, "BMP"))), expected)
