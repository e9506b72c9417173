"""Real TensorRT-RTX builds without a GPU; the classic package's names against its recorded lists."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from capsedge.contract import EngineManifest, decode, encode
from capsedge.errors import MissingExtra, ModelError, WrongUse
from capsedge.export import build_engine, choose_package, export_run
from capsedge.export.collapse import deployable
from capsedge.export.engine_worker import Job, build
from capsedge.export.onnx import to_onnx
from capsedge.models import build_network
from capsedge.runtime.engine import manifest_path, read_manifest
from capsedge.training import Run
from tests.tiny import tiny_recipe

rtx = pytest.importorskip("tensorrt_rtx")


def test_an_engine_is_built_here_with_its_manifest(exported: Run) -> None:
    engine, manifest = build_engine(exported.path / "model.onnx", batch=(1, 4, 16))
    assert engine == exported.path / "model.engine"
    content = engine.read_bytes()
    assert len(content) > 10_000
    written = decode(manifest_path(engine).read_bytes(), EngineManifest, source="manifest")
    assert written == manifest
    assert manifest.engine_sha256 == hashlib.sha256(content).hexdigest()
    assert manifest.package == "tensorrt_rtx"
    assert manifest.package_version == rtx.__version__
    assert manifest.batch == (1, 4, 16)
    assert set(manifest.precision.values()) <= {"float", "uint8", "int64", "int32"}
    assert "float" in manifest.precision.values()


def test_an_engine_that_did_not_run_is_not_called_accepted(exported: Run) -> None:
    _, manifest = build_engine(exported.path / "model.onnx")
    assert manifest.contract.verdict is not None
    assert manifest.contract.verdict.status == "not executed here"
    assert manifest.contract.classes[0] == "t-shirt"


def test_targets_are_built_for(exported: Run) -> None:
    model = exported.path / "model.onnx"
    _, manifest = build_engine(model, exported.path / "two.engine", targets=("sm86", "sm89"))
    assert manifest.targets == ("sm86", "sm89")


def test_a_target_that_does_not_exist_is_an_error_that_names_it(exported: Run) -> None:
    with pytest.raises(WrongUse, match="'ampere' was given"):
        build_engine(exported.path / "model.onnx", targets=("ampere",))
    with pytest.raises(ModelError, match="sm33"):
        build_engine(exported.path / "model.onnx", targets=("sm33",))
    assert not (exported.path / "model.engine").exists()


def test_batch_sizes_must_rise(exported: Run) -> None:
    with pytest.raises(WrongUse, match=r"must rise.*\(8, 1, 4\) was given"):
        build_engine(exported.path / "model.onnx", batch=(8, 1, 4))


def test_a_file_without_an_accepted_contract_is_not_built(exported: Run) -> None:
    model = onnx.load_model(str(exported.path / "model.onnx"))
    del model.metadata_props[:]
    foreign = exported.path / "foreign.onnx"
    onnx.save_model(model, str(foreign))
    with pytest.raises(ModelError, match="no accepted contract"):
        build_engine(foreign)


def test_what_tensorrt_refuses_is_named_by_node(exported: Run) -> None:
    model = onnx.load_model(str(exported.path / "model.onnx"))
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Mystery"
    broken = exported.path / "broken.onnx"
    broken.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="Mystery"):
        build_engine(broken)


def test_turing_which_takes_no_fp32_graph_is_refused_in_one_line(exported: Run) -> None:
    with pytest.raises(
        ModelError, match=r"built no engine from '.*model\.onnx': .*SM75.*FP32.* not supported"
    ) as caught:
        build_engine(exported.path / "model.onnx", targets=("sm75",))
    assert len(str(caught.value).splitlines()) == 1
    assert not (exported.path / "model.engine").exists()


def test_a_failed_build_changes_nothing(exported: Run) -> None:
    model = exported.path / "model.onnx"
    engine, manifest = build_engine(model)
    before = engine.read_bytes()
    with pytest.raises(ModelError):
        build_engine(model, targets=("sm33",))
    assert engine.read_bytes() == before
    assert read_manifest(engine) == manifest


def test_an_engine_of_an_older_model_does_not_stay_beside_a_newer_one(exported: Run) -> None:
    engine, manifest = build_engine(exported.path / "model.onnx")
    export_run(exported)  # the same graph: the engine still belongs to it
    assert engine.exists()
    older = msgspec.structs.replace(manifest.contract, graph_sha256="0" * 64)
    manifest_path(engine).write_text(encode(msgspec.structs.replace(manifest, contract=older)))
    export_run(exported)
    assert not engine.exists()
    assert not manifest_path(engine).exists()


def test_without_tensorrt_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[trt\]'"):
        choose_package()


def test_the_command_builds_and_says_that_nothing_was_executed(exported: Run) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "capsedge", "export", str(exported.path), "--trt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "gate: accepted" in result.stderr
    assert "not executed here" in result.stderr
    assert (exported.path / "model.engine").exists()


def test_each_build_has_a_process_of_its_own(exported: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = subprocess.run

    def recorded(command: list[str], **options: Any) -> Any:
        started.append(command)
        return start(command, **options)

    monkeypatch.setattr(subprocess, "run", recorded)
    model = exported.path / "model.onnx"
    with pytest.raises(ModelError, match="sm33"):
        build_engine(model, targets=("sm33",))
    build_engine(model)
    assert [command[1:3] for command in started] == [["-m", "capsedge.export.engine_worker"]] * 2


@pytest.mark.parametrize(
    "overrides",
    [
        ("routing.kind=dynamic", "network.hidden=[[6, 4]]"),
        ("routing.kind=kl", "network.hidden=[[6, 4]]"),
        ("routing.kind=em", "network.hidden=[[6, 4]]"),
        ("routing.kind=l2", "network.hidden=[[6, 4]]"),
        ("network.padding=same", "network.activation=leaky-relu", "data.crop=24", "data.standardize=true"),
        ("network.padding=same", "network.kernel=4"),
    ],
    ids=["dynamic", "kl", "em", "hidden", "CIFAR-10", "uneven zeros"],
)
def test_the_graph_of_every_kind_of_network_builds(overrides: tuple[str, ...], tmp_path: Path) -> None:
    network = build_network(tiny_recipe(*overrides), classes=10, shape=(32, 32, 3)).eval()
    onnx.save_model(to_onnx(deployable(network), (32, 32, 3)), str(tmp_path / "m.onnx"))
    job = Job(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=(1, 2, 8))
    assert build(job).errors == ()
    assert (tmp_path / "e").stat().st_size > 10_000


def test_the_worker_builds_in_this_process_too(exported: Run, tmp_path: Path) -> None:
    """Here a failure has a traceback, which its process would hide."""
    job = Job(
        package="tensorrt_rtx", onnx=str(exported.path / "model.onnx"), engine=str(tmp_path / "e"), batch=(1, 1, 2)
    )
    result = build(job)
    assert result.errors == ()
    assert (tmp_path / "e").stat().st_size > 10_000
