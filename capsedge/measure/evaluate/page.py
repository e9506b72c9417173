"""An evaluation as a self-contained HTML page: no network, no script, no other file."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.files import page_mark
from capsedge.measure.bench.show.page import STYLE
from capsedge.measure.evaluate.measure import Evaluated, ModelComparison
from capsedge.plural import number_of

MOST_PICTURES = 60
MOST_CLASSES = 40  # largest readable confusion matrix

_OWN_STYLE = """
.confusion td { text-align: center; padding: 0.3rem 0.45rem; }
.confusion td.hit { font-weight: 600; }
.confusion th { font-weight: 500; }
.confusion thead th { writing-mode: vertical-rl; text-align: left; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: 0.8rem;
  margin: 0.8rem 0; }
.pictures figure { margin: 0; }
.pictures img { width: 96px; height: auto; image-rendering: pixelated; display: block; }
.pictures figcaption { overflow-wrap: anywhere; margin-top: 0.2rem; line-height: 1.35; }
* + h1 { margin-top: 2.5rem; }
.columns { columns: 17rem; column-gap: 1.5rem; margin-top: 0.6rem; }
.columns pre { break-inside: avoid; margin: 0 0 1rem; white-space: pre-wrap; }
.bars { width: 100%; max-width: 36rem; height: auto; display: block; }
.bars text { font-size: 11px; fill: var(--soft); }
@media (max-width: 40rem) { .bars text { font-size: 15px; } }
"""


def page(found: Evaluated, images: NDArray[np.uint8]) -> str:
    """Write an evaluation as HTML.

    Args:
        found: The evaluation.
        images: The evaluated images as the model's input, uint8 [N, height, width, channels].
    """
    return document(f"{found.model} on {found.data}", sections(found, images), command="eval")


def document(title: str, body: Iterable[str], *, command: str) -> str:
    """A page of sections with a content security policy that allows no fetches and no scripts.

    Args:
        title: Its title.
        body: Its sections.
        command: The command that writes it.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f'{page_mark(command)}\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{_OWN_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def sections(found: Evaluated, images: NDArray[np.uint8]) -> Iterator[str]:
    """The sections of an evaluation, as HTML.

    Args:
        found: The evaluation.
        images: The evaluated images as the model's input, uint8 [N, height, width, channels].
    """
    yield f"<h1>{_percent(found.error)} of the answers are wrong</h1>"
    yield (
        f'<p class="soft"><code>{escape(found.model)}</code> on {escape(found.data)}. 95 % interval '
        f"{_percent(found.low)} to {_percent(found.high)}; balanced error, with equal weight for every class: "
        f"{_percent(found.balanced_error)}.</p>"
    )
    remarks = [remark.text for remark in found.remarks]
    if found.never_answered:
        remarks.insert(0, f"never answered: {', '.join(found.never_answered)}")
    if remarks:
        items = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
        yield f'<section class="warnings"><h2>Read these figures with care</h2><ul>{items}</ul></section>'
    if found.comparison:
        yield _comparison(found.comparison)
    yield f"<h2>Classes</h2>{_classes(found)}"
    if len(found.classes) <= MOST_CLASSES:
        yield f"<h2>Confusion matrix</h2>{_confusion(found)}"
    yield "<h2>Calibration and thresholds</h2>"
    yield f'<div class="plots">{_reliability(found)}{_thresholds(found)}</div>'
    yield from _wrong(found, images)


def _comparison(other: ModelComparison) -> str:
    change = other.difference
    return (
        f"<h2>Comparison</h2><p><code>{escape(other.model)}</code> is wrong on {_percent(other.error)} of the same "
        f"images. The difference is {_points(change.mean)} points (95 %: {_points(change.low)} to "
        f"{_points(change.high)}); only the first is wrong on {number_of(other.first_alone, 'image')}, only the "
        f"other on {other.other_alone:,} (McNemar's exact test: p = {other.p_value:.3g}).</p>"
    )


