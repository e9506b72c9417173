"""What is said of a model that nobody runs, against what onnx and hashlib say of the same file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from onnx import numpy_helper

from capsedge.contract import Contract, EngineManifest, Layer, contract_of, encode
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.inspection import inspect_model
from capsedge.runtime.tensorrt.manifest import manifest_path
from tests.runtime.capsule_model import graph

ENGINE = b"a serialized engine"

Engine = Callable[..., Path]


@pytest.fixture
def contract(good: Path) -> Contract:
    found = contract_of(read_onnx_file(good), source=str(good))
    assert found is not None
    return found


@pytest.fixture
def engine(contract: Contract, tmp_path: Path) -> Engine:
    """Write an engine that nothing could load, with its manifest."""

    def write(name: str = "model.engine", *, content: bytes | None = ENGINE, **changes: Any) -> Path:
        manifest = EngineManifest(
            engine_sha256=hashlib.sha256(ENGINE).hexdigest(),
            package="tensorrt_rtx",
            package_version="1.7.1.116",
            targets=("sm86",),
            batch=(1, 8, 64),
            build_seconds=0.5,
            size_bytes=len(ENGINE),
            precision={"conv": "half"},
            contract=contract,
        )
        manifest_path(tmp_path / name).write_text(encode(msgspec.structs.replace(manifest, **changes)))
        if content is not None and not changes.get("deferred"):
            (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def test_an_onnx_file_is_described_by_its_contract_and_its_weights(good: Path, contract: Contract) -> None:
    found = inspect_model(good)

    assert found.contract == found.promises == contract
    assert found.size_bytes == good.stat().st_size
    tensors = onnx.load(good).graph.initializer
    assert found.weights_bytes == {tensor.name: tensor.ByteSize() for tensor in tensors}
    assert [check.what for check in found.checks] == ["contract", "graph"]
    assert all(check.holds for check in found.checks)
    assert found.problems == ()


def test_the_sums_are_those_of_the_layers(good: Path, contract: Contract, tmp_path: Path) -> None:
    def layer(name: str, kind: str, flops: int, parameters: int) -> Layer:
        return Layer(name=name, op="Conv", type=kind, output="fp32", flops=flops, parameters=parameters)

    # Two layers that share a weight have its numbers once.
    layers = (layer("a", "int8", 700, 30), layer("b", "fp32", 200, 5), layer("b", "int8", 100, 5))
    model = onnx.load(good)
    onnx.helper.set_model_props(
        model, {"capsedge.contract": encode(msgspec.structs.replace(contract, layers=layers))}
    )
    onnx.save(model, tmp_path / "model.onnx")

    found = inspect_model(tmp_path / "model.onnx")

    assert (found.precision, found.flops, found.parameters) == ("int8", 1000, 35)


def test_somebody_elses_file_is_described_by_its_weights_alone(models: Path) -> None:
    found = inspect_model(models / "foreign.onnx")

    assert found.promises is None
    assert list(found.weights_bytes) == ["table"]
    assert (found.checks, found.precision, found.flops) == ((), None, 0)


def test_an_engine_is_described_by_its_manifest_and_needs_no_tensorrt(engine: Engine, contract: Contract) -> None:
    file = engine()
    found = inspect_model(file)

    assert found.manifest is not None
    assert found.manifest.targets == ("sm86",)
    assert found.promises == contract
    assert found.contract is None
    assert found.size_bytes == len(ENGINE)
    assert [check.holds for check in found.checks] == [True]
    assert inspect_model(manifest_path(file)) == found


@pytest.mark.parametrize(
    ("changes", "size", "holds", "problems"),
    [
        ({"content": b"another"}, 7, False, ("it is not the engine that its manifest describes",)),
        ({"content": None}, None, False, ("its manifest is there, but the engine is missing",)),
        ({"deferred": "trtexec --onnx=model.onnx", "engine_sha256": ""}, None, None, ()),  # it is not built yet
    ],
)
def test_an_engine_that_was_replaced_or_lost_is_a_problem(
    changes: dict[str, Any], size: int | None, holds: bool | None, problems: tuple[str, ...], engine: Engine
) -> None:
    found = inspect_model(engine(**changes))

    assert (found.size_bytes, [check.holds for check in found.checks], found.problems) == (size, [holds], problems)


def test_a_runs_folder_means_its_model_and_names_what_is_beside_it(good: Path, engine: Engine) -> None:
    folder = engine("model.int8.engine").parent
    for name in ("model.onnx", "model.int8.onnx", ".candidate-model.onnx", "model.fp16.onnx.rejected"):
        (folder / name).write_bytes(good.read_bytes())

    found = inspect_model(folder)

    assert found.file == str(folder / "model.onnx")
    assert found.beside == ("model.int8.engine", "model.int8.onnx")
    assert inspect_model(folder / "model.onnx").beside == ()


def test_weights_outside_the_file_count_with_their_values(tmp_path: Path) -> None:
    model = graph()
    held = {tensor.name: numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer}
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="values.bin", size_threshold=1024)

    found = inspect_model(tmp_path / "model.onnx")

    assert found.external == ("values.bin",)
    large = {name: size for name, size in held.items() if size >= 1024}
    assert large
    assert large.items() <= found.weights_bytes.items()
