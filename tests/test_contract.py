"""The contract: what is written is read, and what is damaged is a ModelError, never a traceback."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from capsedge import contract as records
from capsedge.contract import (
    METADATA_KEY,
    SCHEMA_VERSION,
    Contract,
    EngineManifest,
    FailedTraining,
    Golden,
    Input,
    Int8Pairs,
    Layer,
    Score,
    Verdict,
    contract_of,
    decode,
    encode,
    seal_holds,
    sealed,
)
from capsedge.errors import ModelError
from capsedge.fit import Fit
from capsedge.golden import pack_images, unpack_images
from capsedge.onnx_lite.file import read_onnx_file

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 1), np.uint8)


def a_layer(name: str, kind: str, flops: int) -> Layer:
    return Layer(name=name, op="Conv", type=kind, output="fp32", flops=flops, parameters=9)


def a_contract() -> Contract:
    return Contract(
        name="run-1",
        classes=("T-shirt", "Kräuter", "靴"),
        input=Input(height=5, width=4, channels=1),
        fit=Fit(resize="lanczos", frame="crop"),
        recipe="fashion-mnist-l2",
        routing="l2",
        collapsed=True,
        layers=(a_layer("conv1", "int8", 900), a_layer("class_capsules", "fp32", 100)),
        scores=(Score("trained", "validation", 5000, 0.0912), Score("int8", "test", 10000, 0.1)),
        verdict=Verdict(status="accepted", provider="CPUExecutionProvider", largest_length_difference=1.5e-6),
        golden=Golden(pack_images(IMAGES), (0, 2), ((0.9, 0.1, 0.0), (0.1, 1 / 3, 2e-7)), 1e-3),
        graph_sha256="ab" * 32,
        weights_sha256={"conv1.weight": "cd" * 32},
        versions={"torch": "2.13.0"},
        dataset="Fashion-MNIST",
        data="Fashion-MNIST, 55,000 images",
    )


def a_manifest() -> EngineManifest:
    return EngineManifest(
        engine_sha256="ef" * 32,
        package="tensorrt_rtx",
        package_version="1.7.1.116",
        targets=("8.6", "8.9"),
        batch=(1, 8, 64),
        build_seconds=0.75,
        size_bytes=14_250_000,
        precision={"conv1": "HALF"},
        contract=a_contract(),
    )


def changed(**fields: Any) -> str:
    """The contract's JSON with other fields; None removes a field."""
    values = {**json.loads(encode(a_contract())), **fields}
    return json.dumps({key: value for key, value in values.items() if value is not None})


@pytest.mark.parametrize("record", [a_contract(), a_manifest()], ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record: Any) -> None:
    assert decode(encode(record), type(record), source="m.onnx") == record
    assert decode(encode(record).encode(), type(record), source="m.onnx") == record


def test_a_field_that_this_version_does_not_know_is_no_damage() -> None:
    assert decode(changed(weather="fine"), Contract, source="m.onnx") == a_contract()


def test_a_golden_image_may_show_several_classes() -> None:
    golden = Golden(pack_images(IMAGES), ((0, 2), (1, 2)), ((0.9, 0.1, 0.8), (0.1, 0.6, 0.7)), 1e-3)
    contract = msgspec.structs.replace(a_contract(), labels=2, golden=golden)

    assert decode(encode(contract), Contract, source="m.onnx") == contract
    np.testing.assert_array_equal(unpack_images(golden, (5, 4, 1)), IMAGES)


@pytest.mark.parametrize(("labels", "answers"), [(1, [[1], [0]]), (2, [[1, 2], [0, 1]])])
def test_the_longest_capsules_are_the_answer_and_of_equals_the_first(labels: int, answers: list[list[int]]) -> None:
    contract = msgspec.structs.replace(a_contract(), labels=labels)

    assert contract.answer(np.array([[0.1, 0.9, 0.3], [0.5, 0.5, 0.5]])).tolist() == answers


def test_the_same_contract_always_gives_the_same_text() -> None:
    one = msgspec.structs.replace(a_contract(), versions={"onnx": "1", "torch": "2"})
    two = msgspec.structs.replace(a_contract(), versions={"torch": "2", "onnx": "1"})

    assert encode(one) == encode(two)


@pytest.mark.parametrize(("schema", "remedy"), [(99, "upgrade capsedge"), (1, "export it again")])
def test_another_schema_says_what_to_do(schema: int, remedy: str) -> None:
    said = f"'m.onnx' has a contract of schema {schema}, this capsedge reads {SCHEMA_VERSION}: {remedy}"
    with pytest.raises(ModelError, match=said):
        decode(changed(schema=schema, golden="moved elsewhere"), Contract, source="m.onnx")


@pytest.mark.parametrize(
    ("kinds", "precision"),
    [
        ((("fp32", "fp32"), ("int8", "fp16"), ("int8", "fp16")), "int8+fp16"),
        ((("int8", "fp16"), ("int8", "fp32")), "int8"),
        ((("fp16", "fp16"), ("fp32", "fp32")), "fp16"),
        ((("fp8", "fp16"), ("fp16", "fp16")), "fp8"),
        ((("bf16", "bf16"), ("fp32", "fp32"), ("other", "other")), "bf16"),
    ],
)
def test_the_precision_is_the_narrowest_type_and_int8_tells_of_results_in_fp16(
    kinds: tuple[tuple[str, str], ...], precision: str
) -> None:
    layers = tuple(replace(a_layer(str(place), kind, 1), output=output) for place, (kind, output) in enumerate(kinds))
    contract = replace(a_contract(), layers=layers)
    assert contract.precision == decode(encode(contract), Contract, source="it").precision == precision


