"""Image files of every kind that the page reads, of odd sizes, from a seed."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.data.images.made import encoded

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *((kind, depth) for kind in (COLOUR, GREY_ALPHA, COLOUR_ALPHA) for depth in (8, 16)),
]
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def pngs(count: int, seed: int, most: int = 150) -> Iterator[tuple[str, bytes]]:
    """PNG files of each kind and depth in turn: filtered, interlaced, transparent, with an orientation."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        kind, depth = KINDS[number % len(KINDS)]
        width, height = (int(side) for side in rng.integers(1, most, 2))
        chunks: dict[str, bytes] = {}
        orientation = int(rng.integers(0, 9))
        if kind == PALETTE:
            chunks["PLTE"] = rng.integers(0, 256, 3 << depth, np.uint8).tobytes()
        values = _scene(rng, height, width, SAMPLES[kind]) >> (16 - depth)
        if kind == PALETTE and rng.random() < 0.5:
            chunks["tRNS"] = rng.integers(0, 256, int(rng.integers(1, 1 + (1 << depth))), np.uint8).tobytes()
        if kind in (GREY, COLOUR) and rng.random() < 0.5:
            chunks["tRNS"] = b"".join(struct.pack(">H", value) for value in values[0, 0])
        if orientation > 1:
            chunks["eXIf"] = exif(orientation)
        interlaced = bool(rng.random() < 0.3)
        name = f"{number} {kind}/{depth} {width}x{height} {'+'.join(chunks)} {orientation} {interlaced}"
        yield name, png(values, depth, kind, rng, interlaced=interlaced, **chunks)


def others(count: int, seed: int, most: int = 150) -> Iterator[tuple[str, bytes]]:
    """Files that the browser decodes: JPEG, WebP, GIF and BMP, with orientations."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        width, height = (int(side) for side in rng.integers(8, most, 2))
        kind = ("jpeg", "jpeg grey", "webp", "webp lossy", "gif", "bmp")[number % 6]
        orientation = int(rng.integers(1, 9))
        block = b"Exif\0\0" + exif(orientation)
        # Photographs are smooth: what the formats' decoders round differently is most visible in noise.
        scene = (_scene(rng, height, width, 4) >> 8).astype(np.uint8)
        photo = Image.fromarray(scene[..., :3]).filter(ImageFilter.GaussianBlur(1.5))
        if kind == "jpeg":
            yield f"{number} {kind} {orientation}", encoded(photo, "JPEG", quality=85, exif=block)
        elif kind == "jpeg grey":
            yield f"{number} {kind} {orientation}", encoded(photo.convert("L"), "JPEG", quality=85, exif=block)
        elif kind == "webp":
            shown = Image.fromarray(scene, "RGBA")
            yield f"{number} {kind} {orientation}", encoded(shown, "WEBP", lossless=True, exif=block)
        elif kind == "webp lossy":
            yield f"{number} {kind} {orientation}", encoded(photo, "WEBP", quality=85, exif=block)
        elif kind == "gif":
            yield (
                f"{number} {kind}",
                encoded(photo.quantize(64), "GIF", **({"transparency": 3} if number % 4 else {})),
            )
        else:
            yield f"{number} {kind}", encoded(photo, "BMP")


def png(
    values: NDArray[np.int64],
    depth: int,
    kind: int,
    rng: np.random.Generator,
    *,
    interlaced: bool = False,
    **chunks: bytes,
) -> bytes:
    """A PNG of [height, width, samples], written from the specification, each row with a filter of its own."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, samples = values.shape
    back = max(1, samples * depth // 8)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [values[top::down, left::across] for left, top, across, down in passes]
    raw = b"".join(_filtered(part, depth, back, rng) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    data = zlib.compress(raw)
    middle = len(data) // 2
    pixels = chunk(b"IDAT", data[:middle]) + chunk(b"IDAT", data[middle:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def _filtered(values: NDArray[np.int64], depth: int, back: int, rng: np.random.Generator) -> bytes:
    rows = []
    above: NDArray[np.int64] | None = None
    for line in values:
        bits = ((line.ravel()[:, np.newaxis] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
        row = np.packbits(bits.ravel()).astype(np.int64)
        up = np.zeros_like(row) if above is None else above
        left, corner = (np.concatenate([np.zeros(back, np.int64), each])[: len(row)] for each in (row, up))
        estimate = left + up - corner
        distances = np.abs(np.stack([estimate - left, estimate - up, estimate - corner]))
        paeth = np.choose(distances.argmin(0), [left, up, corner])
        kind = int(rng.integers(0, 5))
        predicted = (np.zeros_like(row), left, up, (left + up) // 2, paeth)[kind]
        rows.append(bytes([kind]) + ((row - predicted) & 255).astype(np.uint8).tobytes())
        above = row
    return b"".join(rows)


def exif(orientation: int) -> bytes:
    """A TIFF block with one entry, in one of both byte orders."""
    order = "<" if orientation % 2 else ">"
    mark = b"II" if order == "<" else b"MM"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(f"{order}HIH", 42, 8, 1) + entry + struct.pack(f"{order}I", 0)


def _scene(rng: np.random.Generator, height: int, width: int, samples: int) -> NDArray[np.int64]:
    """16-bit values: noise, or a blob on an even background, light or dark."""
    if rng.random() < 0.3:
        return rng.integers(0, 65536, (height, width, samples))
    paper, ink = rng.integers(0, 65536, (2, samples))
    rows, columns = np.mgrid[:height, :width]
    down, across = rng.random(2) * (height, width)
    blob = np.exp(-(((rows - down) / (1 + height / 5)) ** 2 + ((columns - across) / (1 + width / 5)) ** 2) * 2)
    noise = rng.normal(0, 600, (height, width, samples))
    shown = paper + (ink - paper) * blob[..., np.newaxis] + noise
    result: NDArray[np.int64] = np.clip(shown, 0, 65535).astype(np.int64)
    return result


def saved_in(folder: Path) -> tuple[list[tuple[str, bytes]], list[Path]]:
    """The 200 images that a page is compared on, and the files that they are saved in."""
    files = [*pngs(140, seed=11), *others(60, seed=12)]
    paths = [folder / f"{number:03}.image" for number in range(len(files))]
    for path, (_, content) in zip(paths, files, strict=True):
        path.write_bytes(content)
    return files, paths
