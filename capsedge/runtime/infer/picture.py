"""A picture of one answer: the network's input, the capsule lengths as bars, the decoder's reconstruction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from capsedge.data.images.font import drawable, font_for
from capsedge.runtime.infer.classify import DetailedPrediction

MOST_BARS = 25

# Okabe and Ito's colours, as in the figures of capsedge reproduce.
_ANSWER, _OTHER, _THRESHOLD = "#0072B2", "#c2c7cc", "#D55E00"
_INK, _QUIET, _LINE, _PAPER = "#1f2328", "#6b7178", "#e3e6e9", "#ffffff"
_MARGIN, _GAP = 28, 36
_PANEL = 224
_MOST_PANEL = 448
_BARS, _ROW, _THICK = 320, 24, 14
_NAMES, _FIGURES = 200, 56
_TEXT, _SMALL, _TITLE = 15, 13, 20
_MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw(detailed: DetailedPrediction, classes: Sequence[str], threshold: float | None = None) -> Image.Image:
    """Draw one answer.

    Args:
        detailed: The network's input and outputs.
        classes: Names in the order of the lengths.
        threshold: Drawn as a line through the bars.

    Returns:
        An RGB image, sized to its content.
    """
    panels = _panels(detailed, classes)
    shown = _shown(detailed.lengths)
    names = min(_NAMES, max(_width(drawable(classes[index]), _TEXT) for index in shown) + 1)
    bars = _MARGIN + sum(panel.width + _GAP for panel, _ in panels) + names + 10
    width = bars + _BARS + _FIGURES + _MARGIN
    tall = max(panel.height for panel, _ in panels) + _ROW
    below = (len(shown) + 1) * _ROW + (_ROW if len(shown) < len(classes) else 0)
    top = _MARGIN + _TITLE + _GAP
    sheet = Image.new("RGB", (width, top + max(tall, below) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _head(pen, detailed, width)
    _draw_panels(sheet, pen, panels, top)
    _draw_bars(pen, (bars, top), detailed, classes, shown, names, threshold)
    return sheet


def _head(pen: ImageDraw.ImageDraw, detailed: DetailedPrediction, width: int) -> None:
    answer = ", ".join(guess.class_name for guess in detailed.prediction.answer) or "no class"
    title = _cut(answer, _TITLE, (width - 2 * _MARGIN) // 2)
    pen.text((_MARGIN, _MARGIN), title, _INK, font_for(title, _TITLE), anchor="lt")
    room = width - 2 * _MARGIN - _width(title, _TITLE) - _GAP
    name = _cut(detailed.prediction.path, _SMALL, room, keep_end=True)
    pen.text((width - _MARGIN, _MARGIN + _TITLE - 3), name, _QUIET, font_for(name, _SMALL), anchor="rs")
    line = _MARGIN + _TITLE + _GAP // 3
    pen.line((_MARGIN, line, width - _MARGIN, line), _LINE)


def _panels(detailed: DetailedPrediction, classes: Sequence[str]) -> list[tuple[Image.Image, str]]:
    """The image and the reconstructions, enlarged, each with its caption."""
    height, width, _ = detailed.pixels.shape
    inverted = ", inverted" if detailed.prediction.inverted else ""
    panels = [(_enlarged(detailed.pixels), f"input, {width} x {height}{inverted}")]
    if detailed.reconstruction is not None:
        drawn = (np.clip(detailed.reconstruction, 0, 1) * 255).round().astype(np.uint8)
        several = drawn if drawn.ndim == 4 else drawn[np.newaxis]
        order = np.argsort(-detailed.lengths, kind="stable")  # the decoder's: longest first, ties as with argmax
        panels += [
            (_enlarged(one), f"reconstruction of {classes[index]}")
            for one, index in zip(several, order, strict=False)
        ]
    return panels


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    """Enlarge [height, width, channels] by a whole factor, so that pixels stay squares; reduce a large image."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    longest = max(image.size)
    if longest > _MOST_PANEL:
        image.thumbnail((_MOST_PANEL, _MOST_PANEL))
        return image
    factor = max(1, _PANEL // longest)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _draw_panels(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, panels: Sequence[tuple[Image.Image, str]], top: int
) -> None:
    left = _MARGIN
    for panel, caption in panels:
        sheet.paste(panel, (left, top))
        pen.rectangle((left - 1, top - 1, left + panel.width, top + panel.height), outline=_LINE)
        text = _cut(caption, _SMALL, panel.width + _GAP // 2)
        pen.text((left, top + panel.height + 7), text, _QUIET, font_for(text, _SMALL), anchor="lt")
        left += panel.width + _GAP


def _draw_bars(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    detailed: DetailedPrediction,
    classes: Sequence[str],
    shown: Sequence[int],
    names: int,
    threshold: float | None,
) -> None:
    left, top = corner
    bottom = top + len(shown) * _ROW
    for mark in _MARKS:
        pen.line((left + mark * _BARS, top, left + mark * _BARS, bottom), _LINE)
        pen.text((left + mark * _BARS, bottom + 6), f"{mark:g}", _QUIET, font_for("", _SMALL), anchor="mt")
    answer = {guess.class_name for guess in detailed.prediction.answer}
    for row, index in enumerate(shown):
        name, length = classes[index], float(detailed.lengths[index])
        chosen = name in answer
        middle = top + row * _ROW + _ROW // 2
        ink = _INK if chosen else _QUIET
        shown_name = _cut(name, _TEXT, names)
        pen.text((left - 10, middle), shown_name, ink, font_for(shown_name, _TEXT), anchor="rm")
        end = left + float(np.clip(np.nan_to_num(length), 0, 1)) * _BARS
        pen.rectangle((left, middle - _THICK // 2, end, middle + _THICK // 2), _ANSWER if chosen else _OTHER)
        pen.text((left + _BARS + _FIGURES, middle), f"{length:.3f}", ink, font_for("", _TEXT), anchor="rm")
    if threshold is not None:
        _draw_threshold(pen, left + threshold * _BARS, (top, bottom), threshold)
    if len(shown) < len(classes):
        note = f"the {len(shown)} longest of {len(classes)} capsules"
        pen.text((left, bottom + _ROW + 6), note, _QUIET, font_for(note, _SMALL), anchor="lt")


def _draw_threshold(pen: ImageDraw.ImageDraw, across: float, ends: tuple[int, int], threshold: float) -> None:
    top, bottom = ends
    for dash in range(top, bottom, 8):
        pen.line((across, dash, across, min(dash + 4, bottom)), _THRESHOLD, 2)
    pen.text((across, top - 3), f"threshold {threshold:g}", _THRESHOLD, font_for("", _SMALL), anchor="ms")


def _shown(lengths: NDArray[np.float32]) -> list[int]:
    """All classes in order, or the longest `MOST_BARS` where there are more."""
    if len(lengths) <= MOST_BARS:
        return list(range(len(lengths)))
    return [int(index) for index in np.argsort(-lengths, kind="stable")[:MOST_BARS]]


def _cut(text: str, size: int, room: int, *, keep_end: bool = False) -> str:
    """Shorten a text to a width in pixels; `keep_end` is for paths, whose end is more useful."""
    text = drawable(text)
    if _width(text, size) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _width(_shortened(text, middle, keep_end), size) <= room else (low, middle - 1)
    return _shortened(text, low, keep_end)


def _shortened(text: str, characters: int, keep_end: bool) -> str:
    return "…" + text[len(text) - characters :] if keep_end else text[:characters] + "…"


def _width(text: str, size: int) -> int:
    return round(font_for(text, size).getlength(text))
