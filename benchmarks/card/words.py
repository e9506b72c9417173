"""card.md, made from card.json alone: the same record always gives the same text."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.card.record import CARD, WEIGHTS, Card, WrongAnswer
from benchmarks.robustness.table import markdown as robustness_in_words
from capsedge.export.card import words
from capsedge.export.card.header import FileError, header
from capsedge.export.card.words import ABOUT_LENGTHS, error_of, percent, points, table
from capsedge.files import write_atomically
from capsedge.plural import number_of
from capsedge.statistics import MeanSpread

WORST = 3
LICENSE = "apache-2.0"  # of the repository, whose part the zoo is


def write_card(card: Card, folder: Path) -> None:
    """Write a folder's card.json, and card.md from it."""
    write_atomically(folder / CARD, msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    write_atomically(folder / "card.md", markdown(card))


def markdown(card: Card) -> str:
    """The text of a card."""
    sections = (
        *(_heading, _error, _classes, _lengths, _weak, _cost, _robustness),
        *(_training, _files, _made_with),
    )
    text = "\n\n".join("\n".join(section(card)) for section in sections if any(section(card)))
    return f"{_header(card)}\n\n{text}\n"


def _header(card: Card) -> str:
    errors = [FileError(found.file, found.test_error) for found in card.measured.values() if found.file in card.files]
    return header(card.name, source=card.data.source, title=card.data.title, license=LICENSE, errors=errors)


def _heading(card: Card) -> Iterator[str]:
    return words.heading(
        card.name,
        title=card.data.title,
        classes=card.data.classes,
        parameters=card.parameters,
        flops=2 * card.macs,
        routing=card.routing,
        command=f"capsedge infer IMAGE --model {card.name}",
    )


def _error(card: Card) -> Iterator[str]:
    data = card.data
    yield "## Error"
    yield ""
    yield (
        f"Of {data.validation:,} validation images, by which the epoch and the calibration of int8 were chosen, and "
        f"of {data.test:,} test images, by which nothing was chosen. ± is one standard error of the count (binomial)."
    )
    yield ""
    subset = [f"test, the {data.subset:,} of the subset in the wheel"] if data.subset else []
    rows = [
        [
            f"`{found.file}`",
            error_of(found.validation_error, data.validation),
            error_of(found.test_error, data.test),
            *([error_of(found.subset_error, data.subset)] if found.subset_error is not None else []),
        ]
        for found in card.measured.values()
    ]
    yield from table(["file", "validation", "test", *subset], rows)
    for split, change in card.int8_change.items():
        yield ""
        yield f"int8 changes the {split} error by {points(change)} points (95 % interval, paired by image)."


def _classes(card: Card) -> Iterator[str]:
    names = card.data.classes
    yield "## Error by class"
    yield ""
    yield f"Answers of `{card.measured[card.shown].file}` to the test images."
    yield ""
    rows = [
        [
            names[each.label],
            f"{each.images:,}",
            error_of(each.error, each.images),
            ", ".join(f"{names[other]} ({count:,})" for other, count in each.taken_for) or "-",
        ]
        for each in card.classes
    ]
    yield from table(["class", "images", "error", "most often taken for (images)"], rows)
    yield ""
    yield "![Confusion](confusion.png)"


def _lengths(card: Card) -> Iterator[str]:
    found = card.measured[card.shown]
    yield "## What a length tells"
    yield ""
    yield f"{ABOUT_LENGTHS} This table asks only how often the longest capsule is the right one, by its length."
    yield ""
    rows = [
        [
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.images:,}",
            f"{each.length:.3f}",
            percent(each.accuracy),
        ]
        for each in found.reliability
    ]
    yield from table(["longest length", "images", "mean length", "right answers"], rows)
    yield ""
    yield (
        f"The expected calibration error is {found.calibration_error:.4f}: the difference of the last two columns, "
        "as a mean over the images. That is the error of taking the longest length for the chance of a right answer."
    )
    yield ""
    yield "![Accuracy by the longest length](lengths.png)"


