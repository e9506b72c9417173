"""card.md, made from card.json alone: the same record always gives the same text."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.card.record import CARD, WEIGHTS, Card, Latency, WrongAnswer
from benchmarks.robustness.table import markdown as robustness_in_words
from capsedge.files import write_atomically
from capsedge.plural import number_of
from capsedge.processor import Processor, in_words
from capsedge.statistics import Difference, MeanSpread, standard_error

WORST = 3


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
    return "\n\n".join("\n".join(section(card)) for section in sections if any(section(card))) + "\n"


def _heading(card: Card) -> Iterator[str]:
    yield f"# {card.name}"
    yield ""
    yield (
        f"A capsule network for {len(card.data.classes)} classes of {card.data.title} "
        f"({', '.join(card.data.classes)}): {card.parameters:,} parameters, {card.macs / 1e6:.2f} million "
        f"multiply-accumulate operations (MMAC) for one image, routing `{card.routing}`."
    )
    yield ""
    yield f"    capsedge infer IMAGE --model {card.name}"


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
            _error_of(found.validation_error, data.validation),
            _error_of(found.test_error, data.test),
            *([_error_of(found.subset_error, data.subset)] if found.subset_error is not None else []),
        ]
        for found in card.measured.values()
    ]
    yield from _table(["file", "validation", "test", *subset], rows)
    for split, change in card.int8_change.items():
        yield ""
        yield f"int8 changes the {split} error by {_change(change)} points (95 % interval, paired by image)."


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
            _error_of(each.error, each.images),
            ", ".join(f"{names[other]} ({count:,})" for other, count in each.taken_for) or "-",
        ]
        for each in card.classes
    ]
    yield from _table(["class", "images", "error", "most often taken for (images)"], rows)
    yield ""
    yield "![Confusion](confusion.png)"


def _lengths(card: Card) -> Iterator[str]:
    found = card.measured[card.shown]
    yield "## What a length tells"
    yield ""
    yield (
        "The length of a class capsule says how strongly that class is present, each on its own: the lengths of an "
        "image do not sum to 1, several can be long, and all can be short. They are not probabilities, and the "
        "training does not make them so: its margin loss is zero for a present class from a length of 0.9 on and for "
        "an absent one up to 0.1. This table asks only how often the longest capsule is the right one, by its length."
    )
    yield ""
    rows = [
        [
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.images:,}",
            f"{each.length:.3f}",
            _percent(each.accuracy),
        ]
        for each in found.reliability
    ]
    yield from _table(["longest length", "images", "mean length", "right answers"], rows)
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
    said = ", ".join(f"{names[each.label]} ({_percent(each.error)} wrong)" for each in worst)
    yield "## What it is bad at"
    yield ""
    yield f"The classes with the highest error are {said}."
    if not found.mistakes:
        return
    yield ""
    yield "The wrong answers with the longest capsules, the longest first; images are counted from 0:"
    yield ""
    yield from _table(
        ["test image", "class", "answer", "its length", "length of the class"],
        [_mistake(each, names) for each in found.mistakes],
    )
    yield ""
    yield "![Mistakes with long capsules](mistakes.png)"
    yield ""
    yield (
        f"It was trained on images of {card.data.title} alone, and answers any other image with one of its classes, "
        "too."
    )


def _mistake(each: WrongAnswer, names: Sequence[str]) -> list[str]:
    return [
        f"{each.image}",
        names[each.label],
        names[each.answer],
        f"{each.length:.3f}",
        f"{each.length_of_label:.3f}",
    ]


def _cost(card: Card) -> Iterator[str]:
    yield "## Latency"
    yield ""
    if not card.latency:
        yield "Not measured yet."
        return
    yield from _table(
        ["file", "batch", "threads", "p50", "p90", "p99", "images/s", "iterations"],
        [_latency(each) for each in card.latency],
    )
    for where in dict.fromkeys((each.cpu, each.provider, each.created, each.processor) for each in card.latency):
        cpu, provider, created, processor = where
        yield ""
        yield f"On {cpu} by {provider}, {created}: {_processor(processor)}."
    for warning in dict.fromkeys(warning for each in card.latency for warning in each.warnings):
        yield ""
        yield f"Note: {warning}."


def _latency(each: Latency) -> list[str]:
    times = ["-" if value is None else f"{value:.4g} ms" for value in (each.p50_ms, each.p90_ms, each.p99_ms)]
    return [
        *(f"`{each.file}`", f"{each.batch}", f"{each.threads}", *times),
        *(f"{each.images_per_second:,.0f}", f"{each.iterations:,}"),
    ]


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
        [f"{each.seed}", f"{each.best_epoch}", _percent(each.validation_error), _percent(each.test_error)]
        for each in seeds.runs
    ]
    if len(rows) > 1:
        rows.append(["mean ± standard deviation", "", _spread(seeds.validation_error), _spread(seeds.test_error)])
    yield f"Error of the trained network in torch; the model is that of seed {own.seed}:"
    yield ""
    yield from _table(["seed", "best epoch", "validation", "test"], rows)
    yield ""
    yield "![Training curves](curves.png)"
    yield ""
    yield f"SHA-256 of the images and labels: `{data.sha256}`."


def _recipe_of(file: str) -> str:
    return f"[recipe]({file})" if file else "its recipe was gone"


def _files(card: Card) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield from _table(
        ["file", "bytes", "SHA-256"],
        [[f"`{name}`", f"{each.size_bytes:,}", f"`{each.sha256}`"] for name, each in card.files.items()],
    )
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
    yield from _table(
        ["step", "versions"],
        [
            [step, ", ".join(f"{name} {number}" for name, number in versions.items())]
            for step, versions in (
                ("training", card.trained_with),
                ("export", card.exported_with),
                ("this card", card.measured_with),
            )
        ],
    )
    if card.calibration:
        yield ""
        yield f"int8 was calibrated by {card.calibration.text}."
    yield ""
    yield f"The errors were measured with {_processor(card.processor)}."


def _processor(processor: Processor | None) -> str:
    if processor is None:
        return "unknown instruction sets"
    return f"{in_words(processor)} ({' '.join(processor.instruction_sets)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _error_of(error: float, images: int) -> str:
    return f"{_percent(error)} ± {100 * standard_error(error, images):.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _change(found: Difference) -> str:
    return f"{100 * found.mean:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _spread(found: MeanSpread) -> str:
    return _percent(found.mean) + ("" if found.spread is None else f" ± {100 * found.spread:.2f}")
