"""`capsedge doctor` as a person runs it."""

import json

from tests.cli.conftest import Edge


def test_the_table_shows_what_runs_here(edge: Edge) -> None:
    done = edge("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "works" in rows["CPU"]
    assert "gives the golden lengths of 5 images" in rows["CPU"]
    assert "PyTorch" in rows
    assert {"torch", "onnx"}.isdisjoint(done.args)


def test_json_carries_every_finding(edge: Edge) -> None:
    done = edge("doctor", "--json")

    record = json.loads(done.stdout)
    states = {finding["subject"]: finding["state"] for finding in record["findings"]}
    assert states["CPU"] == "works"
    assert states["ONNX Runtime"] == "installed"
    assert set(states.values()) <= {"works", "installed", "missing"}
    assert record["machine"]["cores"] >= 1
