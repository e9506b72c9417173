"""The steps of export: a file for each precision that was asked for, a failure for each that was rejected."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.prove import exports
from benchmarks.prove.record import Failed, NotPossible
from capsedge.contract import Contract, Layer, Verdict
from tests.benchmarks.prove.places import ACCEPTED, Stage, printed, refused
from tests.test_contract import a_contract


def exported(kind: str, verdict: Verdict = ACCEPTED) -> dict[str, Any]:
    layer = Layer(name="conv", op="Conv", type=kind, output=kind, flops=10, parameters=1)
    contract: Contract = msgspec.structs.replace(a_contract(), layers=(layer,), verdict=verdict)
    return {"model": f"network/model.{kind}.onnx", "contract": contract, "engine": None, "triton": None}


def stage(folder: Path, *files: dict[str, Any], rejected: tuple[str, ...] = ()) -> Stage:
    (folder / "network").mkdir(exist_ok=True)
    for file in files:
        (folder / file["model"]).write_bytes(bytes(1000))
    said = printed(
        {"exported": files, "failed": [{"text": each} for each in rejected]},
        1 if rejected else 0,
        "; ".join(rejected),
    )
    place = Stage(folder, lambda *_: said)
    place.files = {}
    return place


def test_each_precision_is_a_record_with_the_gates_figures(tmp_path: Path) -> None:
    place = stage(tmp_path, exported("fp32"), exported("fp16"))
    found = list(exports.collapsed(place, ("fp32", "fp16")))
    assert place.asked == [("export", "network", "--precision", "fp32,fp16", "--json")]
    assert [(each.what, each.status) for each in found] == [("fp32", "passed"), ("fp16", "passed")]
    assert place.files == {"fp32": "network/model.fp32.onnx", "fp16": "network/model.fp16.onnx"}
    assert found[0].data["flops_in"] == {"fp32": 1.0}


def test_a_rejected_precision_fails_and_the_others_stay(tmp_path: Path) -> None:
    place = stage(tmp_path, exported("fp32"), rejected=("the gate rejected 'network/model.fp16.onnx': it lies",))
    found = list(exports.collapsed(place, ("fp32", "fp16")))
    assert [(each.what, each.status) for each in found] == [("fp32", "passed"), ("fp16", "failed")]
    assert found[1].detail == "the gate rejected 'network/model.fp16.onnx': it lies"
    assert place.files == {"fp32": "network/model.fp32.onnx"}


def test_a_file_in_another_precision_than_was_asked_for_fails(tmp_path: Path) -> None:
    place = stage(tmp_path, exported("fp32"))
    (found,) = exports.collapsed(place, ("fp16",))
    assert (found.status, found.detail) == ("failed", "there is no file in fp16, but in fp32")


def test_a_file_that_was_only_emulated_is_there_and_not_proved(tmp_path: Path) -> None:
    emulated = Verdict(status="not executed here", images=400, error=0.1, remarks=("bf16 does not run here",))
    place = stage(tmp_path, exported("bf16", emulated))
    (found,) = exports.collapsed(place, ("bf16",))
    assert (found.status, found.detail) == ("not possible here", "bf16 does not run here: error 10.00 %")
    assert place.files == {"bf16": "network/model.bf16.onnx"}


def test_an_export_that_ends_without_an_answer_fails_in_its_own_words(tmp_path: Path) -> None:
    place = Stage(tmp_path, lambda *_: refused("there are too few images"))
    with pytest.raises(Failed, match=r"^there are too few images$"):
        list(exports.collapsed(place, ("int8",)))


def test_a_network_without_a_decoder_is_not_exported_with_one(tmp_path: Path) -> None:
    place = stage(tmp_path, exported("fp32"))
    (tmp_path / "network" / "recipe.toml").write_text("[network]\ndecoder = []\n")
    with pytest.raises(NotPossible, match="the network has no decoder"):
        list(exports.with_decoder(place))
    assert place.asked == []
