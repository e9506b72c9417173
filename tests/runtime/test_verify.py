"""The golden sample and the hashes: what `verify` lets through and what it stops."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from capsedge.contract import METADATA_KEY, Contract, contract_of
from capsedge.errors import ModelError
from capsedge.golden import pack_images
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.session import SessionWarning
from capsedge.runtime.verify import Verification, verify
from tests.runtime.capsule_model import TOLERANCE, graph, images, save, save_with


def verified(file: Path) -> Verification:
    with open_session(file) as session:
        return verify(session)


def with_golden(contract: Contract, folder: Path, **changes: object) -> Verification:
    """Verify the small network with a changed golden sample, in place of a fault of the hardware or the runtime."""
    golden = msgspec.structs.replace(contract.golden, **changes)
    save_with(graph(), msgspec.structs.replace(contract, golden=golden), folder / "m.onnx")
    return verified(folder / "m.onnx")


@pytest.fixture
def contract(good: Path) -> Contract:
    contract = contract_of(read_onnx_file(good), source=str(good))
    assert contract is not None
    return contract


def test_a_model_as_it_was_exported_is_accepted(good: Path) -> None:
    found = verified(good)

    assert found.ok
    assert found.problems == found.altered_weights == ()
    assert (found.images, found.same_class, found.weights) == (5, 5, 12)
    assert found.provider == "CPUExecutionProvider"
    assert found.largest_difference is not None
    assert found.largest_difference < found.tolerance == TOLERANCE


def test_the_warnings_of_the_session_are_records(good: Path) -> None:
    warning = SessionWarning("exact-int8", "exact kernels were asked for")
    with open_session(good) as session:
        session.warnings = (warning,)
        found = verify(session)
    assert msgspec.to_builtins(found)["warnings"] == ({"code": warning.code, "text": warning.text},)


def test_a_model_of_a_fixed_batch_is_accepted(models: Path) -> None:
    assert verified(models / "batch-of-2.onnx").ok


def test_a_contract_that_was_edited_is_noticed_whatever_field(good: Path, tmp_path: Path) -> None:
    model = onnx.load(good)
    entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    entry.value = entry.value.replace('"pad"', '"crop"')
    onnx.save(model, tmp_path / "edited.onnx")
    assert verified(tmp_path / "edited.onnx").problems == ("its contract was altered",)


def test_an_altered_weight_is_named(models: Path) -> None:
    found = verified(models / "altered-weight.onnx")

    assert found.altered_weights == ("classes.weight",)
    assert found.problems[0] == "its weights classes.weight were altered"


def test_an_altered_weight_that_no_golden_image_notices_is_still_found(
    good: Path, contract: Contract, tmp_path: Path
) -> None:
    model = onnx.load(good)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "classes.bias")
    values = numpy_helper.to_array(bias) * np.float32(1 + 1e-6)
    bias.CopyFrom(numpy_helper.from_array(values, "classes.bias"))
    save_with(model, contract, tmp_path / "m.onnx")

    found = verified(tmp_path / "m.onnx")

    assert found.problems == ("its weights classes.bias were altered",)


def test_an_altered_graph_with_true_weights_is_found(models: Path) -> None:
    found = verified(models / "altered-graph.onnx")

    assert found.altered_weights == ()
    assert found.problems[0] == "its graph was altered, its weights were not"
    assert any("a length is off by" in problem for problem in found.problems)


def test_a_machine_that_computes_other_lengths_is_found(contract: Contract, tmp_path: Path) -> None:
    lengths = [list(row) for row in contract.golden.lengths]
    lengths[3][0] += 3e-5
    found = with_golden(contract, tmp_path, lengths=tuple(map(tuple, lengths)))

    assert found.problems == ("a length is off by 3e-05, 1e-05 is accepted",)
    assert found.same_class == 5


def test_another_class_within_the_tolerance_is_found(contract: Contract, tmp_path: Path) -> None:
    lengths = np.array(contract.golden.lengths)
    lengths[2, lengths[2].argmin()] = lengths[2].max() + 0.001
    found = with_golden(contract, tmp_path, lengths=tuple(map(tuple, lengths.tolist())), tolerance=1.0)
    assert found.problems == ("another answer for 1 of 5 images",)


@pytest.mark.parametrize(("labels", "problems"), [(1, ()), (2, ("another answer for 1 of 5 images",))])
def test_another_second_class_is_found_where_images_show_two(
    labels: int, problems: tuple[str, ...], tmp_path: Path
) -> None:
    contract = save(graph(), tmp_path / "m.onnx", labels=labels)
    lengths = np.array(contract.golden.lengths)
    first, second, third = np.argsort(-lengths[3])[:3]
    lengths[3, third] = (lengths[3, first] + lengths[3, second]) / 2
    found = with_golden(contract, tmp_path, lengths=tuple(map(tuple, lengths.tolist())), tolerance=1.0)
    assert (found.problems, found.same_class) == (problems, 5 - len(problems))


def test_two_classes_in_the_other_order_are_the_same_answer(tmp_path: Path) -> None:
    contract = save(graph(), tmp_path / "m.onnx", labels=2)
    lengths = np.array(contract.golden.lengths)
    first, second = np.argsort(-lengths[3])[:2]
    lengths[3, [first, second]] = lengths[3, [second, first]]
    assert with_golden(contract, tmp_path, lengths=tuple(map(tuple, lengths.tolist())), tolerance=1.0).ok


def test_a_length_that_is_not_a_number_is_found(contract: Contract, tmp_path: Path) -> None:
    model = graph()
    one = next(tensor for tensor in model.graph.initializer if tensor.name == "one")
    one.CopyFrom(numpy_helper.from_array(np.array(np.nan, np.float32), "one"))
    save_with(model, contract, tmp_path / "m.onnx")

    found = verified(tmp_path / "m.onnx")

    assert found.problems == ("its weights one were altered", "a length is not a number")
    assert (found.largest_difference, found.same_class) == (None, 0)


def test_a_runtime_that_fails_in_larger_batches_only_is_found(good: Path) -> None:
    class Faulty(OrtSession):
        def run_raw(self, feeds: Arrays) -> Arrays:
            outputs = super().run_raw(feeds)
            return outputs if len(feeds["image"]) == 1 else outputs | {"lengths": outputs["lengths"] + 0.25}

    with Faulty(good) as session:
        assert verify(session).problems == ("a length is off by 0.25, 1e-05 is accepted",)


@pytest.mark.parametrize(
    "damage",
    [
        {"lengths": ()},
        {"lengths": ((0.1,) * 10,) * 4},
        {"lengths": ((0.1,) * 9,) * 5},
        {"labels": (), "lengths": ()},
        {"images": pack_images(images(4))},
        {"images": "not base64"},
    ],
)
def test_a_damaged_golden_sample_is_told(contract: Contract, tmp_path: Path, damage: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"the golden sample .*: export the model again"):
        with_golden(contract, tmp_path, **damage)
