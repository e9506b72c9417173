"""Parts of a card's text: figures, tables, and the sections that every card has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from capsedge.contract import Contract
from capsedge.export.card.latency import Latency
from capsedge.outside import one_line
from capsedge.plural import number_of
from capsedge.processor import Processor, in_words
from capsedge.statistics import Difference, standard_error, wilson_interval

ABOUT_LENGTHS = (
    "The length of a class capsule says how strongly that class is present, each on its own: the lengths of an image "
    "do not sum to 1, several can be long, and all can be short. They are not probabilities, and the training does "
    "not make them so: its margin loss is zero for a present class from a length of 0.9 on and for an absent one up "
    "to 0.1."
)


def heading(
    name: str, *, title: str, classes: Sequence[str], parameters: int, flops: int, routing: str, command: str
) -> Iterator[str]:
    """The title, a sentence about the network, and the command that runs it.

    Args:
        name: Name of the model.
        title: Title of the training data.
        classes: Class names.
        parameters: Number of weights, without biases.
        flops: Operations for one image.
        routing: Kind of routing.
        command: The command.
    """
    yield f"# {plain(name)}"
    yield ""
    yield (
        f"A capsule network for {len(classes)} classes of {plain(title)} ({', '.join(map(plain, classes))}): "
        f"{parameters:,} parameters, {flops / 2e6:.2f} million multiply-accumulate operations (MMAC) for one image, "
        f"routing `{routing}`."
    )
    yield ""
    yield f"    {command}"


def latencies(measured: Sequence[Latency], otherwise: str) -> Iterator[str]:
    """The section on latency.

    Args:
        measured: Cases of reports of `capsedge bench`.
        otherwise: The text if nothing was measured.
    """
    yield "## Latency"
    yield ""
    if not measured:
        yield otherwise
        return
    yield from table(
        ["file", "batch", "threads", "p50", "p90", "p99", "images/s", "iterations"], map(_latency, measured)
    )
    for where in dict.fromkeys((each.cpu, each.provider, each.created, each.processor) for each in measured):
        cpu, provider, created, processor = where
        yield ""
        yield f"On {cpu} by {provider}, {created}: {instructions(processor)}."
    for warning in dict.fromkeys(warning for each in measured for warning in each.warnings):
        yield ""
        yield f"Note: {warning}."


def _latency(each: Latency) -> list[str]:
    times = ["-" if value is None else f"{value:.4g} ms" for value in (each.p50_ms, each.p90_ms, each.p99_ms)]
    return [
        *(f"`{each.file}`", f"{each.batch}", f"{each.threads}", *times),
        *(f"{each.images_per_second:,.0f}", f"{each.iterations:,}"),
    ]


def other_images(title: str) -> str:
    """What a network does with images of something else."""
    return (
        f"It was trained on images of {plain(title)} alone, and answers any other image with one of its classes, too."
    )


def files(found: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    """A table of files with their sizes, in bytes, and SHA-256."""
    yield from table(
        ["file", "bytes", "SHA-256"], [[f"`{name}`", f"{size:,}", f"`{sha}`"] for name, size, sha in found]
    )


def versions(steps: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    """A table of the packages of each step."""
    yield from table(
        ["step", "versions"],
        [[step, ", ".join(f"{name} {number}" for name, number in used.items())] for step, used in steps],
    )


def in_types(contract: Contract) -> str:
    """The types in which a file computes, with their shares of its layers and FLOPs."""
    count = len(contract.layers)
    layers = number_of(count, "layer")
    return ", ".join(
        f"{kind} in {share.layers * count:.0f} of {layers} ({100 * share.flops:.1f} % of the FLOPs)"
        for kind, share in contract.shares.items()
    )


def instructions(processor: Processor | None) -> str:
    """A processor's instruction sets, and what computes with them."""
    if processor is None:
        return "unknown instruction sets"
    return f"{in_words(processor)} ({' '.join(processor.instruction_sets)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, line by line."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def plain(name: str) -> str:
    """A name from outside on one line, with the characters that start markup escaped."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>#" else each for each in one_line(name).strip())


def error_of(error: float, images: int) -> str:
    """An error with its standard error."""
    return f"{percent(error)} ± {100 * standard_error(error, images):.2f}"


def error_within(error: float, images: int) -> str:
    """An error with its 95 % interval."""
    low, high = wilson_interval(round(error * images), images)
    return f"{percent(error)} ({100 * low:.2f} to {100 * high:.2f})"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.2f} %"


def points(change: Difference) -> str:
    """A change of an error in points, with its 95 % interval."""
    return f"{100 * change.mean:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
