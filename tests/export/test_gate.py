"""The gate must be able to fail: on files corrupted on the disk, by the command line, and on sessions that lie."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from capsedge.contract import METADATA_KEY, Contract, Fit, Input, contract_of
from capsedge.errors import GateRejected
from capsedge.export import export_run, road
from capsedge.export.gate import TOLERANCES, Reference, Tolerance, judge, reference
from capsedge.models import CapsNet
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.session import Outputs
from capsedge.training import Run
from tests.export.sessions import LengthsOnly

Model = onnx.ModelProto
Images = NDArray[np.uint8]
Lengths = NDArray[np.float32]
Lie = Callable[[Images, Lengths], None]  # changes lengths in place


def capsedge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "capsedge", *arguments], capture_output=True, text=True, check=False)


def weight(model: Model, operator: str) -> onnx.TensorProto:
    names = next(node.input for node in model.graph.node if node.op_type == operator)
    tensor: onnx.TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name in names)
    return tensor


def change(tensor: onnx.TensorProto, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), tensor.name))


def a_wrong_weight(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[values.shape[0] // 2, 3] += 5.0
        return values

    change(weight(model, "Gemm"), edit)


def a_wrong_scale(model: Model) -> None:
    change(weight(model, "Mul"), lambda values: values * np.float32(2.0))


def a_transposed_kernel(model: Model) -> None:
    change(weight(model, "Conv"), lambda values: np.ascontiguousarray(values.swapaxes(2, 3)))


def swapped_class_names(model: Model) -> None:
    entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    contract = msgspec.json.decode(entry.value, type=Contract)
    first, second, *rest = contract.classes
    entry.value = msgspec.json.encode(msgspec.structs.replace(contract, classes=(second, first, *rest))).decode()


def a_nan(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[0] = np.nan
        return values

    change(weight(model, "Gemm"), edit)


def a_class_too_few(model: Model) -> None:
    change(weight(model, "Gemm"), lambda values: values[:, :-4].copy())


CORRUPTIONS: list[tuple[Callable[[Model], None], str]] = [
    (a_wrong_weight, "a length differs by"),
    (a_wrong_scale, "a length differs by"),
    (a_transposed_kernel, "a length differs by"),
    (swapped_class_names, "its contract has classes ('trouser', 't-shirt'"),
    (a_nan, "lengths are NaN or infinite"),
    (a_class_too_few, "model.onnx' failed to run: Non-zero status code returned while running Reshape node"),
]


@pytest.mark.parametrize(("corrupt", "reason"), CORRUPTIONS, ids=lambda value: getattr(value, "__name__", None))
def test_a_corrupted_file_is_rejected_and_set_aside(
    corrupt: Callable[[Model], None], reason: str, exported: Run
) -> None:
    path = exported.path / "model.onnx"
    model = onnx.load_model(str(path))
    corrupt(model)
    path.write_bytes(model.SerializeToString())

    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("capsedge: the gate rejected")
    assert reason in line
    assert not path.exists()
    kept = path.with_name("model.onnx.rejected")
    assert kept.exists()
    report = msgspec.json.decode(kept.with_name("model.onnx.rejected.json").read_bytes())
    assert report["status"] == "rejected"
    assert any(reason in text for text in report["reasons"])


def test_an_uncorrupted_file_written_by_the_same_tools_passes(exported: Run) -> None:
    path = exported.path / "model.onnx"
    before = read_onnx_file(path)
    model = onnx.load_model(str(path))
    path.write_bytes(model.SerializeToString())
    result = capsedge("gate", str(path), "--json")
    assert result.returncode == 0, result.stderr
    contract = msgspec.json.decode(result.stdout, type=Contract)
    assert contract.verdict is not None
    assert contract.verdict.status == "accepted"
    assert read_onnx_file(path).graph_sha256 == before.graph_sha256


def test_a_truncated_file_is_one_line(exported: Run) -> None:
    path = exported.path / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "not a whole ONNX file" in result.stderr


def test_a_file_of_another_run_is_rejected(exported: Run, dynamic: Run) -> None:
    other = export_run(dynamic).path
    result = capsedge("gate", str(other), "--run", str(exported.path))
    assert result.returncode == 1
    assert "the gate rejected" in result.stderr


def test_a_rejected_export_leaves_no_accepted_file_not_even_an_older_one(
    exported: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (exported.path / "model.onnx").exists()
    monkeypatch.setattr(road, "TOLERANCES", {"fp32": Tolerance(length=-1.0, agreement=0.999)})
    with pytest.raises(GateRejected, match=r"kept as '.*model\.onnx\.rejected'"):
        export_run(exported)
    left = {path.name for path in exported.path.iterdir()}
    assert "model.onnx" not in left
    assert {"model.onnx.rejected", "model.onnx.rejected.json"} <= left
    assert not any("candidate" in name for name in left)


def test_the_error_on_the_test_set_is_measured_on_the_file(exported: Run) -> None:
    path = exported.path / "model.onnx"
    contract = contract_of(read_onnx_file(path), source="test")
    assert contract is not None
    trained = {score.split: score.error for score in contract.scores if score.stage == "trained"}
    onnx_scores = {score.split: score.error for score in contract.scores if score.stage == "onnx"}
    assert onnx_scores == pytest.approx(trained, abs=0.002)


def test_gate_needs_the_run_of_the_model(exported: Run, tmp_path: Path) -> None:
    lonely = tmp_path / "elsewhere" / "model.onnx"
    lonely.parent.mkdir()
    lonely.write_bytes((exported.path / "model.onnx").read_bytes())
    result = capsedge("gate", str(lonely))
    assert result.returncode == 1
    assert "is not a run" in result.stderr


class FakeSession(LengthsOnly):
    """A file in name only: it says what the network says, but for a lie."""

    name, file, provider, batch_limits = "fake", Path("fake.onnx"), "fake", None

    def __init__(self, network: CapsNet, contract: Contract, lie: Lie) -> None:
        self.network = network
        self.contract = contract
        self.lie = lie

    def run(self, images: Images) -> Outputs:
        with torch.no_grad():
            capsules = self.network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
        lengths = capsules.lengths.numpy()
        self.lie(images, lengths)
        return Outputs(lengths, capsules.poses.numpy())


def no_lie(images: Images, lengths: Lengths) -> None:
    pass


@pytest.fixture(scope="module")
def network(exported_once: Run) -> CapsNet:
    return exported_once.load_best()


@pytest.fixture(scope="module")
def expected(exported_once: Run, network: CapsNet) -> Reference:
    contract = contract_of(read_onnx_file(exported_once.path / "model.onnx"), source="test")
    assert contract is not None
    return reference(network, contract, exported_once.load_dataset().validation)


def test_a_session_that_says_what_the_network_says_is_accepted(network: CapsNet, expected: Reference) -> None:
    judgement = judge(FakeSession(network, expected.contract, no_lie), expected, TOLERANCES["fp32"])
    verdict = judgement.verdict
    assert (verdict.status, verdict.reasons, verdict.provider, verdict.images) == ("accepted", (), "fake", 400)
    assert verdict.top1_agreement == 1
    assert verdict.largest_length_difference is not None
    assert verdict.largest_length_difference < 1e-5
    assert judgement.error == (expected.lengths.argmax(1) != expected.split.labels).mean()


@pytest.mark.parametrize(
    ("where", "amount"),
    [
        pytest.param(lambda images: images.max((1, 2, 3)) == 0, 1.5e-4, id="black image"),
        pytest.param(lambda images: images.min((1, 2, 3)) == 255, -1.5e-4, id="white image"),
        pytest.param(lambda images: [len(images) == 1] * len(images), 1.5e-4, id="batch of 1"),
        pytest.param(lambda images: [len(images) == 7] * len(images), -1.5e-4, id="batch of 7"),
        pytest.param(lambda images: [len(images) == 250] * len(images), 1.5e-4, id="batch of 250"),
    ],
)
def test_one_length_that_is_wrong_there_only_is_found(
    where: Callable[[Images], Any], amount: float, network: CapsNet, expected: Reference
) -> None:
    def lie(images: Images, lengths: Lengths) -> None:
        lengths[np.flatnonzero(where(images)), 3] += amount

    verdict = judge(FakeSession(network, expected.contract, lie), expected, TOLERANCES["fp32"]).verdict
    assert verdict.status == "rejected"
    assert verdict.reasons == ("a length differs by 0.00015, more than 0.0001",)


def test_one_nan_is_found_in_the_last_class_of_the_last_image(network: CapsNet, expected: Reference) -> None:
    def lie(images: Images, lengths: Lengths) -> None:
        lengths[(images == expected.split.images[-1]).all((1, 2, 3)), -1] = np.nan

    verdict = judge(FakeSession(network, expected.contract, lie), expected, TOLERANCES["fp32"]).verdict
    assert verdict.status == "rejected"
    assert verdict.largest_length_difference is None
    assert verdict.reasons[0] == "1 of 4690 lengths are NaN or infinite"  # of 2 + 32 + 35 + 400 images


def test_a_network_that_says_nan_itself_accepts_nothing(network: CapsNet, expected: Reference) -> None:
    broken = dataclasses.replace(expected, blank_lengths=np.full_like(expected.blank_lengths, np.nan))
    verdict = judge(FakeSession(network, expected.contract, no_lie), broken, TOLERANCES["fp32"]).verdict
    assert (verdict.status, verdict.reasons) == ("rejected", ("a length differs by nan, more than 0.0001",))


def test_one_other_first_class_in_400_images_is_one_too_many(network: CapsNet, expected: Reference) -> None:
    least = expected.lengths[-1].argmin()

    def lie(images: Images, lengths: Lengths) -> None:
        lengths[(images == expected.split.images[-1]).all((1, 2, 3)), least] = 1

    verdict = judge(FakeSession(network, expected.contract, lie), expected, TOLERANCES["fp32"]).verdict
    assert verdict.status == "rejected"
    assert verdict.top1_agreement == 399 / 400
    assert [reason.partition(" ")[0] for reason in verdict.reasons] == ["a", "the"]  # its length differs, of course
    assert verdict.reasons[1] == "the answer is the same on 99.75 % of the images, not 99.9 %"


def test_first_classes_that_tie_within_the_tolerance_may_swap(network: CapsNet, expected: Reference) -> None:
    """So lengths within the tolerance never fail by their first class: both may move by it, towards each other."""
    second, first = np.sort(expected.lengths, axis=1)[:, -2:].T
    tolerance = float(np.median(first - second)) / 1.8

    def lie(images: Images, lengths: Lengths) -> None:
        order = lengths.argsort(axis=1)
        np.put_along_axis(lengths, order[:, -1:], np.take_along_axis(lengths, order[:, -1:], 1) - 0.99 * tolerance, 1)
        np.put_along_axis(
            lengths, order[:, -2:-1], np.take_along_axis(lengths, order[:, -2:-1], 1) + 0.99 * tolerance, 1
        )

    session = FakeSession(network, expected.contract, lie)
    others = session.run(expected.split.images).lengths.argmax(1) != expected.lengths.argmax(1)
    assert others.mean() >= 0.5  # margins up to 1.98 tolerances, of which the median is 1.8
    verdict = judge(session, expected, Tolerance(length=tolerance, agreement=0.999)).verdict
    assert (verdict.status, verdict.reasons, verdict.top1_agreement) == ("accepted", (), 1)


@pytest.mark.parametrize(
    ("promise", "other"),
    [("classes", tuple("abcdefghij")), ("labels", 2), ("input", Input(28, 28, 3)), ("fit", Fit(frame="crop"))],
)
def test_a_contract_that_promises_something_else_is_found(
    promise: str, other: object, network: CapsNet, expected: Reference
) -> None:
    contract = msgspec.structs.replace(expected.contract, **{promise: other})
    verdict = judge(FakeSession(network, contract, no_lie), expected, TOLERANCES["fp32"]).verdict
    assert verdict.status == "rejected"
    (reason,) = verdict.reasons
    assert f"{promise} {other}" in reason
