"""Names in pictures: drawn by a font that has their letters, and readable where none has."""

import pytest
from PIL import Image, ImageDraw

from capsedge.data.images import font


def drawn(text: str) -> bytes:
    picture = Image.new("L", (120, 30))
    ImageDraw.Draw(picture).text((2, 2), text, 255, font.font_for(text, 16))
    return picture.tobytes()


def test_letters_that_pillows_own_font_lacks_are_drawn_or_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font, "_others", lambda size: ())
    assert font.drawable("Größe, Äpfel") == "Grosse, Apfel"
    assert font.drawable("苹果 a…") == "?? a..."
    assert font.drawable("a-z… “quoted”") == "a-z… “quoted”"
    assert font.drawable("two\nlines") == r"two\nlines"  # Pillow takes no anchor for several lines


@pytest.mark.skipif(not font._others(16), reason="no font of the system is here")
def test_a_font_of_the_system_tells_umlauts_apart() -> None:
    assert font.drawable("Äöü") == "Äöü"
    assert len({drawn(each) for each in ("Ä", "Ö", "Ü", "A")}) == 4