def test_shares_of_types_are_in_the_order_of_their_work() -> None:
    layers = (
        a_layer("a", "fp32", 100),
        a_layer("b", "int8", 200),
        a_layer("c", "int8", 300),
        a_layer("b", "fp16", 400),
    )
    contract = replace(a_contract(), layers=layers)
    assert list(contract.shares.items()) == [("int8", (0.5, 0.5)), ("fp16", (0.25, 0.4)), ("fp32", (0.25, 0.1))]
    assert (contract.flops, contract.parameters) == (1000, 27)  # two layers share the weight b


@pytest.mark.parametrize(
    ("largest", "fit"), [(0, True), (32766, True), (32767, True), (32768, False), (65535, False)]
)
def test_a_pair_fits_where_it_stays_within_16_bits(largest: int, fit: bool) -> None:
    assert Int8Pairs(largest=largest, weight="w").fit == fit


def test_a_contract_that_was_edited_has_lost_its_seal(tmp_path: Path) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "g", [], []))
    metadata = sealed(a_contract())
    for name, text, holds in (
        ("whole", metadata[METADATA_KEY], True),
        ("edited", metadata[METADATA_KEY].replace("run-1", "run-2"), False),
    ):
        onnx.helper.set_model_props(model, metadata | {METADATA_KEY: text})
        onnx.save(model, tmp_path / f"{name}.onnx")
        assert seal_holds(read_onnx_file(tmp_path / f"{name}.onnx")) == holds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Input data was truncated"),
        ("{", "Input data was truncated"),
        ("[]", "Expected object, got array"),
        ("{}", "missing required field schema"),
        ('{"schema": "1"}', r"\(schema: expected int, got str\)"),
        ('{"schema": 3}', "missing required field name"),
        (changed(golden=None), "missing required field golden"),
        (changed(layers=[]), r"\(layers: expected array of length >= 1"),
        (changed(input={"height": 5, "width": 4, "channels": 2}), r"\(input\.channels: invalid enum value 2\)"),
    ],
)
def test_a_damaged_contract_names_the_file_and_the_field(text: str, complaint: str) -> None:
    with pytest.raises(ModelError, match=f"'m.onnx' has a damaged contract.*{complaint}.*export it again"):
        decode(text, Contract, source="m.onnx")


@given(st.one_of(st.binary(), st.text(), st.integers(0, 4000).map(lambda end: encode(a_contract())[:end])))
def test_no_text_gives_anything_but_a_contract_or_a_model_error(text: str | bytes) -> None:
    try:
        decode(text, Contract, source="m.onnx")
    except ModelError:
        return


def onnx_with(folder: Path, metadata: dict[str, str]) -> Path:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize(
    ("metadata", "contract"),
    [({METADATA_KEY: encode(a_contract())}, a_contract()), ({"author": "somebody"}, None)],
    ids=["capsedge's file", "another tool's file"],
)
def test_an_onnx_file_holds_its_contract(metadata: dict[str, str], contract: Contract | None, tmp_path: Path) -> None:
    assert contract_of(read_onnx_file(onnx_with(tmp_path, metadata)), source="m.onnx") == contract


def test_images_that_do_not_lie_in_one_piece_are_packed_in_their_order() -> None:
    view = np.moveaxis(IMAGES, 1, 2)
    golden = Golden(pack_images(view), (0, 2), (), 0.0)

    np.testing.assert_array_equal(unpack_images(golden, (4, 5, 1)), view)


@pytest.mark.parametrize(
    "images",
    ["", "no base64!", "é", "AAAA", pack_images(IMAGES)[:-8], pack_images(IMAGES[:1])],
    ids=["empty", "not base64", "not ascii", "not deflated", "cut off", "an image less"],
)
def test_a_damaged_golden_sample_is_a_model_error(images: str) -> None:
    with pytest.raises(ModelError, match=r"the golden sample is damaged .*: export the model again"):
        unpack_images(Golden(images, (0, 2), (), 0.0), (5, 4, 1))


def test_a_golden_sample_inflates_to_no_more_than_its_images() -> None:
    golden = Golden(pack_images(np.zeros(20_000_000, np.uint8)), (0, 2), (), 0.0)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError):
            unpack_images(golden, (5, 4, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_no_record_can_be_changed_after_it_was_read() -> None:
    kinds = [each for each in vars(records).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    changeable = {
        kind.__name__ for kind in kinds if kind.__module__ == records.__name__ and not kind.__struct_config__.frozen
    }
    assert changeable == {"_Schema"}


def test_the_notes_of_a_verdict_are_the_failed_training_and_the_remarks() -> None:
    failed = FailedTraining(code="at-chance", text="the error is at chance", error=0.9, chance=0.9)
    verdict = Verdict(status="accepted", remarks=("a remark",))
    assert verdict.notes == ("a remark",)
    assert replace(verdict, failed_training=failed).notes == ("the error is at chance", "a remark")
