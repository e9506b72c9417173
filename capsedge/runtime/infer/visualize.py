"""Saving the pictures of answers: a file for one image, a folder for several; no file of the user is replaced."""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from capsedge.data.images import IMAGE_SUFFIXES
from capsedge.errors import WrongUse
from capsedge.files import check_output_folder, check_writable, write_atomically
from capsedge.runtime.infer.classify import DetailedPrediction
from capsedge.runtime.infer.picture import draw
from capsedge.runtime.infer.sources.walk import DRAWN_BY, DRAWN_KEY

_OTHER_PICTURES = frozenset({*IMAGE_SUFFIXES, ".svg", ".pdf", ".eps", ".avif", ".heic"}) - {".png"}
_MOST_LETTERS = 60


class Pictures:
    """Draws and saves pictures."""

    def __init__(self, place: Path, *, alone: bool) -> None:
        """Check the path.

        Args:
            place: A folder, created where it is missing; or, for one image, a file that ends in `.png`.
            alone: Whether there is one image.

        Raises:
            WrongUse: The path is a file and there are several images, a file that capsedge did not draw, or a file of
                another format.
        """
        if place.suffix.lower() in _OTHER_PICTURES and not place.is_dir():
            wanted = f"'{place.with_suffix('.png')}', or a folder"
            raise WrongUse(f"--visualize: expected a folder or a PNG file, got '{place}'", f"give {wanted}")
        self.place = place
        self.single = place.suffix.lower() == ".png" and not place.is_dir()
        if self.single and not alone:
            raise WrongUse(f"--visualize: expected a folder for several images, got the file '{place}'")
        if self.single:
            _refuse_foreign(place)
            check_writable(place)
        else:
            check_output_folder(place)

    def keep(
        self, number: int, detailed: DetailedPrediction, classes: Sequence[str], threshold: float | None = None
    ) -> Path:
        """Draw an answer.

        Args:
            number: Number of the image, from 1; the file's name begins with it, so that names never collide.
            detailed: The network's input and outputs.
            classes: Names in the order of the lengths.
            threshold: See `draw`.

        Returns:
            The file.

        Raises:
            WrongUse: There is a file of that name that capsedge did not draw.
        """
        file = self.place if self.single else self.place / f"{number:05}-{_stem(detailed.prediction.path)}.png"
        _refuse_foreign(file)
        said, content = PngInfo(), BytesIO()
        said.add_text(DRAWN_KEY, DRAWN_BY)
        draw(detailed, classes, threshold).save(content, "PNG", pnginfo=said)
        write_atomically(file, content.getvalue())
        return file


def _refuse_foreign(file: Path) -> None:
    if not file.exists():
        return
    try:
        with Image.open(file, formats=("PNG",)) as image:
            ours = image.info.get(DRAWN_KEY) == DRAWN_BY
    except (OSError, SyntaxError, UnidentifiedImageError, ValueError):
        ours = False
    if not ours:
        raise WrongUse(f"'{file}' exists and was not drawn by capsedge infer", "give another place to --visualize")


def _stem(name: str) -> str:
    """The name reduced to characters that are allowed on every file system."""
    stem = re.sub(r"[^\w.+-]+", "_", Path(name).stem).strip("._-")[:_MOST_LETTERS]
    return stem or "image"
