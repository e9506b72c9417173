"""card.md: it tells the record's numbers, written here a second time, and nothing that the record does not hold."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.card.record import Card, FileFacts, read_card
from benchmarks.card.words import markdown
from capsedge.export.card.latency import Latency
from capsedge.processor import arithmetic
from tests.benchmarks.card.robust import report_of


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    lines = text.partition(f"## {heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.split("|")[1:-1]])
    return table


@pytest.fixture(scope="module")
def text(card: Card) -> str:
    return markdown(card)


def test_the_file_is_made_of_the_record_alone(folder: Path) -> None:
    assert (folder / "card.md").read_text() == markdown(read_card(folder))


def test_both_files_are_told_with_their_errors(card: Card, text: str) -> None:
    for row, found in zip(rows(text, "Error"), card.measured.values(), strict=True):
        assert row[0] == f"`{found.file}`"
        assert found.subset_error is not None
        errors = (found.validation_error, found.test_error, found.subset_error)
        assert [cell.partition(" ±")[0] for cell in row[1:]] == [percent(each) for each in errors]
        deviation = 100 * (found.test_error * (1 - found.test_error) / 1000) ** 0.5
        assert row[2].endswith(f"± {deviation:.2f}")
    for split, change in card.int8_change.items():
        points = [f"{100 * each:+.2f}" for each in (change.mean, change.low, change.high)]
        assert f"int8 changes the {split} error by {points[0]} ({points[1]} to {points[2]}) points" in text


def test_every_class_is_told_with_what_it_is_taken_for(card: Card, text: str) -> None:
    confusion = card.measured["fp32"].confusion

    for label, row in enumerate(rows(text, "Error by class")):
        counts = list(confusion[label])
        assert row[0] == card.data.classes[label]
        assert row[1] == f"{sum(counts)}"
        assert row[2].startswith(percent(1 - counts[label] / sum(counts)))
        others = sorted((count for other, count in enumerate(counts) if other != label), reverse=True)
        assert [f"({count})" in row[3] for count in others[:2]] == [bool(count) for count in others[:2]]


def test_lengths_are_told_by_range_with_the_calibration_error(card: Card, text: str) -> None:
    found = card.measured["fp32"]

    for row, each in zip(rows(text, "What a length tells"), found.reliability, strict=True):
        assert row == [
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.images}",
            f"{each.length:.3f}",
            percent(each.accuracy),
        ]
    assert f"The expected calibration error is {found.calibration_error:.4f}" in text


def test_the_weaknesses_are_the_worst_classes_and_the_mistakes(card: Card, text: str) -> None:
    weak = " ".join(text.partition("## What it is bad at\n")[2].partition("\n## ")[0].split())
    worst = max(card.classes, key=lambda each: each.error)  # of two equal ones the first
    assert f"error are {card.data.classes[worst.label]} ({percent(worst.error)} wrong)" in weak
    for row, each in zip(rows(text, "What it is bad at"), card.measured["fp32"].mistakes, strict=True):
        assert row[:3] == [f"{each.image}", card.data.classes[each.label], card.data.classes[each.answer]]
        assert row[3:] == [f"{each.length:.3f}", f"{each.length_of_label:.3f}"]


def test_size_seeds_files_and_versions_are_told(card: Card, text: str) -> None:
    told = " ".join(text.split())
    assert f"{card.parameters:,} parameters, {card.macs / 1e6:.2f} million multiply-accumulate" in told
    assert f"{card.epochs} epochs on {card.data.train:,} training images" in told
    assert f"{card.seconds:,.1f} s" in told
    assert f"    {card.command}\n" in text
    for row, seed in zip(rows(text, "Training"), card.seeds.runs, strict=False):
        assert row == [
            f"{seed.seed}",
            f"{seed.best_epoch}",
            percent(seed.validation_error),
            percent(seed.test_error),
        ]
    mean = card.seeds.test_error
    assert mean.spread is not None
    assert f"{percent(mean.mean)} ± {100 * mean.spread:.2f}" in told
    for name, facts in card.files.items():
        assert f"| `{name}` | {facts.size_bytes:,} | `{facts.sha256}` |" in text
    for versions in (card.trained_with, card.exported_with, card.measured_with):
        for name, number in versions.items():
            assert f"{name} {number}" in told
    assert card.data.sha256 in told
    assert card.calibration
    assert card.calibration.text in told


def test_one_seed_has_no_deviation(card: Card) -> None:
    alone = replace(card.seeds, runs=card.seeds.runs[:1], test_error=replace(card.seeds.test_error, spread=None))

    assert len(rows(markdown(replace(card, seeds=alone)), "Training")) == 1


def test_latency_has_a_place_until_it_is_measured(card: Card, text: str) -> None:
    latency = Latency(
        file="model.onnx",
        batch=1,
        threads=2,
        iterations=12_345,
        p50_ms=0.04321,
        p90_ms=0.0567,
        p99_ms=None,
        images_per_second=23_142.6,
        cpu="Some processor",
        processor=arithmetic(("sse4_1", "avx2")),
        provider="CPUExecutionProvider",
        created="2026-01-02T03:04:05Z",
        warnings=("the load was 3.1",),
    )

    assert "## Latency\n\nNot measured yet.\n" in text
    with_one = markdown(replace(card, latency=(latency,)))
    assert rows(with_one, "Latency") == [
        ["`model.onnx`", "1", "2", "0.04321 ms", "0.0567 ms", "-", "23,143", "12,345"]
    ]
    assert "On Some processor by CPUExecutionProvider, 2026-01-02T03:04:05Z: fp32 by avx2" in with_one
    assert "Note: the load was 3.1." in with_one


def test_a_bar_in_a_name_breaks_no_table(card: Card) -> None:
    odd = markdown(replace(card, files={"a|b": FileFacts(size_bytes=1, sha256="c")}))

    assert "| `a&#124;b` | 1 | `c` |" in odd


def test_robustness_is_told_as_its_benchmark_tells_it(card: Card) -> None:
    told = markdown(replace(card, robustness=report_of(card.name)))

    section = told.partition("## Robustness\n")[2].partition("\n## ")[0]
    assert "| shift, 1 px | 50.00 ± 18.00 |" in section
    assert "| threshold | 0.625 |" in section
    assert "| noise (4 images): AUROC | 0.7500 ± 0.1000 |" in section
    assert "## Robustness" not in markdown(card)
