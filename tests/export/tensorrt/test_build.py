"""Engines that the real TensorRT-RTX builds here, without a GPU; a stand-in has the name of the classic package."""

import hashlib
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from capsedge.contract import PRECISIONS, EngineManifest, Precision, Verdict, decode
from capsedge.errors import MissingExtra, ModelError, ProviderError
from capsedge.export.collapse import deployable
from capsedge.export.onnx import to_onnx
from capsedge.export.tensorrt import BuildOptions, build_engine
from capsedge.export.tensorrt.process import run_worker
from capsedge.export.tensorrt.worker import Build, Built, work
from capsedge.models import build_network
from capsedge.runtime.tensorrt.cuda import Device
from capsedge.runtime.tensorrt.manifest import manifest_path, read_manifest
from capsedge.runtime.tensorrt.targets import platform_here
from tests.export.tensorrt.conftest import Machine
from tests.export.tensorrt.graphs import gated, typed
from tests.tiny import tiny_recipe

rtx = pytest.importorskip("tensorrt_rtx")


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_engine_is_built_here_with_its_manifest(model: Path) -> None:
    engine, manifest = build_engine(model, options=BuildOptions(batch=(1, 4, 16), workspace_mb=64))

    assert engine == model.with_name("model.fp16.engine")
    content = engine.read_bytes()
    assert len(content) > 10_000
    assert decode(manifest_path(engine).read_bytes(), EngineManifest, source="manifest") == manifest
    assert manifest.engine_sha256 == hashlib.sha256(content).hexdigest()
    assert manifest.size_bytes == len(content)
    assert (manifest.package, manifest.package_version) == ("tensorrt_rtx", rtx.__version__)
    assert (manifest.batch, manifest.workspace_mb, manifest.hardware_compatible) == ((1, 4, 16), 64, False)
    assert (manifest.platform, manifest.gpu, manifest.targets, manifest.deferred) == (platform_here(), "", (), "")
    assert manifest.warnings == ()
    assert {"half", "float"} == set(manifest.precision.values())
    assert manifest.contract.verdict == Verdict(status="not executed here")
    assert manifest.contract.classes == tuple("abcdefghij")


def test_progress_is_told_step_by_step(model: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    build_engine(model, progress=lambda *step: steps.append(step))

    totals = {phase: total for phase, _, total in steps}
    assert steps[0][1:] == (0, steps[0][2])
    assert len(totals) > 3
    assert all(0 <= done <= total for _, done, total in steps)
    outermost = [done for phase, done, _ in steps if phase == steps[0][0]]
    assert outermost == sorted(outermost)
    assert outermost[-1] == steps[0][2]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_becomes_an_engine(precision: Precision, tmp_path: Path) -> None:
    gated(typed(precision), tmp_path / "m.onnx", "not executed here" if precision in ("bf16", "fp8") else "accepted")
    engine, manifest = build_engine(tmp_path / "m.onnx")

    assert engine.stat().st_size > 10_000
    assert manifest.contract.precision == precision
    what_sm80_lacks = "'conv_stored' and 1 more need fp8, which sm80 cannot compute (sm89 and later can)"
    assert manifest.warnings == ((what_sm80_lacks,) if precision == "fp8" else ())


def test_targets_are_built_for(model: Path, tmp_path: Path) -> None:
    _, manifest = build_engine(model, tmp_path / "two.engine", BuildOptions(targets=("sm75", "sm89")))

    assert manifest.targets == ("sm75", "sm89")
    assert (tmp_path / "two.engine").exists()


def test_a_target_that_cannot_compute_the_file_is_refused_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(typed("int8"), tmp_path / "m.onnx")
    monkeypatch.setattr("capsedge.export.tensorrt.build._built", lambda *_: pytest.fail("it was built"))

    with pytest.raises(
        ModelError,
        match=r"'.*m\.onnx' cannot become an engine for sm75: 'classes_stored' needs matrix products with an fp32 "
        r"result, which sm75 cannot compute .*: use --precision fp16 or int8\+fp16, or leave it out$",
    ):
        build_engine(tmp_path / "m.onnx", options=BuildOptions(targets=("sm86", "sm75")))
    assert files_in(tmp_path) == {"m.onnx"}


@pytest.mark.parametrize("status", ["rejected", None, "no contract"])
def test_only_a_file_that_the_gate_did_not_reject_is_built(status: Any, tmp_path: Path) -> None:
    if status == "no contract":
        onnx.save(typed("fp32"), tmp_path / "m.onnx")
    else:
        gated(typed("fp32"), tmp_path / "m.onnx", status)

    with pytest.raises(ModelError, match=r"'.*m\.onnx' carries no accepted contract: make it with capsedge export"):
        build_engine(tmp_path / "m.onnx")


def test_a_file_that_was_altered_since_the_gate_saw_it_is_not_built(model: Path) -> None:
    altered = onnx.load(model)
    weight = next(each for each in altered.graph.initializer if each.name == "classes")
    weight.CopyFrom(numpy_helper.from_array(np.negative(numpy_helper.to_array(weight)), "classes"))
    onnx.save(altered, model)

    with pytest.raises(ModelError, match=r"was altered since its gate: run capsedge gate .*fp16\.onnx$"):
        build_engine(model)


def test_what_tensorrt_would_read_otherwise_is_refused_by_us(tmp_path: Path) -> None:
    """The parser takes this file and gives an engine that computes something else."""
    unsigned = typed("int8")
    for constant in unsigned.graph.initializer:
        if constant.name == "nchw_zero":
            constant.CopyFrom(numpy_helper.from_array(np.array(0, np.uint8), "nchw_zero"))
    gated(unsigned, tmp_path / "m.onnx")
    job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=(1, 1, 2))
    built = work(job)

    assert isinstance(built, Built)
    assert built.errors == ()
    assert "Defaulting to INT8" in built.warnings[0]
    with pytest.raises(
        ModelError, match=r"nchw_quantized \(QuantizeLinear\): it quantizes to uint8, .* lint .* shows all 2$"
    ):
        build_engine(tmp_path / "m.onnx")


