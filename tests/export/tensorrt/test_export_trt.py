"""Engines beside the files of a real run: from the trained network to the engine, with the command."""

import msgspec
import pytest

from capsedge.contract import encode
from capsedge.export import export_run
from capsedge.export.tensorrt import build_engine
from capsedge.runtime.tensorrt.manifest import manifest_path
from capsedge.training import Run

pytest.importorskip("tensorrt_rtx")


def test_an_engine_of_an_older_model_does_not_stay_beside_a_newer_one(exported: Run) -> None:
    engine, manifest = build_engine(exported.path / "model.onnx")
    export_run(exported)  # the same graph: the engine still belongs to it
    assert engine.exists()
    older = msgspec.structs.replace(manifest.contract, graph_sha256="0" * 64)
    manifest_path(engine).write_text(encode(msgspec.structs.replace(manifest, contract=older)))
    export_run(exported)
    assert not engine.exists()
    assert not manifest_path(engine).exists()
