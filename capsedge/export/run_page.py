"""A run as one HTML page: its curve, scores, recipe, and where it was exported, what it confuses and gets wrong."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import tomli_w

from capsedge.plural import number_of
from capsedge.recipe import to_values
from capsedge.runtime.batches import run_batches
from capsedge.runtime.evaluate.labelled import of_run
from capsedge.runtime.evaluate.measure import evaluated
from capsedge.runtime.evaluate.page import document, figure, sections
from capsedge.runtime.models import exports_in
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from capsedge.training import Run
from capsedge.training.metrics import read_metrics
from capsedge.training.run import RunRecord


def run_page(run: Run) -> str:
    """Write a run as HTML.

    Args:
        run: A run that has begun. What it confuses is on the page if it was exported and its images are here and
            show one class each.

    Raises:
        ModelError: It is no run, or damaged.
        DataError: It was exported, and its images are no longer here.
    """
    record = run.read_record()
    rows = read_metrics(run.metrics) if run.metrics.exists() else []
    return document(f"run {run.path}", _body(run, record, rows))


def _body(run: Run, record: RunRecord, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"<h1>{escape(run.path.resolve().name)}</h1>"
    yield f'<p class="soft">{escape(record.status)}; {escape(record.data)}; trained on {escape(record.device)}</p>'
    yield from (_scores(record), _remarks(record.remarks))
    if validated := [row for row in rows if row["kind"] == "validation"]:
        yield f'<h2>Curve</h2><div class="plots">{_curve(rows, validated)}</div>'
    yield f"<h2>Recipe</h2><pre><code>{escape(tomli_w.dumps(to_values(run.read_recipe())))}</code></pre>"
    if exports := exports_in(run.path):
        yield from _answers(run, exports[0])


def _scores(record: RunRecord) -> str:
    cells = "".join(
        f"<tr><th>{escape(score.split)}</th><td>{100 * score.error:.2f} %</td><td>{score.images:,}</td></tr>"
        for score in record.scores
    )
    if not cells:
        return '<p class="soft">It is not finished, so it has no scores yet.</p>'
    head = "<tr><th>images</th><th>error</th><th>number</th></tr>"
    best = f'<p class="soft">Best epoch: {record.best_epoch}.</p>'
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{cells}</tbody></table></div>{best}'


def _remarks(remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    items = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    return f'<section class="doubts"><h2>Advice</h2><ul>{items}</ul></section>'


def _curve(rows: Sequence[dict[str, Any]], validated: Sequence[dict[str, Any]]) -> str:
    trained = [row for row in rows if row["kind"] == "training"]
    steps = max(row["step"] for row in validated)
    highest = max(row["error"] for row in (*validated, *trained)) or 1.0

    def line(points: Sequence[dict[str, Any]], colour: str) -> str:
        places = " ".join(
            f"{40 + 500 * row['step'] / steps:.1f},{210 - 200 * row['error'] / highest:.1f}" for row in points
        )
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"/>'

    lowest = min(validated, key=lambda row: (row["error"], row["loss"]))
    return figure(
        line(trained, "#999999") + line(validated, "#0072b2"),
        f"share of {number_of(steps, 'step')}",
        f"Errors over the training, as shares of the highest, {100 * highest:.1f} %: on training batches (grey) and "
        f"on the validation images (blue). The lowest validation error, {100 * lowest['error']:.2f} %, is of epoch "
        f"{lowest['epoch']}.",
    )


def _answers(run: Run, model: Path) -> Iterator[str]:
    with open_session(model) as session:
        contract = contract_needed(session)
        if contract.labels > 1:
            return
        images = of_run(run.path, classes=contract.classes, part="test")
        found = evaluated(
            run_batches(session, images.images).lengths,
            images.labels,
            model=str(model),
            data=images.data,
            classes=contract.classes,
            names=images.names,
            remarks=images.remarks,
        )
    yield from sections(found, images.images)
