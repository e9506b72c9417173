"""The small marks of the page: names as text, and the line that shows how a case is drawn."""

from html import escape

from capsedge.measure.bench.formats import words
from capsedge.measure.bench.formats.plots.drawing import Look


def chip(look: Look) -> str:
    """A short line of a case's colour and dash."""
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    return (
        '<svg class="chip" viewBox="0 0 26 10" aria-hidden="true">'
        f'<line x1="0" y1="5" x2="26" y2="5" style="stroke: {look.colour}; stroke-width: 5"{dash}/></svg>'
    )


def text(given: str) -> str:
    """A name, which may hold anything, as text and never as markup."""
    return escape(words.printable(given))


def broken(path: str) -> str:
    """A name that is broken behind its slashes first, where it must be broken."""
    return text(path).replace("/", "/<wbr>")
