"""A run as one HTML page: curve, scores, training images and recipe, and the wrong answers of its export."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice
from typing import Any

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray

from capsedge.data import Dataset
from capsedge.errors import DataError, MissingExtra, ModelError
from capsedge.measure.evaluate.measure import evaluated
from capsedge.measure.evaluate.page import document, figure, pictures, sections
from capsedge.outside import one_line
from capsedge.plural import number_of
from capsedge.recipe import DataRecipe, Recipe, to_values
from capsedge.run_record import RunRecord
from capsedge.runtime.batches import run_batches
from capsedge.runtime.models import exports_in
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from capsedge.scoring import longest, wrong_answers
from capsedge.training import Run
from capsedge.training.batches import Batches
from capsedge.training.metrics import read_metrics
from capsedge.training.run import status_in_words

_TRAINING_IMAGES = 24
_TEST_IMAGES = 12  # at least one of each class
_MOST_CLASSES = 24
_TOPS = (0.4, 1, 2, 4, 8, 12, 20, 40, 60, 80, 100)  # percent at the top of the curve's axis
# Keys of the recipe that augment training images.
_VARIATIONS = ("overlap", "shift", "crop", "flip", "rotation", "scale", "erase", "brightness", "contrast")


def run_page(run: Run) -> str:
    """Write a run as HTML.

    Args:
        run: A run that has started. If its data is missing, the page says so in place of the images.

    Raises:
        ModelError: The folder is not a run, or is damaged.
    """
    record = run.read_record()
    rows = read_metrics(run.metrics) if run.metrics.exists() else []
    return document(f"run {run.path}", _body(run, record, rows), command="show")


def _body(run: Run, record: RunRecord, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    recipe = run.read_recipe()
    yield f"<h1>{_text(run.path.resolve().name)}</h1>"
    status = status_in_words(record, run.trained_by())
    yield f'<p class="soft">{_text(status)}; {_text(record.data)}; trained on {_text(record.device)}</p>'
    yield _scores(record)
    yield _remarks("Warnings", [warning.text for warning in record.warnings])
    yield _remarks("Advice", [remark.text for remark in record.remarks])
    if validated := [row for row in rows if row["kind"] == "validation"]:
        yield f'<h2>Curve</h2><div class="plots">{_curve(rows, validated)}</div>'
    yield from _images(run, recipe)
    yield _recipe(recipe)


def _images(run: Run, recipe: Recipe) -> Iterator[str]:
    """The sections that need the run's images."""
    try:
        dataset = run.load_dataset()
    except DataError as error:
        yield f"<h2>Images</h2><p>They cannot be shown: {_text(str(error))}.</p>"
        return
    yield from _training_images(dataset, recipe)
    for model in exports_in(run.path)[:1]:
        try:
            opened = open_session(model)
        except (ModelError, MissingExtra) as error:
            yield f"<h2>Answers</h2><p>The export cannot be run: {_text(str(error))}.</p>"
            return
        with opened as session:
            if dataset.labels_per_image == 1:
                yield from _answers(session, dataset, str(model))
            else:
                yield from _answers_of_several(session, dataset)


def _scores(record: RunRecord) -> str:
    cells = "".join(
        f"<tr><th>{_text(score.split)}</th><td>{100 * score.error:.2f} %</td><td>{score.images:,}</td></tr>"
        for score in record.scores
    )
    if not cells:
        return '<p class="soft">The run is not finished, so it has no scores yet.</p>'
    head = "<tr><th>images</th><th>error</th><th>number</th></tr>"
    best = f'<p class="soft">Kept: the network of epoch {record.best_epoch}.</p>'
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{cells}</tbody></table></div>{best}'


