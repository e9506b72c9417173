"""Fonts for pictures: Pillow's own if it has the characters, otherwise one of the system."""

import unicodedata
from functools import cache

from PIL import ImageFont

from capsedge.outside import one_line

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Found by name on Linux, macOS and Windows; each covers more scripts than Pillow's own, which has ASCII and dashes.
_OF_THE_SYSTEM = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "Arial.ttf",
    "arial.ttf",
    "segoeui.ttf",
    "NotoSansCJK-Regular.ttc",
    "PingFang.ttc",
    "msyh.ttc",
    "msgothic.ttc",
)
_UNASSIGNED = "\uffff"  # every font draws its glyph for missing characters


def font_for(text: str, size: int) -> Font:
    """A font, `size` pixels high, that has all characters of a text; Pillow's own if no font has them."""
    own = ImageFont.load_default(size)
    if _has(own, text):
        return own
    return next((font for font in _others(size) if _has(font, text)), own)


def drawable(text: str) -> str:
    """A text that a font on this machine can draw; if none can, without accents and with `?` for other characters."""
    text = one_line(text)  # Pillow draws several lines with no anchor
    if _has(font_for(text, 12), text):
        return text
    bare = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return "".join(each for each in bare if not unicodedata.combining(each)).encode("ascii", "replace").decode()


def _has(font: Font, text: str) -> bool:
    if text.isascii():
        return True
    missing = bytes(font.getmask(_UNASSIGNED)) if isinstance(font, ImageFont.FreeTypeFont) else b""
    return isinstance(font, ImageFont.FreeTypeFont) and all(
        each.isspace() or bytes(font.getmask(each)) != missing for each in set(text)
    )


@cache
def _others(size: int) -> tuple[Font, ...]:
    found = []
    for name in _OF_THE_SYSTEM:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)
