"""Makes the zoo's index in the wheel from the cards: `python -m benchmarks.card.index`."""

import argparse
from pathlib import Path

import msgspec

from benchmarks.card.record import CARD, Card, read_card
from capsedge.files import write_atomically
from capsedge.runtime.models import INDEX, Index, ListedModel, ModelFile

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "zoo"
TARGET = ROOT / "capsedge" / "builtin" / INDEX


def index_of(zoo: Path) -> Index:
    """The index of all cards in a folder, by parameters in ascending order."""
    cards = [read_card(file.parent) for file in zoo.glob(f"*/{CARD}")]
    return Index(models=tuple(sorted(map(listed, cards), key=lambda model: (model.parameters, model.name))))


def listed(card: Card) -> ListedModel:
    """The index entry of a card's model, with the files that are in its folder."""
    return ListedModel(
        name=card.name,
        data=card.data.title,
        test_images=card.data.test,
        parameters=card.parameters,
        macs=card.macs,
        files=tuple(
            ModelFile(
                file=found.file,
                precision=precision,
                size_bytes=found.size_bytes,
                sha256=found.sha256,
                test_error=found.test_error,
            )
            for precision, found in card.measured.items()
            if found.file in card.files
        ),
    )


def encoded(index: Index) -> bytes:
    """The content of zoo.json."""
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def write_index(zoo: Path = ZOO, target: Path = TARGET) -> None:
    """Write zoo.json."""
    write_atomically(target, encoded(index_of(zoo)))


def main() -> None:
    """Write the index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, default=ZOO)
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    write_index(options.zoo, options.output)


if __name__ == "__main__":
    main()