def _remarks(title: str, remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    items = "".join(f"<li>{_text(remark)}</li>" for remark in remarks)
    return f'<section class="warnings"><h2>{title}</h2><ul>{items}</ul></section>'


def _curve(rows: Sequence[dict[str, Any]], validated: Sequence[dict[str, Any]]) -> str:
    trained = [row for row in rows if row["kind"] == "training"]
    steps = max(row["step"] for row in validated)
    highest = 100 * max(row["error"] for row in (*validated, *trained))
    top = next(each for each in _TOPS if each >= highest)

    def line(points: Sequence[dict[str, Any]], colour: str) -> str:
        places = [(40 + 500 * row["step"] / steps, 210 - 20_000 * row["error"] / top) for row in points]
        if len(places) == 1:
            return f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3" style="fill: {colour}"/>'
        corners = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        return f'<polyline points="{corners}" fill="none" style="stroke: {colour}" stroke-width="1.8"/>'

    lowest = min(validated, key=lambda row: (row["error"], row["loss"]))
    return figure(
        line(trained, "var(--soft)") + line(validated, "var(--accent)"),
        f"share of {number_of(steps, 'step')}",
        "Error over the training in percent: on training batches (grey) and on the validation images (blue). The "
        f"lowest validation error, {100 * lowest['error']:.2f} %, is of epoch {lowest['epoch']}.",
        top=top,
    )


def _training_images(dataset: Dataset, recipe: Recipe) -> Iterator[str]:
    """The first images of the first epoch, generated again: they depend only on the recipe and its seed."""
    batches = Batches(
        dataset.train,
        recipe=recipe.data,
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
        device=torch.device("cpu"),
    )
    taken = list(islice(batches.epoch(0), -(-_TRAINING_IMAGES // recipe.train.batch_size)))
    images = torch.cat([batch.images for batch in taken])[:_TRAINING_IMAGES]
    labels = torch.cat([batch.labels for batch in taken])[:_TRAINING_IMAGES]
    pixels = (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    yield (
        f'<h2>Training images</h2><p class="soft">The first {len(images)} of the training, as the network got them: '
        f"{_varied(recipe.data)}.</p>"
    )
    yield pictures(
        (image, _and(those, dataset.classes)) for image, those in zip(pixels, labels.tolist(), strict=True)
    )


def _varied(recipe: DataRecipe) -> str:
    """How the training images were augmented, by the keys of the recipe."""
    names = [f"<code>data.{name}</code>" for name in _VARIATIONS if getattr(recipe, name)]
    varied = f"varied by {', '.join(names)}" if names else "not varied"
    return f"{varied}; it standardizes them itself" if recipe.standardize else varied


def _answers(session: Session, dataset: Dataset, model: str) -> Iterator[str]:
    """An evaluation on the test images, which shows wrong answers, followed by some right answers."""
    images, labels, classes = dataset.test.images, dataset.test.labels, dataset.classes
    names = dataset.names[2] or [f"test image {number}" for number in range(len(labels))]
    lengths = run_batches(session, images).lengths
    data = f"{dataset.description}; the test part"
    yield from sections(evaluated(lengths, labels, model=model, data=data, classes=classes, names=names), images)
    right = ~wrong_answers(lengths, labels)
    each = max(1, _TEST_IMAGES // len(classes))
    places = [
        place
        for label in range(min(len(classes), _MOST_CLASSES))
        for place in np.flatnonzero(right & (labels == label))[:each]
    ]
    if places:
        yield f'<h2>Right answers</h2><p class="soft">{right.sum():,}; here {len(places)}, as the model saw them.</p>'
        yield pictures(
            (images[place], f"{_text(names[place])}: {_lengths(lengths[place], classes)}") for place in places
        )


def _answers_of_several(session: Session, dataset: Dataset) -> Iterator[str]:
    """Some evenly spaced test images: images that show several classes have no confusion matrix."""
    some = dataset.test.spread(_TEST_IMAGES)
    lengths = run_batches(session, some.images).lengths
    yield f'<h2>Answers</h2><p class="soft">{len(some)} test images, right or wrong, as the model saw them.</p>'
    yield pictures(
        (image, f"{_lengths(row, dataset.classes, len(labels))}; is {_and(labels, dataset.classes)}")
        for image, row, labels in zip(some.images, lengths, some.labels, strict=True)
    )


def _lengths(row: NDArray[np.float32], classes: Sequence[str], count: int = 1) -> str:
    """The classes of the answer and the next class, with their lengths."""
    places = longest(row[None], count + 1)[0]
    answer = ", ".join(f"<b>{_text(classes[place])}</b> {row[place]:.2f}" for place in places[:count])
    return answer + "".join(f", then {_text(classes[place])} {row[place]:.2f}" for place in places[count:])


def _and(labels: Sequence[int], classes: Sequence[str]) -> str:
    return _text(" and ".join(classes[label] for label in labels))


def _text(text: str) -> str:
    """Text for the page, on one line: names may have line breaks and control characters."""
    return escape(one_line(text))


def _recipe(recipe: Recipe) -> str:
    """Each section of the recipe as a block, so that the blocks can be set side by side."""
    parts = tomli_w.dumps(to_values(recipe)).strip().split("\n\n")
    written = "".join(f"<pre><code>{escape(part)}</code></pre>" for part in parts)
    return f'<h2>Recipe</h2><div class="columns">{written}</div>'
