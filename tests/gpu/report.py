"""A pytest plugin that writes the results as proof.json and proof.md after each test."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pytest

from capsedge.files import write_atomically
from capsedge.version import __version__
from tests.gpu.process import ROOT

Status = Literal["passed", "failed", "not run"]
Key = TypeVar("Key")

GROUPS = {
    "test_machine": "machine",
    "test_training": "training",
    "test_exports": "export",
    "test_providers": "ONNX Runtime",
    "test_engines": "TensorRT",
    "test_latency": "latency",
    "test_serving": "Triton",
}
"""Name of the tests of each file on the page, in the order in which they run."""

# Variables that change what a GPU computes, or which GPU is used.
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS")

_RATIOS = (
    "Mean milliseconds of a batch; in brackets, how many times as fast that is as the collapsed network in fp32 and "
    "as dynamic routing, both by ONNX Runtime on the CPU."
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One test.

    Attributes:
        group: The tested part of capsedge.
        what: The tested behaviour, from the test's name.
        which: Its case, such as `fp16-cuda`; "" for a test without cases.
        test: pytest's id of the test.
        status: Its result.
        seconds: Its duration, including artifacts that it made for later tests.
        detail: One line: the result, or why it failed or was not run.
        data: Figures.
    """

    group: str
    what: str
    which: str
    test: str
    status: Status
    seconds: float
    detail: str
    data: dict[str, Any] = {}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The content of proof.json.

    Attributes:
        capsedge: Version of capsedge.
        commit: The git commit, with `+` if the tree has changes; "" outside of a checkout.
        started: Date and time, UTC.
        options: Options of the command line.
        gpu: The GPU with its compute capability, such as `Orin (sm87)`; "" without one.
        environment: Variables that change what a GPU computes, if they are set.
        records: The finished tests, in order.
        unreached: The tests that an interruption left out.
    """

    schema: int = 2
    capsedge: str
    commit: str
    started: str
    options: tuple[str, ...]
    gpu: str
    environment: dict[str, str]
    records: tuple[Record, ...]
    unreached: tuple[str, ...]

    def having(self, status: Status) -> tuple[Record, ...]:
        """The records of one status."""
        return tuple(record for record in self.records if record.status == status)


class Report:
    """The plugin.

    Args:
        folder: Folder of both files.
        options: Options of the command line.
    """

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.folder = folder
        self.options = tuple(map(str, options))
        self.gpu = ""
        self.started = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        self.commit = _commit()
        self.planned: list[str] = []
        self.phases: dict[str, list[pytest.TestReport]] = {}
        self.records: dict[str, Record] = {}

    @property
    def proof(self) -> Proof:
        """The results so far."""
        return Proof(
            capsedge=__version__,
            commit=self.commit,
            started=self.started,
            options=self.options,
            gpu=self.gpu,
            environment={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            records=tuple(self.records.values()),
            unreached=tuple(test for test in self.planned if test not in self.records),
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the selected tests."""
        self.planned = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the phases of a test: setup, call and teardown."""
        self.phases.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Make a test's record, and write both files before the next test begins."""
        self.records[nodeid] = _record(nodeid, self.phases.pop(nodeid))
        self.write()

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show a test's result line behind its PASSED."""
        saw = dict(report.user_properties).get("saw")
        return ("passed", ".", f"PASSED ({saw})") if report.when == "call" and report.passed and saw else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tests that were not run, and the number of each status."""
        proof, write = self.proof, terminalreporter.write_line
        self.write()
        for line in _not_run(proof):
            write(f"not run: {line}")
        passed, failed, left = (len(proof.having(status)) for status in ("passed", "failed", "not run"))
        write(
            f"{passed} passed, {failed} failed, {left} not run on {proof.gpu or 'this machine without an NVIDIA GPU'}"
        )
        write(f"wrote {self.folder / 'proof.md'} and {self.folder / 'proof.json'}")

    def write(self) -> None:
        """Write both files, without paths of this machine."""
        proof = self.proof
        text = msgspec.json.format(msgspec.json.encode(proof, enc_hook=str)).decode()
        private = {f"{self.folder}/": "", str(self.folder): "OUT", str(ROOT): ".", str(Path.home()): "~"}
        for name, content in (("proof.json", text), ("proof.md", page(proof))):
            shown = content
            for path, stands_for in private.items():
                shown = shown.replace(path, stands_for)
            write_atomically(self.folder / name, shown)


def page(proof: Proof) -> str:
    """A proof as Markdown: rows for docs/verified.md, every test, the latencies, and what was not run."""
    return "\n\n".join(_parts(proof)) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _record(test: str, phases: Sequence[pytest.TestReport]) -> Record:
    file, _, rest = test.partition("::")
    name, _, which = rest.partition("[")
    stem = Path(file).stem
    ended = next((each for each in phases if each.failed), None) or next(
        (each for each in phases if each.skipped), None
    )
    status: Status = "passed" if ended is None else "failed" if ended.failed else "not run"
    data = {str(key): value for key, value in phases[-1].user_properties}
    saw = str(data.pop("saw", ""))
    detail = saw if ended is None else "; ".join(filter(None, (_reason(ended), saw)))
    return Record(
        group=GROUPS.get(stem, stem),
        what=name.removeprefix("test_").replace("_", " "),
        which=which.removesuffix("]"),
        test=test,
        status=status,
        seconds=round(sum(each.duration for each in phases), 2),
        detail=" ".join(detail.split()),
        data=data,
    )


def _reason(report: pytest.TestReport) -> str:
    """Why a test failed or was skipped, without pytest's marks and the name of the exception's class."""
    told = report.longrepr
    if isinstance(told, tuple):
        return str(told[2]).removeprefix("Skipped: ")
    crash = getattr(told, "reprcrash", None)
    return str(told if crash is None else crash.message).partition("\n")[0].removeprefix("Failed: ")


def _parts(proof: Proof) -> Iterator[str]:
    yield f"# The proof on {proof.gpu or 'a machine without an NVIDIA GPU'}"
    version = f"capsedge {proof.capsedge}{f' ({proof.commit})' if proof.commit else ''}"
    settings = "".join(f", {name}={value}" for name, value in proof.environment.items())
    yield f"{version}, {proof.started}, `pytest {' '.join(proof.options)}`{settings}."
    if "--quick" in proof.options:
        yield "Quick: with a tiny network. It checks the proof itself; its figures are meaningless."
    yield "## Verified on"
    yield table(("", "state", "which"), _groups(proof.records))
    yield "## Every test"
    yield table(
        ("what", "state", "figures"), ((_title(each), _state(each.status), each.detail) for each in proof.records)
    )
    timed = [record for record in proof.records if "rows" in record.data]
    if timed:
        yield "## Latency"
        yield _RATIOS
        yield table(("", *(f"batch {record.data['batch']}" for record in timed)), _latencies(timed))
    yield "## Not run on this machine"
    yield "\n".join(f"- {line}" for line in _not_run(proof)) or "Every test was run."


def _title(record: Record) -> str:
    return f"{record.group}: {record.what}{f': {record.which}' if record.which else ''}"


def _state(status: Status) -> str:
    return f"**{status}**" if status == "failed" else status


def _cases(records: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, str]:
    """The cases of the records, by a common key."""
    cases: dict[Key, list[str]] = {}
    for record in records:
        cases.setdefault(key(record), []).append(record.which)
    return {each: ", ".join(filter(None, which)) for each, which in cases.items()}


def _groups(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    """A row for each thing and state."""
    rows = _cases(records, lambda record: (record.group, record.what, record.status))
    for (group, what, status), which in rows.items():
        yield f"{group}: {what}", _state(status), which


def _not_run(proof: Proof) -> Iterator[str]:
    """A line for each thing and reason, and for each test that an interruption left out."""
    left = _cases(proof.having("not run"), lambda record: (record.group, record.what, record.detail))
    for (group, what, reason), which in left.items():
        yield f"{group}: {what}{f' ({which})' if which else ''}: {reason}"
    for test in proof.unreached:
        yield f"{test}: the proof was interrupted before"


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


def _commit() -> str:
    """The git commit of this tree; "" outside of a checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""
    words = [git, "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
