"""A proof as Markdown: the rows for the README, every record, the latencies, and what was not executed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.prove.record import Proof, Record

STATES = {"passed": "passed", "failed": "**failed**", "not possible here": "not possible here"}

_RATIOS = (
    "Mean milliseconds of a batch; in brackets, how many times as fast that is as the collapsed network in fp32 and "
    "as dynamic routing, both by ONNX Runtime on the CPU."
)


def markdown(proof: Proof) -> str:
    """The whole page."""
    return "\n\n".join(_parts(proof)) + "\n"


def _parts(proof: Proof) -> Iterator[str]:
    yield f"# The proof on {proof.gpu or 'a machine without an NVIDIA GPU'}"
    version = f"capsedge {proof.capsedge}{f' ({proof.commit})' if proof.commit else ''}"
    settings = "".join(f", {name}={value}" for name, value in proof.environment.items())
    yield f"{version}, {proof.started}, `python -m benchmarks.prove {' '.join(proof.command)}`{settings}."
    yield "## Verified on"
    yield table(("", "state", "which"), _groups(proof.records))
    yield "## Every step"
    yield table(("what", "state", "figures"), map(_row, proof.records))
    timed = [record for record in proof.records if "rows" in record.data]
    if timed:
        yield "## Latency"
        yield _RATIOS
        yield table(("", *(f"batch {record.data['batch']}" for record in timed)), _latencies(timed))
    yield "## Not executed on this machine"
    yield "\n".join(_not_executed(proof)) or "Nothing was left out."


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _groups(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    """A row for each group and state: the names of the records."""
    for group in dict.fromkeys(record.group for record in records):
        for status, state in STATES.items():
            names = [record.name for record in records if (record.group, record.status) == (group, status)]
            if names:
                yield group, state, ", ".join(names)


def _row(record: Record) -> tuple[str, str, str]:
    return f"{record.group}: {record.name}", STATES[record.status], record.detail


def _latencies(timed: Sequence[Record]) -> Iterator[list[str]]:
    rows: dict[str, list[str]] = {}
    for record in timed:
        for row in record.data["rows"]:
            rows.setdefault(f"{row['label']} ({row['provider']})", []).append(_latency(row))
    for label, cells in rows.items():
        yield [label, *cells]


def _latency(row: dict[str, Any]) -> str:
    ratios = [row["faster_than_fp32"], row["faster_than_dynamic"]]
    return f"{row['mean_ms']:.3f} ({', '.join('-' if ratio is None else f'{ratio:.2f}' for ratio in ratios)})"


def _not_executed(proof: Proof) -> Iterator[str]:
    for record in proof.having("not possible here"):
        yield f"- {record.group}: {record.name} (`{record.path}`): {record.detail}"
    for name in proof.unreached:
        yield f"- {name}: the proof was interrupted before"
