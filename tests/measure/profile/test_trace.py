"""The trace: valid events with real times, runs that hold their stages, stages that hold their nodes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx
import pytest

from capsedge.errors import WrongUse
from capsedge.measure.profile.measure import RecordedProfile, profile_model
from capsedge.measure.profile.trace import check_trace, trace_of
from capsedge.runtime.settings import Settings
from tests.measure.profile.recorded import loop


@pytest.fixture(scope="module")
def events(measured: RecordedProfile) -> list[dict[str, Any]]:
    content = json.loads(trace_of(measured.profile, measured.runs, most=4))
    assert content["displayTimeUnit"] == "ms"
    found: list[dict[str, Any]] = content["traceEvents"]
    return found


def within(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    return bool(outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"])


def test_events_are_sorted_and_last_no_negative_time(events: list[dict[str, Any]]) -> None:
    complete = [event for event in events if event["ph"] == "X"]

    assert {event["ph"] for event in events} == {"X", "M"}
    assert [event["ts"] for event in complete] == sorted(event["ts"] for event in complete)
    assert all(event["dur"] >= 0 for event in complete)
    assert all({"pid", "tid", "name", "cat", "args"} <= event.keys() for event in complete)


def test_every_node_lies_in_its_stage_and_every_stage_in_its_run(
    events: list[dict[str, Any]], measured: RecordedProfile
) -> None:
    levels = [[event for event in events if event.get("cat") == name] for name in ("run", "stage", "node")]
    runs, stages, nodes = levels

    assert len(runs) == 4
    assert len(nodes) == 4 * len(measured.profile.layers)
    for outer, inner in ((runs, stages), (stages, nodes)):
        for event in inner:
            assert any(within(event, parent) for parent in outer)
    assert all(first["ts"] + first["dur"] <= second["ts"] for first, second in pairwise(nodes))


def test_times_are_those_that_were_recorded(events: list[dict[str, Any]], measured: RecordedProfile) -> None:
    recorded = {(node.name, node.start_us, node.duration_us) for run in measured.runs for node in run.nodes}

    written = {(event["name"], event["ts"], event["dur"]) for event in events if event.get("cat") == "node"}

    assert written <= recorded
    assert {event["name"] for event in events if event.get("cat") == "stage"} == {
        stage.stage for stage in measured.profile.stages
    }


def test_what_ran_within_a_node_lies_within_its_time(tmp_path: Path) -> None:
    onnx.save(loop(2), tmp_path / "loop.onnx")
    found = profile_model(tmp_path / "loop.onnx", Settings(threads=1), iterations=50, roofline=False)
    complete = [event for event in json.loads(trace_of(found.profile, found.runs))["traceEvents"] if "cat" in event]
    loops = [event for event in complete if event["args"].get("op") == "Loop"]
    inner = [event for event in complete if event["cat"] == "node within"]

    assert (len(loops), len(inner)) == (10, 10 * 2 * 2)
    assert all(sum(within(event, each) for each in loops) == 1 for event in inner)
    assert [event["ts"] for event in complete] == sorted(event["ts"] for event in complete)


def test_a_name_that_says_another_format_is_wrong_use() -> None:
    check_trace(Path("trace.JSON"))
    with pytest.raises(WrongUse, match=r"--trace: expected a name that ends in .json, got 'trace.txt'"):
        check_trace(Path("trace.txt"))
