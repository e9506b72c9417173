"""Files that may be served, and protobuf's own reading of what was written about them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from capsedge.contract import EngineManifest, Verdict, encode
from capsedge.runtime.tensorrt.manifest import manifest_path
from tests.export.typed_files import contract_in
from tests.runtime.capsule_model import graph, save

EngineMaker = Callable[..., Path]


def parsed(folder: Path) -> Any:
    """The configuration in a model's folder, as the official protobuf reads it."""
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    """An ONNX file with an accepted contract, of a run called `small capsules`."""
    (tmp_path / "run").mkdir()
    save(graph(), tmp_path / "run" / "model.onnx")
    return tmp_path / "run" / "model.onnx"


@pytest.fixture
def make_engine(accepted: Path) -> EngineMaker:
    """Make an engine in name only, of the classic TensorRT, with a true manifest but for what is told."""
    contract = contract_in(accepted)

    def make(
        verdict: Verdict | None = contract.verdict, promises: dict[str, Any] | None = None, **fields: Any
    ) -> Path:
        engine = accepted.with_name("model.engine")
        engine.write_bytes(b"an engine")
        manifest = EngineManifest(
            engine_sha256=hashlib.sha256(b"an engine").hexdigest(),
            package="tensorrt",
            package_version="10.13.3.9",
            targets=(),
            batch=(1, 8, 32),
            build_seconds=1.5,
            size_bytes=9,
            precision={"conv1": "float"},
            contract=msgspec.structs.replace(contract, verdict=verdict, **(promises or {})),
        )
        manifest_path(engine).write_text(encode(msgspec.structs.replace(manifest, **fields)), encoding="utf-8")
        return engine

    return make
