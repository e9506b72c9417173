"""Every table on a terminal of 60 columns: no line is longer, and no word or number is cut.

Of `data`, `doctor`, `inspect`, `infer` and `models` beside their other tests.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from capsedge.cli import console, lint
from capsedge.cli.screens import bench, compress, export, inspect, profile, reproduce
from capsedge.compress.record import Compression, Figures
from capsedge.contract import METADATA_KEY, Contract, Layer, Score, Verdict, decode
from capsedge.export.tensorrt.lint import Lint
from capsedge.export.tensorrt.rules import LintFinding
from capsedge.measure.bench.deployment import ErrorOnData, PeakMemory, Served, Trial
from capsedge.measure.bench.report import Ratio
from capsedge.measure.profile.measure import profile_model
from capsedge.measure.profile.roofline import Level, Roofs
from capsedge.onnx_lite.file import read_metadata
from capsedge.reproduce.cases import METHODS, PAPER_SETS
from capsedge.reproduce.results import Table2, TableRow
from capsedge.statistics import Difference, MeanSpread
from tests.measure.bench import reports

WIDTH = 60
CHANGE = Difference(-0.0012, -0.0038, 0.0114)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_width", WIDTH)
    monkeypatch.setattr(console.err, "_width", WIDTH)


def assert_whole(text: str, *wanted: str) -> None:
    """No line is too long, and every word that is wanted stands there in one piece."""
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    words = text.split()
    assert [word for each in wanted for word in each.split() if word not in words] == []


def contract_in(file: Path, **fields: object) -> Contract:
    return replace(decode(read_metadata(file)[METADATA_KEY], Contract, source=str(file)), **fields)


def test_files_of_an_export_side_by_side(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict(
        status="not executed here",
        error=0.0952,
        error_change=CHANGE,
        largest_length_difference=0.44,
        mean_length_difference=0.01,
    )
    scores = tuple(Score("fp32", split, 10_000, 0.1234) for split in ("validation", "test"))
    contract = contract_in(good, verdict=verdict, scores=scores, batch=65_536)
    assert contract.precision == "fp32"

    export.show_table([contract, replace(contract, batch=None)], [str(good)] * 2)

    size = f"{good.stat().st_size / 1e6:.2f}"
    said = capsys.readouterr().err
    assert_whole(said, "fp32 x65536", size, "9.52", "-0.12 (-0.38 to +1.14)", "12.34", "not executed")
    assert "(-0.38 to +1.14)" in said


def test_stages_and_layers_of_a_profile(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = Level(name="memory", capacity_bytes=None, copied_bytes=1, gb_per_s=30.0)
    roofs = Roofs(threads=1, product_sides=(64,), gflops={"fp32": 90.0}, levels=(memory,))
    found = profile_model(good, iterations=50, roofline=False).profile
    assert {"primary capsules", "class capsules"} <= {stage.stage for stage in found.stages}
    slow = {"time_us": 12_345.6, "share": 0.987, "flops": 1_234_567_000, "gflops": 1234.5, "of_roof": 0.334}
    found = replace(
        found,
        roofs=roofs,
        stages=tuple(replace(stage, **slow) for stage in found.stages),
        layers=tuple(replace(layer, **slow) for layer in found.layers),
    )
    numbers = ("12,345.6", "98.7 %", "1,234.567", "1,234.5", "33.4 %", "primary capsules", "between the layers")

    profile.print_stages(found)
    assert_whole(capsys.readouterr().out, *numbers)
    profile.print_layers(found)
    said = capsys.readouterr().out
    assert_whole(said, "12,345.6", "98.7 %", "33.4 %", "primary capsules")
    assert "not shown in 60 columns: op, type, recorded, MFLOP, FLOP/B, GFLOP/s, bound by" in " ".join(said.split())


def test_layers_of_a_file(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = Layer(
        name="capsules.stem.12.0", op="Conv", type="int8", output="fp32", flops=12_441_600, parameters=1_234_567
    )
    inspect.print_layers(contract_in(good, layers=(layer,)))
    assert_whole(capsys.readouterr().out, "capsules.stem.12.0 int8 fp32 12,441,600 1,234,567")


def test_a_measurement_and_its_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    report = reports.report()
    bench.show_report(report)
    tables = capsys.readouterr().out
    assert_whole(
        tables, "p50 ms", "images/s", "x first", "a int8 2.01 1,082 0.343-0.357 7.12 7.45", "first inference"
    )


def test_artifacts_judged_by_error_latency_memory_and_energy(capsys: pytest.CaptureFixture[str]) -> None:
    error = ErrorOnData(data="photos", images=1_000, wrong=98, error=0.098, low=0.0811, high=0.1179)
    memory = PeakMemory(runtime_mb=64.9, peak_mb=169.6)
    first = reports.case(memory=memory, on_data=error, cpu_energy_mj=123.4)
    difference = {"vs_first": 0.003, "vs_first_low": -0.001, "vs_first_high": 0.008}
    second = replace(first, label="runs/a int8", on_data=replace(error, **difference))

    bench.show_report(reports.report(reports.group(first, second)))

    said = capsys.readouterr()
    assert_whole(said.out, "a int8 123 170 9.80 8.11 to 11.79")
    assert "not shown in 60 columns: p50" not in said.out
    assert "CPU energy: not shown" not in said.err


def test_providers_side_by_side_judged_by_everything(capsys: pytest.CaptureFixture[str]) -> None:
    error = ErrorOnData(data="photos", images=1_000, wrong=98, error=0.098, low=0.0811, high=0.1179)
    memory = PeakMemory(runtime_mb=64.9, peak_mb=169.6)
    first = reports.case("zoo/edge-small cpu", memory=memory, on_data=error)
    second = replace(first, label="zoo/edge-small openvino", provider="OpenVINO CPU (f32+i8)")

    bench.show_report(reports.report(reports.group(first, second)))

    assert_whole(capsys.readouterr().out, "OpenVINO CPU (f32+i8) 170 9.80 8.11 to 11.79 edge-small openvino")


def test_rates_that_a_server_can_take(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [
        Trial(qps=qps, queries=9_000, unanswered=0, answered_qps=qps, p99_ms=4.321, bound_ms=4.5, held=qps < 800)
        for qps in (612.5, 1225.0)
    ]
    served = Served(qps=612.5, highest_qps=612.5, capacity_qps=2450.0, trials=tuple(trials))
    case = reports.case(served=served)

    bench.show_report(reports.report(replace(reports.group(case), scenario="server", p99_ms=5.0)))

    said = capsys.readouterr()
    assert_whole(said.out, "highest queries/s 612")
    tried = "p99 at the rates that were tried: 612/s 4.32 ms held, 1,225/s 4.32 ms not held"
    assert tried in " ".join(said.err.split())


def test_a_server_that_holds_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial(qps=306.0, queries=9_000, unanswered=0, answered_qps=306.0, p99_ms=7.0, bound_ms=8.0, held=False)
    case = reports.case(served=Served(qps=306.0, highest_qps=None, capacity_qps=2450.0, trials=(trial,)))

    bench.show_report(reports.report(replace(reports.group(case), scenario="server", p99_ms=5.0)))

    assert_whole(capsys.readouterr().out, "queries/s 306 highest queries/s none")


def test_two_networks_of_a_compression(capsys: pytest.CaptureFixture[str]) -> None:
    before = Figures(
        parameters=6_806_528, macs=198_432_000, latency_ms=123.456, validation_error=0.0952, test_error=0.1034
    )
    after = replace(before, latency_ms=12.345, validation_error=0.1234)
    record = Compression(
        source="/runs/a",
        by="routing",
        target={"keep": 0.5},
        precision="int8",
        rounds=(),
        before=before,
        after=after,
        latency_ratio=Ratio(value=0.615, low=0.6, high=0.63),
        change=CHANGE,
    )
    compress.show_compression(record)
    said = capsys.readouterr().out
    assert_whole(said, "6,806,528 198,432,000 123.456 12.345 ms 9.52 12.34 10.34 % parameters validation")
    assert "(0.60 to 0.63)" in said
    assert "(-0.38 to +1.14)" in said


def test_findings_of_lint(capsys: pytest.CaptureFixture[str]) -> None:
    finding = LintFinding(
        node="/routing/DequantizeLinear_12",
        operator="DequantizeLinear",
        severity="refused",
        reason="its zero point is not 0, and TensorRT quantizes symmetrically",
        advice="quantize it again without zero points",
    )
    found = Lint(file="model.onnx", model="m.onnx", parser="", no_parser="none here", targets=(), findings=(finding,))
    lint._print(found)
    said = capsys.readouterr().out
    assert_whole(said, finding.node, finding.reason, finding.advice, "refused DequantizeLinear:")


def test_table_2_and_the_tables_of_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [
        TableRow(
            name=f"{each.name}/{method.name}",
            data=each.title,
            method=method.label,
            status="measured",
            published_percent=10.34,
            seeds=(0, 1),
            errors=(0.1, 0.12),
            error=MeanSpread(0.1234, 0.0123, 2),
            standard_error=0.003,
            epochs=12,
            recipe_epochs=40,
        )
        for each in PAPER_SETS
        for method in METHODS
    ]
    reproduce.print_table2(Table2(width="small", changes=(), rows=tuple(rows)))
    assert_whole(capsys.readouterr().out, "Fashion-MNIST MultiMNIST L2/FC 10.34 12.34 ± 1.23 12 of 40")

    own = replace(rows[0], data="a" * 40)
    reproduce.print_table2(Table2(width="small", changes=(), rows=(own,)))
    assert_whole(capsys.readouterr().out, "a" * 17, "10.34 12 of 40")

    header = ["routing", "s/100 steps", "images/s", "x dynamic", "(quartiles)", "peak MB"]
    cells = ["backprop", "123.4", "12,345", "0.345", "(0.345-0.367)", "12,345"]
    monkeypatch.setattr("capsedge.reproduce.figures.rows", lambda _content: (header, [cells]))
    reproduce.show_figure(None, tmp_path / "fig4.png", as_json=False)  # type: ignore[arg-type]
    assert_whole(capsys.readouterr().out, *header, *cells)
