"""Latencies on a card come from a report of the very files that it measured."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.card.__main__ import main
from benchmarks.card.latency import with_latency
from benchmarks.card.record import Card, read_card
from capsedge.errors import WrongUse
from capsedge.measure.bench.files import load
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


def test_a_report_of_the_folders_files_fills_the_card(
    capsedge: Capsedge, card: Card, folder: Path, tmp_path: Path
) -> None:
    files = [str(folder / name) for name in ("model.onnx", "model.int8.onnx")]
    written = tmp_path / "bench.json"
    done = capsedge("bench", *files, "--iterations", "200", "--threads", "1", "--output", str(written))
    assert done.returncode == 0, done.stderr
    report = load(written)
    before = (folder / "card.json").read_bytes(), (folder / "card.md").read_bytes()

    try:
        assert main(["--output", str(folder), "--bench", str(written)]) == 0
        filled = read_card(folder)
    finally:  # the folder is that of all tests
        for name, content in zip(("card.json", "card.md"), before, strict=True):
            (folder / name).write_bytes(content)

    assert [each.file for each in filled.latency] == ["model.onnx", "model.int8.onnx"]
    for each, case in zip(filled.latency, report.groups[0].cases, strict=True):
        ordered = sorted(sample for samples in case.samples_ms for sample in samples)
        assert (each.batch, each.threads, each.iterations) == (1, 1, len(ordered))
        assert ordered[len(ordered) // 2 - 1] <= each.p50_ms <= ordered[len(ordered) // 2]
        assert each.images_per_second == pytest.approx(1000 * len(ordered) / sum(ordered), rel=1e-6)
        assert (each.cpu, each.created) == (report.machine.cpu, report.created)
    assert replace(filled, latency=()) == card

    other = replace(card, measured={name: replace(each, sha256="0") for name, each in card.measured.items()})
    with pytest.raises(WrongUse, match="the report has no case of a file of 'edge-tiny': capsedge bench edge-tiny"):
        with_latency(other, report)