def _classes(found: Evaluated) -> str:
    rows = "".join(
        f"<tr><th>{escape(each.name)}</th><td>{each.images:,}</td><td>{_share(each.recall)}</td>"
        f"<td>{_share(each.precision)}</td><td>"
        + escape(", ".join(f"{name} ({count:,})" for name, count in each.taken_for))
        + "</td></tr>"
        for each in found.classes
    )
    head = "<th>class</th><th>images</th><th>recall</th><th>precision</th><th>taken for</th>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _confusion(found: Evaluated) -> str:
    names = [each.name for each in found.classes]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for label, counts in enumerate(found.confusion):
        whole = max(1, sum(counts))
        cells = "".join(
            f'<td class="{"hit" if answer == label else "miss"}" style="background: '
            f'rgb({"0 114 178" if answer == label else "213 94 0"} / {0.85 * (count / whole) ** 0.5:.2f})">'
            f"{count or ''}</td>"
            for answer, count in enumerate(counts)
        )
        rows.append(f"<tr><th>{escape(names[label])}</th>{cells}</tr>")
    return (
        '<p class="soft">Rows are classes, columns are answers.</p><div class="scroll">'
        f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _reliability(found: Evaluated) -> str:
    bars = "".join(
        f'<rect x="{40 + 50 * each.low * 10:.0f}" y="{210 - 200 * each.accuracy:.1f}" width="46" '
        f'height="{200 * each.accuracy:.1f}" fill="#0072b2" fill-opacity="0.7"><title>'
        f"{number_of(each.images, 'image')} of length {each.low:.1f} to {each.high:.1f}: {_percent(each.accuracy)} "
        "right</title></rect>"
        for each in found.reliability
    )
    return figure(
        bars + '<line x1="40" y1="210" x2="540" y2="10" stroke="currentColor" stroke-dasharray="4 4"/>',
        "length of the longest capsule",
        "Share of right answers by the length of the longest capsule. On the dashed line, a length equals the "
        f"probability of a right answer. Expected calibration error {found.calibration_error:.3f}.",
    )


def _thresholds(found: Evaluated) -> str:
    def line(points: list[tuple[float, float]], colour: str) -> str:
        places = " ".join(f"{40 + 500 * x:.1f},{210 - 200 * y:.1f}" for x, y in points)
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2.5"/>'

    answered = line([(each.threshold, each.answered) for each in found.thresholds], "#0072b2")
    errors = [(each.threshold, each.error) for each in found.thresholds if each.error is not None]
    return figure(
        answered + line(errors, "#d55e00"),
        "threshold on the longest length",
        "By threshold: the share of images with an answer (blue) and the share of wrong answers among these "
        "(orange).",
    )


def figure(drawn: str, below: str, caption: str, *, top: float = 1) -> str:
    """An SVG plot: x from 40 (0) to 540 (1), y from 210 (0) to 10 (`top`)."""
    marks = "".join(
        f'<text x="34" y="{214 - 200 * share:.0f}" text-anchor="end">{top * share:g}</text>'
        f'<text x="{40 + 500 * share:.0f}" y="226" text-anchor="middle">{share:g}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        '<figure class="card"><svg class="bars" viewBox="0 0 560 245" role="img">'
        f'<rect x="40" y="10" width="500" height="200" fill="none" stroke="currentColor" stroke-opacity="0.3"/>'
        f'{drawn}{marks}<text x="290" y="242" text-anchor="middle">{below}</text></svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _wrong(found: Evaluated, images: NDArray[np.uint8]) -> Iterator[str]:
    if not found.mistakes:
        yield "<h2>Wrong answers</h2><p>There are none.</p>"
        return
    shown = found.mistakes[:MOST_PICTURES]
    which = "all" if len(shown) == len(found.mistakes) else f"the {len(shown)} with the longest capsules"
    yield f'<h2>Wrong answers</h2><p class="soft">{len(found.mistakes):,}; shown: {which}, as the model saw them.</p>'
    yield pictures(
        (
            images[each.image],
            f"{escape(each.name)}: <b>{escape(each.answer)}</b> {each.length:.2f}, is {escape(each.label)} "
            f"{each.length_of_label:.2f}",
        )
        for each in shown
    )


def pictures(shown: Iterable[tuple[NDArray[np.uint8], str]]) -> str:
    """Images [height, width, channels] in a grid, each with its caption, which is HTML."""
    figures = "".join(
        f'<figure><img alt="" src="data:image/png;base64,{_png(pixels)}"><figcaption>{caption}</figcaption></figure>'
        for pixels, caption in shown
    )
    return f'<div class="pictures">{figures}</div>'


def _png(pixels: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"
