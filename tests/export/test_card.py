"""`capsedge export --card`: a card that model hubs read, and the weights of the exported network."""

import dataclasses
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import load_file

from capsedge.cli import repository
from capsedge.contract import Contract, contract_of
from capsedge.export import Exported, RunExport
from capsedge.export.card.header import FileError, header
from capsedge.export.card.make import write_card
from capsedge.export.collapse import deployable
from capsedge.export.gate import tolerance
from capsedge.models import build_network
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.training import Run
from tests.in_process import Capsedge

CARD = "model.card.md"
FILES = {"fp32": "model.onnx", "int8": "model.int8.onnx"}


@pytest.fixture(scope="module")
def made(exported_once: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with two accepted files and their card."""
    run = Run(tmp_path_factory.mktemp("card") / "tiny")
    shutil.copytree(exported_once.path, run.path)
    files = [Exported(run.path / FILES[precision], contract) for precision, contract in contracts(run).items()]
    write_card(RunExport(run), files, run.path / CARD, license="apache-2.0")
    return run


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    """A copy of it, to be changed at will."""
    shutil.copytree(made.path, tmp_path / "tiny")
    return Run(tmp_path / "tiny")


def export(run: Run, *more: str) -> list[str]:
    return ["export", str(run.path), "--card", *more]


def text_of(run: Run) -> str:
    return (run.path / CARD).read_text(encoding="utf-8")


def contracts(run: Run) -> dict[str, Contract]:
    found = {}
    for precision, name in FILES.items():
        contract = contract_of(read_onnx_file(run.path / name), source=name)
        assert contract is not None
        found[precision] = contract
    return found


def score(contract: Contract, stage: str, split: str) -> tuple[float, int]:
    return next((each.error, each.images) for each in contract.scores if (each.stage, each.split) == (stage, split))


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]


def test_a_hub_reads_the_licence_the_data_and_the_scores_from_the_head(made: Run) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub, of the extra dev, is not installed")

    card = hub.ModelCard.load(made.path / CARD)

    data: Any = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "onnx", "image-classification")
    assert (data.datasets, data.metrics) == (None, ["accuracy"])  # the subset is not the hub's data set
    assert data.model_name == "tiny"
    assert card.text.lstrip().startswith("# tiny\n")
    for result, (precision, contract) in zip(data.eval_results, contracts(made).items(), strict=True):
        assert isinstance(result, hub.EvalResult)
        assert (result.task_type, result.dataset_split) == ("image-classification", "test")
        assert (result.metric_type, result.metric_name) == ("accuracy", f"Accuracy, {FILES[precision]}")
        assert result.metric_value == pytest.approx(1 - score(contract, precision, "test")[0], abs=1e-6)


def test_names_from_outside_stay_names_in_the_head() -> None:
    name, title = 'no: "yes"\n- #1 | ü😀', "- {norway}: NO\t1e5"

    text = header(name, source="/own", title=title, license=None, errors=[FileError("a: b.onnx", 0.25)])

    read = yaml.safe_load(text.strip("-"))
    assert read["model-index"][0]["name"] == name.replace("\n", "\\n")
    assert read["model-index"][0]["results"][0]["dataset"] == {
        "name": title.replace("\t", "\\t"),
        "split": "test",
        "type": "norway_no_1e5",
    }
    metric = read["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "accuracy", "name": "Accuracy, a: b.onnx", "value": 0.75}
    assert "license" not in read
    assert "datasets" not in read  # a hub has no such data set


def test_each_file_has_its_errors_with_their_95_percent_intervals(made: Run) -> None:
    found = contracts(made)
    expected = [("trained network, in torch", "trained", found["fp32"])]
    expected += [(f"`{FILES[precision]}`", precision, contract) for precision, contract in found.items()]

    for row, (name, stage, contract) in zip(rows(text_of(made), "Error"), expected, strict=True):
        assert row[0] == name
        for cell, split in zip(row[1:], ("validation", "test"), strict=True):
            error, images = score(contract, stage, split)
            share, *interval = (float(each) / 100 for each in re.findall(r"\d+\.\d+", cell))
            assert share == pytest.approx(error, abs=1e-4)
            for end in interval:  # where the normal test on 5 % just does not refuse it (Wilson's definition)
                assert abs(error - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / images), abs=2e-4)


def test_the_gates_verdict_and_the_limits_are_told(made: Run) -> None:
    text, record = text_of(made), made.read_record()

    for row, (precision, contract) in zip(rows(text, "Precision and gate"), contracts(made).items(), strict=True):
        verdict = contract.verdict
        assert verdict is not None
        assert verdict.top1_agreement is not None
        assert row[:3] == [
            f"`{FILES[precision]}`",
            f"{precision} in 3 of 3 layers (100.0 % of the FLOPs)",
            "accepted (CPUExecutionProvider)",
        ]
        assert row[3:5] == [f"{verdict.largest_length_difference:.1e}", f"{100 * verdict.top1_agreement:.2f} %"]
    calibration = contracts(made)["int8"].calibration
    assert calibration is not None
    assert f"`model.int8.onnx`: calibrated by {calibration.text}." in text
    for said in (*(each.text for each in record.warnings), *(each.text for each in record.remarks)):
        assert f"- From the training: {said}." in text
    assert "images of Fashion-MNIST subset alone" in text
    assert record.data_sha256 in text
    assert str(made.path) not in text


def test_a_limit_that_was_chosen_for_the_export_is_told_beside_the_usual_one(run: Run) -> None:
    contract = contracts(run)["fp32"]
    assert contract.verdict is not None
    assert "judged with a limit" not in text_of(run)
    limits = contract.verdict.limits | {"error_change": 0.03}
    relaxed = msgspec.structs.replace(contract, verdict=msgspec.structs.replace(contract.verdict, limits=limits))

    write_card(RunExport(run), [Exported(run.path / FILES["fp32"], relaxed)], run.path / CARD)

    assert (
        "`model.onnx`: judged with a limit of 3 points for the increase of the error, chosen for this export; that "
        "of fp32 is 0.5." in text_of(run)
    )


def test_the_weights_are_those_of_the_file_in_fp32(made: Run, images: NDArray[np.uint8]) -> None:
    record = made.read_record()
    module = deployable(build_network(made.read_recipe(), classes=len(record.classes), shape=record.shape))
    weights = load_file(made.path / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float32}

    module.load_state_dict(weights)

    with torch.inference_mode():
        lengths = module(torch.from_numpy(images))[0].numpy()
    session = onnxruntime.InferenceSession(made.path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(lengths, session.run(["lengths"], {"image": images})[0], atol=1e-5)


def test_the_cards_program_runs_with_onnx_runtime_alone(made: Run) -> None:
    program = text_of(made).partition("```python\n")[2].partition("```")[0]

    done = subprocess.run([sys.executable, "-c", program], cwd=made.path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in made.read_record().classes
    assert "capsedge." not in program.replace("capsedge.contract", "")


def test_no_licence_is_guessed_and_the_same_export_gives_the_same_card(run: Run, capsedge: Capsedge) -> None:
    done = capsedge(*export(run))

    assert done.returncode == 0, done.stderr
    assert "it states no licence: --license apache-2.0, or another identifier, writes yours" in done.stderr
    assert "\nlicense" not in text_of(run)
    assert "## Licence\n\nUnspecified: " in text_of(run)
    first = text_of(run), (run.path / "model.safetensors").read_bytes()
    assert capsedge(*export(run)).returncode == 0
    assert (text_of(run), (run.path / "model.safetensors").read_bytes()) == first


def test_a_latency_is_told_only_from_a_report_on_these_files(run: Run, capsedge: Capsedge, tmp_path: Path) -> None:
    assert "## Latency\n\nNot measured. `capsedge bench model.onnx model.int8.onnx " in text_of(run)
    report = str(tmp_path / "bench.json")
    quick = ("--threads", "1", "--iterations", "64", "--output", report)
    assert capsedge("bench", str(run.path / "model.onnx"), *quick).returncode == 0

    done = capsedge(*export(run, "--bench", report))

    assert done.returncode == 0, done.stderr
    assert [row[:3] for row in rows(text_of(run), "Latency")] == [["`model.onnx`", "1", "1"]]
    before = text_of(run)
    assert capsedge("bench", "builtin", *quick).returncode == 0
    refused = capsedge(*export(run, "--bench", report))
    assert refused.returncode == 2
    assert "--bench: expected a report of 'model.onnx', as exported now" in refused.stderr
    assert text_of(run) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--license", "mit"], "--license and --bench apply to a model card: add --card"),
        (["--card", "--license", "all rights"], "--license: expected an identifier such as apache-2.0"),
        (["--card", "--bench", "none.json"], "the report 'none.json' cannot be read"),
    ],
)
def test_a_mistake_is_told_before_the_export(
    options: list[str], said: str, capsedge: Capsedge, run: Run, tmp_path: Path
) -> None:
    done = capsedge("export", str(run.path), "-o", str(tmp_path / "new.onnx"), *options)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert not list(tmp_path.glob("new*"))


def test_a_card_does_not_outlive_its_files_silently(
    run: Run, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = capsedge("export", str(run.path))
    assert f"note: '{run.path / CARD}' describes an earlier export: add --card to write it again" in done.stderr
    strict = dataclasses.replace(tolerance.TOLERANCES["fp32"], length=-1.0)
    monkeypatch.setitem(tolerance.TOLERANCES, "fp32", strict)

    rejected = capsedge("export", str(run.path), "--card")

    assert rejected.returncode == 1
    assert not (run.path / CARD).exists()
    assert not (run.path / "model.safetensors").exists()


def test_a_card_replaces_no_file_of_another_origin(run: Run, capsedge: Capsedge) -> None:
    """The weights beside best.onnx would be best.safetensors, which is the run's checkpoint."""
    before = {path: path.read_bytes() for path in run.path.iterdir()}

    done = capsedge(*export(run, "--output", str(run.path / "best.onnx")))

    assert done.returncode == 2
    assert f"'{run.best}' was not written by --card: move it away, or choose another --output" in done.stderr
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_a_repository_that_fails_leaves_the_file_and_its_card(
    run: Run, capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "check_place", lambda *_, **__: None)  # the folder appears after the check
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "notes.txt").write_text("of somebody")

    done = capsedge(*export(run, "--triton", str(tmp_path / "models"), "--json"))

    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert [each["model"] for each in answer["exported"]] == [str(run.path / "model.onnx")]
    assert answer["exported"][0]["triton"] is None
    assert len(answer["failed"]) == 1
    assert (run.path / CARD).is_file()


def test_only_the_whole_test_set_has_the_hubs_name() -> None:
    for source, identifier in (("fashion-mnist", "zalando-datasets/fashion_mnist"), ("fashion-mnist-subset", None)):
        text = header(
            "net", source=source, title="Fashion-MNIST", license=None, errors=[FileError("model.onnx", 0.1)]
        )
        assert yaml.safe_load(text.strip("-\n")).get("datasets") == (None if identifier is None else [identifier])