def _weak(card: Card) -> Iterator[str]:
    names = card.data.classes
    found = card.measured[card.shown]
    worst = sorted(card.classes, key=lambda each: -each.error)[:WORST]
    said = ", ".join(f"{names[each.label]} ({percent(each.error)} wrong)" for each in worst)
    yield "## What it is bad at"
    yield ""
    yield f"The classes with the highest error are {said}."
    if not found.mistakes:
        return
    yield ""
    yield "The wrong answers with the longest capsules, the longest first; images are counted from 0:"
    yield ""
    yield from table(
        ["test image", "class", "answer", "its length", "length of the class"],
        [_mistake(each, names) for each in found.mistakes],
    )
    yield ""
    yield "![Mistakes with long capsules](mistakes.png)"
    yield ""
    yield words.other_images(card.data.title)


def _mistake(each: WrongAnswer, names: Sequence[str]) -> list[str]:
    return [
        f"{each.image}",
        names[each.label],
        names[each.answer],
        f"{each.length:.3f}",
        f"{each.length_of_label:.3f}",
    ]


def _cost(card: Card) -> Iterator[str]:
    return words.latencies(card.latency, "Not measured yet.")


def _robustness(card: Card) -> Iterator[str]:
    if card.robustness is None:
        return
    yield "## Robustness"
    yield ""
    yield "[docs/robustness.md](../../docs/robustness.md) says how each line is measured."
    yield ""
    yield robustness_in_words(card.robustness).rstrip()


def _training(card: Card) -> Iterator[str]:
    seeds, data = card.seeds, card.data
    own = seeds.runs[0]
    epochs = number_of(card.epochs, "epoch")
    yield "## Training"
    yield ""
    yield (
        f"Recipe `{card.recipe}` ([recipe.toml](recipe.toml)), {epochs} on {data.train:,} training images of "
        f"{data.title} (`{data.source}`) in {card.precision_of_training} on {card.device}, {card.seconds:,.1f} s. "
        f"The weights are those of epoch {own.best_epoch}, which has the lowest validation error."
    )
    yield ""
    yield f"    {card.command}"
    yield ""
    yield (
        f"`capsedge train zoo/{card.name}/recipe.toml` trains the same from the file; `make zoo NAME={card.name}` "
        "makes all of this folder."
    )
    if card.teachers:
        yield ""
        said = (f"`{each.name}` ({_recipe_of(each.recipe)}, SHA-256 {each.sha256})" for each in card.teachers)
        yield f"It learned from the capsule lengths of {', '.join(said)}."
    yield ""
    rows = [
        [f"{each.seed}", f"{each.best_epoch}", percent(each.validation_error), percent(each.test_error)]
        for each in seeds.runs
    ]
    if len(rows) > 1:
        rows.append(["mean ± standard deviation", "", _spread(seeds.validation_error), _spread(seeds.test_error)])
    yield f"Error of the trained network in torch; the model is that of seed {own.seed}:"
    yield ""
    yield from table(["seed", "best epoch", "validation", "test"], rows)
    yield ""
    yield "![Training curves](curves.png)"
    yield ""
    yield f"SHA-256 of the images and labels: `{data.sha256}`."


def _recipe_of(file: str) -> str:
    return f"[recipe]({file})" if file else "its recipe was gone"


def _files(card: Card) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield from words.files((name, each.size_bytes, each.sha256) for name, each in card.files.items())
    for found in card.measured.values():
        if found.file not in card.files:
            yield ""
            yield (
                f"`{found.file}` ({found.size_bytes:,} bytes, SHA-256 `{found.sha256}`) was measured, and does not "
                "lie here for its size."
            )
    if WEIGHTS in card.files:
        yield ""
        yield (
            f"`{WEIGHTS}` holds the trained network, its larger tensors in fp16; this makes a run of it, "
            f"which can be exported: `python -m benchmarks.card.weights zoo/{card.name} runs/{card.name}`."
        )


def _made_with(card: Card) -> Iterator[str]:
    yield "## Made with"
    yield ""
    yield from words.versions(
        [("training", card.trained_with), ("export", card.exported_with), ("this card", card.measured_with)]
    )
    if card.calibration:
        yield ""
        yield f"int8 was calibrated by {card.calibration.text}."
    yield ""
    yield f"The errors were measured with {words.instructions(card.processor)}."


def _spread(found: MeanSpread) -> str:
    return percent(found.mean) + ("" if found.spread is None else f" ± {100 * found.spread:.2f}")
