"""A profile of a real file: its sums, its names and its refusals."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench.report import BenchWarning
from capsedge.measure.machine import Conditions, this_machine
from capsedge.measure.profile import measure
from capsedge.measure.profile.measure import RecordedProfile, profile_model
from capsedge.measure.profile.report import Profile
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from capsedge.runtime.settings import Settings
from tests.measure.profile.recorded import loop

ONE = Settings(threads=1)


def test_shares_add_up_and_stages_hold_every_layer(measured: RecordedProfile) -> None:
    profile = measured.profile

    assert sum(layer.share for layer in profile.layers) == pytest.approx(1.0)
    assert sum(stage.share for stage in profile.stages) == pytest.approx(1.0)
    assert sum(stage.layers for stage in profile.stages) == len(profile.layers)
    assert profile.stages[0].stage == "preprocess"
    assert {"stem", "primary capsules", "squash", "class capsules", "head"} <= {
        stage.stage for stage in profile.stages
    }


def test_what_the_layers_do_not_explain_is_told(measured: RecordedProfile) -> None:
    whole = measured.profile.whole
    assert whole.profiled_us is not None
    assert whole.profiler_us is not None

    assert whole.layers_us == pytest.approx(sum(layer.time_us for layer in measured.profile.layers))
    assert whole.layers_us + whole.between_us == pytest.approx(whole.plain_us)
    assert whole.plain_us + whole.profiler_us == pytest.approx(whole.profiled_us)
    recorded = sum(layer.recorded_us for layer in measured.profile.layers)
    assert recorded < whole.profiled_us
    assert all(
        layer.time_us == pytest.approx(max(layer.recorded_us - whole.probe_us, 0))
        for layer in measured.profile.layers
    )


def test_the_timed_runs_are_kept_and_the_warm_up_is_not(measured: RecordedProfile) -> None:
    assert len(measured.runs) == measured.profile.iterations == 50
    assert measured.profile.warmup_iterations >= 10 + 5  # ten before, and one at least before each turn of ten
    assert {run.nodes[0].inputs[0].shape for run in measured.runs} == {(2, 28, 28, 1)}


def test_it_is_json_that_can_be_read_back(measured: RecordedProfile) -> None:
    read = msgspec.json.decode(msgspec.json.encode(measured.profile), type=Profile)

    assert read == measured.profile
    assert read.kind == "capsedge profile"


def test_a_busy_machine_is_warned_of_by_what_others_do(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float | str, int]] = []

    def about_load(load: float | str, cores: int) -> list[BenchWarning]:
        """In place of the one that takes our own work out of the average, to be asked before there is any."""
        assert opened == []
        asked.append((load, cores))
        return [BenchWarning(code="busy", text="busy here")]

    opened: list[object] = []

    def opening(*given: Any) -> Session:
        opened.append(given)
        return open_session(*given)

    monkeypatch.setattr(measure, "conditions", lambda: Conditions(load_average=10_000.0))
    monkeypatch.setattr(measure, "about_load", about_load)
    monkeypatch.setattr(measure, "open_session", opening)
    warnings = profile_model(good, ONE, iterations=50, roofline=False).profile.warnings

    assert asked == [(10_000.0, this_machine().cores)]
    assert (warnings[0].code, warnings[0].text) == ("busy", "busy here")
    assert len(opened) == 1
    assert len(warnings) > 1


def test_nothing_is_left_behind(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    profile_model(good, ONE, iterations=50, roofline=False)

    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_model_is_grouped_by_operator(models: Path) -> None:
    profile = profile_model(models / "foreign.onnx", ONE, iterations=50, roofline=False).profile

    assert {stage.stage for stage in profile.stages} == {layer.op for layer in profile.layers}
    assert "Where" in {stage.stage for stage in profile.stages}
    assert profile.precision is None
    assert "assumed-size" in {warning.code for warning in profile.warnings}


def test_what_runs_within_a_loop_is_counted_once(tmp_path: Path) -> None:
    onnx.save(loop(3), tmp_path / "loop.onnx")
    profile = profile_model(tmp_path / "loop.onnx", ONE, iterations=50, roofline=False).profile

    assert [layer.op for layer in profile.layers] == ["Loop", "Neg"]
    assert profile.whole.layers_us <= (profile.whole.profiled_us or 0.0)
    assert any(warning.text.startswith("6 nodes ran in subgraphs of Loop") for warning in profile.warnings)


def test_too_few_runs_are_refused(good: Path) -> None:
    with pytest.raises(WrongUse, match="expected 50 iterations or more, got 49"):
        profile_model(good, iterations=49)


def test_a_batch_that_the_model_does_not_take_is_refused(models: Path) -> None:
    with pytest.raises(ModelError, match="expected a batch of 2, got 1"):
        profile_model(models / "batch-of-2.onnx", ONE, iterations=50)