def test_what_tensorrt_refuses_is_named_by_node(tmp_path: Path) -> None:
    strange = typed("fp32")
    next(node for node in strange.graph.node if node.op_type == "Relu").op_type = "Mystery"
    onnx.save(strange, tmp_path / "m.onnx")
    job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=(1, 1, 2))
    built = run_worker(job, Built)

    assert len(built.errors) == 1
    assert built.errors[0].startswith("positive: ")
    assert "Plugin not found" in built.errors[0]
    assert not (tmp_path / "e").exists()


def test_a_failed_build_leaves_the_older_engine_as_it_was(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, manifest = build_engine(model)
    before, files = engine.read_bytes(), files_in(model.parent)
    monkeypatch.setattr(
        "capsedge.export.tensorrt.build.run_worker", lambda *_: Built(errors=("no kernel",), version="1.7")
    )

    with pytest.raises(ModelError, match=r"tensorrt_rtx 1\.7 built no engine from '.*': no kernel$"):
        build_engine(model)
    assert engine.read_bytes() == before
    assert read_manifest(engine) == manifest
    assert files_in(model.parent) == files


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
    job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=(1, 2, 8))
    built = work(job)

    assert isinstance(built, Built)
    assert built.errors == ()
    assert (tmp_path / "e").stat().st_size > 10_000


def test_a_classic_engine_is_for_the_gpu_that_builds_it(model: Path, classic: Machine) -> None:
    """On the stand-in: what goes into the manifest."""
    classic(gpu=Device("Orin", "sm87"))
    _, manifest = build_engine(model, options=BuildOptions(hardware_compatible=True))

    assert (manifest.package, manifest.package_version) == ("tensorrt", "10.13.3.9")
    assert (manifest.gpu, manifest.targets, manifest.platform) == ("Orin", ("sm87",), platform_here())
    assert manifest.hardware_compatible


def test_without_a_gpu_the_classic_one_gives_the_line_for_the_target_machine(model: Path, classic: Machine) -> None:
    classic(gpu=None)

    with pytest.raises(ProviderError, match="needs an NVIDIA GPU and its driver: build the engine on its") as caught:
        build_engine(model, options=BuildOptions(batch=(1, 4, 16), workspace_mb=512))
    assert caught.value.exit_code == 1
    line = str(caught.value).partition("'model.fp16.onnx': ")[2].partition(" (--allow")[0]
    assert shlex.split(line) == [
        "trtexec",
        "--onnx=model.fp16.onnx",
        "--saveEngine=model.fp16.engine",
        "--stronglyTyped",
        "--noTF32",
        "--skipInference",
        "--minShapes=image:1x28x28x1",
        "--optShapes=image:4x28x28x1",
        "--maxShapes=image:16x28x28x1",
        "--memPoolSize=workspace:512",
    ]
    assert model.parent.joinpath("model.fp16.engine.json").exists() is False


def test_a_deferred_engine_has_a_manifest_and_no_older_engine_beside_it(model: Path, classic: Machine) -> None:
    model.with_suffix(".engine").write_bytes(b"an older engine")
    classic(gpu=None)
    engine, manifest = build_engine(model, options=BuildOptions(allow_deferred=True, hardware_compatible=True))

    assert not engine.exists()
    assert read_manifest(engine) == manifest
    assert manifest.deferred.startswith("trtexec --onnx=model.fp16.onnx --saveEngine=model.fp16.engine ")
    assert manifest.deferred.endswith(" --hardwareCompatibilityLevel=ampere+")
    assert (manifest.engine_sha256, manifest.package_version, manifest.size_bytes) == ("", "", 0)
    assert (manifest.package, manifest.platform, manifest.targets) == ("tensorrt", "", ())
    assert manifest.contract.verdict == Verdict(status="not executed here")


def test_where_no_tensorrt_is_installed_an_engine_can_still_be_deferred(model: Path, machine: Machine) -> None:
    machine()

    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[trt\]'"):
        build_engine(model)
    _, manifest = build_engine(model, options=BuildOptions(allow_deferred=True))
    assert manifest.deferred.startswith("trtexec ")
