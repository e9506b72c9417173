"""`capsedge doctor` as a person runs it."""

import json

import pytest

from capsedge.measure import doctor
from capsedge.measure.doctor import Diagnosis, Finding
from capsedge.measure.machine import this_machine
from tests.cli.conftest import Edge
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)

FINDINGS = (
    Finding("CPU", "works", "runs a node; fashion-mnist (built in) gives the golden lengths of 20 images, to 7e-07"),
    Finding(
        "TensorRT-RTX in ONNX Runtime", "missing", "not in the installed ONNX Runtime", "pip install 'some[extra]'"
    ),
    Finding("NVIDIA GPU", "missing", "none here", code="no-gpu"),
)


def test_the_table_shows_what_runs_here_without_torch(edge: Edge) -> None:
    done = edge("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "works" in rows["CPU"]
    assert "gives the golden lengths of 5 images" in rows["CPU"]
    assert "PyTorch" in rows
    assert {"torch", "onnx"}.isdisjoint(done.args)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the doctor finds, which a test may change."""
    findings = list(FINDINGS)
    monkeypatch.setattr(doctor, "diagnose", lambda: Diagnosis(this_machine(), tuple(findings)))
    return findings


def test_json_carries_every_finding(capsedge: Capsedge, found: list[Finding]) -> None:
    record = json.loads(capsedge("doctor", "--json").stdout)

    assert [finding["subject"] for finding in record["findings"]] == [finding.subject for finding in found]
    assert record["findings"][1]["advice"] == "pip install 'some[extra]'"
    assert [finding["code"] for finding in record["findings"]] == [finding.code for finding in found]
    assert record["machine"]["cores"] >= 1
    assert record["machine"]["versions"]["numpy"]


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_word_is_shown_at_any_width(capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    from capsedge.cli import console

    monkeypatch.setattr(console.out, "_width", width)
    shown = capsedge("doctor").stdout

    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for finding in FINDINGS:
        for text in (finding.subject, finding.detail, finding.advice):
            assert set(text.split()) <= set(words)


def test_what_is_broken_ends_with_code_1_after_the_table(capsedge: Capsedge, found: list[Finding]) -> None:
    found.append(Finding("CUDA", "broken", "not found: libcudnn.so.9", "pip install 'onnxruntime-gpu[cuda,cudnn]'"))
    done = capsedge("doctor")

    assert done.returncode == 1
    assert "to do: pip install 'onnxruntime-gpu[cuda,cudnn]'" in done.stdout
    assert "broken: CUDA" in done.stderr


def test_a_path_that_is_longer_than_its_cell_is_folded_and_not_cut(
    capsedge: Capsedge, found: list[Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsedge.cli import console

    path = "/usr/local/lib/" + "site-packages/" * 8 + "fashion-mnist.onnx"
    found[:] = [Finding("CPU", "broken", path)]
    monkeypatch.setattr(console.out, "_width", 60)
    shown = capsedge("doctor").stdout

    assert "…" not in shown
    assert path in "".join(shown.partition("broken")[2].split())
