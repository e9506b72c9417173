"""The heads as files: what a CNN's file computes, and the table of errors and latencies."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from benchmarks import deployed as benchmark
from benchmarks.ablation import __main__ as ablation
from benchmarks.ablation.heads import heads
from benchmarks.ablation.linear import LinearRun
from capsedge.export.onnx import to_onnx
from capsedge.models import CapsNet, build_network
from tests.benchmarks.ablation.conftest import DATA, TINY

SHAPE = (28, 28, 1)
CASES = {case.name: case for case in heads("edge-nano", [], data="fashion-mnist")}


def network_of(head: str) -> CapsNet:
    """A linear network with statistics that change what its normalizations compute."""
    torch.manual_seed(0)
    case = CASES[head]
    run = case.run(Path("unused"))
    assert isinstance(run, LinearRun)
    network = run.with_head(build_network(case.recipe, classes=10, shape=SHAPE)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


@pytest.mark.parametrize("head", ["linear", "linear-direct"])
def test_a_cnns_file_has_the_logits_of_the_network_without_normalization_and_transposition(head: str) -> None:
    network = network_of(head)
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).lengths

    graph = to_onnx(benchmark.deployed(network), SHAPE)

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = torch.from_numpy(session.run(["lengths"], {"image": images})[0])
    torch.testing.assert_close(torch.log_softmax(logits, 1), expected, atol=1e-5, rtol=1e-4)
    operators = [node.op_type for node in graph.graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Gemm") + operators.count("MatMul") == (1 if head == "linear-direct" else 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of two heads."""
    folder = tmp_path_factory.mktemp("heads")
    settings = [word for each in TINY for word in ("--set", each)]
    arguments = ["heads", "--data", DATA, "--epochs", "1", "--seeds", "0,1", "--only", "linear", *settings]
    assert ablation.main([*arguments, "--output", str(folder), "--json", str(folder / "heads.json")]) == 0
    return folder


def test_every_head_is_measured_in_fp32_and_int8_over_its_seeds(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(runs / f"{head}-seed{seed}") for head in ("capsules", "linear") for seed in (0, 1)]

    benchmark.main([*folders, "--rounds", "2", "--output", str(tmp_path / "deployed.json")])

    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in printed[2:6]] == [
        ["| capsules", "fp32"],
        ["| capsules", "int8"],
        ["| linear", "fp32"],
        ["| linear", "int8"],
    ]
    report = msgspec.json.decode((tmp_path / "deployed.json").read_bytes(), type=benchmark.DeployedReport)
    records = [LinearRun(runs / f"linear-seed{seed}").read_record() for seed in (0, 1)]
    tested = [score.error for record in records for score in record.scores if score.split == "test"]
    assert report.rows[2].test_error.mean == pytest.approx(np.mean(tested), abs=1e-3)  # rounding may turn an answer
    assert [row.ratio.median for row in report.rows[:2]] == [1, 1]
    assert all(row.seeds == (0, 1) and row.p50_ms > 0 for row in report.rows)


def test_int8_files_have_quantized_products(runs: Path) -> None:
    run = LinearRun(runs / "linear-seed0")

    graphs = benchmark.graphs_of(run.load_best(), run.load_dataset())

    types = {tensor.data_type for tensor in graphs["int8"].graph.initializer}
    assert onnx.TensorProto.INT8 in types
    assert onnx.TensorProto.INT8 not in {tensor.data_type for tensor in graphs["fp32"].graph.initializer}


def test_a_folder_with_another_name_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"expected folders of .*, got 'runs/other'"):
        benchmark.main(["runs/other"])
