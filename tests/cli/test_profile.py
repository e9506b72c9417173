"""`capsedge profile` as a person runs it, in this process."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from capsedge.cli import app
from capsedge.cli.screens.profile import unexplained
from capsedge.measure.profile import roofline
from capsedge.measure.profile.report import Profile, Whole
from tests.in_process import Capsedge, in_this_process


@pytest.fixture
def capsedge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """The command, with roofs of next to nothing: what they measure is tested elsewhere."""
    monkeypatch.setattr(app, "COMMANDS", ("inspect", "profile"))
    monkeypatch.setattr(roofline, "SECONDS", 0.0)
    monkeypatch.setattr(roofline, "SIDES", (64,))
    monkeypatch.setattr(roofline, "_LARGEST_COPY", 1 << 20)
    return in_this_process(capsys, monkeypatch)


def test_the_stages_and_what_they_do_not_explain_are_a_table(capsedge: Capsedge, good: Path) -> None:
    done = capsedge("profile", str(good), "--iterations", "50", "--threads", "1")

    assert done.returncode == 0
    first = done.stdout.splitlines()[0]
    assert first == f"{good}  fp32, CPU, batch 1, 1 thread, 50 iterations"
    for word in ("stem", "primary capsules", "class capsules", "all layers", "between the layers", "of roof"):
        assert word in done.stdout
    assert "ReduceL2" not in done.stdout  # --layers shows it
    assert "roofs of this machine, 1 thread: fp32" in done.stderr
    assert done.stderr.splitlines()[-1] == f"next: capsedge bench {good}"


def test_every_layer_is_shown_on_demand(capsedge: Capsedge, good: Path) -> None:
    done = capsedge("profile", str(good), "--iterations", "50", "--threads", "1", "--layers", "--no-roofline")

    assert done.returncode == 0
    assert "ReduceL2_7 " in done.stdout
    assert "of roof" not in done.stdout
    assert "roofs of this machine" not in done.stderr


def test_json_trace_and_plot_tell_of_the_same_layers(capsedge: Capsedge, good: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    trace, plot = tmp_path / "trace.json", tmp_path / "plot.svg"
    asked = ("--iterations", "50", "--batch", "3", "--trace", str(trace), "--plot", str(plot))
    done = capsedge("profile", str(good), *asked, "--json")

    report = json.loads(done.stdout)
    assert (report["batch"], report["iterations"], report["kind"]) == (3, 50, "capsedge profile")
    assert report["roofs"]["gflops"]["fp32"] > 0
    names = {layer["name"] for layer in report["layers"]}
    events = json.loads(trace.read_bytes())["traceEvents"]
    assert {event["name"] for event in events if event.get("cat") == "node"} == names
    assert "class capsules" in plot.read_text()
    assert f"wrote {trace}" in done.stderr
    assert "next:" not in done.stderr


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("{good}", "--iterations", "5"), 2, "expected 50 iterations or more, got 5: use --iterations 50"),
        (
            ("{good}", "--plot", "plot.txt"),
            2,
            "--plot: expected a name that ends in .svg, .png, .pdf, got 'plot.txt'",
        ),
        (("{good}", "--trace", "trace.txt"), 2, "--trace: expected a name that ends in .json, got 'trace.txt'"),
        (("{good}", "--trace", "{folder}/f.json"), 2, "expected a file, got the folder '{folder}/f.json'"),
        (("{good}", "--trace", "{good}/t.json"), 2, "cannot write '{good}/t.json': "),
        (("{folder}/model.engine", "--trace", "t.json"), 2, "--trace needs ONNX Runtime's profiler: give the .onnx"),
        (("{good}", "--provider", "cuda"), 1, "'cuda' was asked for"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(
    capsedge: Capsedge, good: Path, tmp_path: Path, asked: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "f.json").mkdir()
    (tmp_path / "model.engine").write_bytes(b"an engine")
    done = capsedge("profile", *(word.format(good=good, folder=tmp_path) for word in asked))

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"capsedge: {said.format(good=good, folder=tmp_path)}")
    assert done.stderr.count("\n") == 1


def test_no_row_is_negative() -> None:
    times = Whole(layers_us=20.0, between_us=-5.0, plain_us=15.0, profiled_us=14.0, profiler_us=-1.0)

    rows = unexplained(cast(Profile, SimpleNamespace(whole=times)))

    assert rows == [("all layers", 20.0), ("an iteration", 15.0), ("a profiled iteration", 14.0)]
