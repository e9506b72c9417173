"""The gate for engines: what it does with a verdict, on a stand-in for the engine; no GPU has run one yet."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capsedge.cli import main
from capsedge.contract import EngineManifest, Verdict, encode
from capsedge.errors import GateRejected, ModelError
from capsedge.export.gate import TOLERANCES, Rejection, gate_engine
from capsedge.export.gate import engine as module
from capsedge.runtime.session import Outputs, Session
from capsedge.runtime.tensorrt.manifest import manifest_path, read_manifest
from capsedge.training import Run
from tests.export.sessions import FakeSession, Images, Lie, no_lie
from tests.export.typed_files import contract_in, verdict_in


@pytest.fixture
def built(exported: Run) -> Callable[..., Path]:
    """Write an engine that nothing can run, with a manifest as the builder writes it."""

    def write(**changes: Any) -> Path:
        engine = exported.path / "model.engine"
        engine.write_bytes(b"a serialized engine")
        contract = contract_in(exported.path / "model.onnx")
        contract = msgspec.structs.replace(contract, verdict=Verdict(status="not executed here"), **changes)
        manifest = EngineManifest(
            engine_sha256=hashlib.sha256(engine.read_bytes()).hexdigest(),
            package="tensorrt",
            package_version="10.3.0",
            targets=("sm87",),
            batch=(1, 8, 32),
            build_seconds=1.0,
            size_bytes=19,
            precision={"conv": "fp32"},
            contract=contract,
        )
        manifest_path(engine).write_text(encode(manifest))
        return engine

    return write


@pytest.fixture
def runs(exported: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lie], None]:
    """Let engines say what the network says, but for a lie."""

    def put(lie: Lie) -> None:
        def opened(file: Path) -> Session:
            manifest = read_manifest(file)
            limits = (manifest.batch[0], manifest.batch[2])
            return FakeSession(exported.load_best(), manifest.contract, lie, batch_limits=limits)

        monkeypatch.setattr(module, "open_session", opened)
        monkeypatch.setattr(module, "cannot_run_here", lambda _: "")  # as on the machine that has the GPU

    return put


def test_an_engine_that_computes_what_the_network_computes_carries_that(
    exported: Run, built: Callable[..., Path], runs: Callable[[Lie], None]
) -> None:
    runs(no_lie)
    engine = built()
    before = read_manifest(engine)

    gated = gate_engine(engine, exported)

    after = read_manifest(engine)
    assert after == gated
    verdict = verdict_in(after.contract)
    assert (verdict.status, verdict.provider, verdict.images) == ("accepted", "fake", 400)
    assert verdict.limits == TOLERANCES["fp32"].limits(drawn=False)
    assert msgspec.structs.replace(after, contract=before.contract) == before
    assert msgspec.structs.replace(after.contract, verdict=before.contract.verdict) == before.contract


def test_an_engine_is_held_to_the_limits_of_its_type_and_the_user_s(
    exported: Run, built: Callable[..., Path], runs: Callable[[Lie], None]
) -> None:
    runs(no_lie)
    engine = built()
    layers = read_manifest(engine).contract.layers
    engine = built(layers=tuple(msgspec.structs.replace(layer, type="int8") for layer in layers))

    verdict = verdict_in(gate_engine(engine, exported, max_error_increase=0.02).contract)
    assert verdict.limits == {**TOLERANCES["int8"].limits(drawn=False), "error_change": 0.02}


def a_wrong_length(_: Images, outputs: Outputs) -> None:
    outputs.lengths[:, 2] += 0.1


def a_failure(images: Images, _: Outputs) -> None:
    if len(images) == 7:
        raise ModelError("the engine stopped")


@pytest.mark.parametrize(
    ("lie", "changes", "reason"),
    [
        (a_wrong_length, {}, "a length differs by 0.1, more than 0.0001"),
        (a_failure, {}, "the engine stopped"),
        (no_lie, {"classes": tuple("abcdefghij")}, "its contract has classes ('a', 'b'"),
        (no_lie, {"labels": 2}, "its contract has labels 2, but the run has 1"),
    ],
    ids=["length", "failure", "class names", "labels"],
)
def test_an_engine_that_does_not_is_set_aside_with_its_manifest_in_the_report(
    lie: Lie,
    changes: dict[str, Any],
    reason: str,
    exported: Run,
    built: Callable[..., Path],
    runs: Callable[[Lie], None],
) -> None:
    runs(lie)
    engine = built(**changes)
    before = read_manifest(engine)

    with pytest.raises(GateRejected) as rejected:
        gate_engine(engine, exported)

    kept = engine.with_name("model.engine.rejected")
    assert reason in str(rejected.value)
    assert f"kept as '{kept}', report in '{kept}.json'" in str(rejected.value)
    assert kept.read_bytes() == b"a serialized engine"
    assert not engine.exists()
    assert not manifest_path(engine).exists()
    report = msgspec.json.decode(manifest_path(kept).read_bytes(), type=Rejection)
    assert report.verdict.status == "rejected"
    assert report.manifest is not None
    assert report.manifest.contract.verdict == report.verdict
    assert report.manifest.engine_sha256 == before.engine_sha256


def test_an_engine_without_its_machine_is_not_executed_here(
    exported: Run,
    built: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = built()
    before = manifest_path(engine).read_bytes()
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as where it is not installed
    monkeypatch.setattr(sys, "argv", ["capsedge", "gate", str(engine), "--json"])

    with pytest.raises(SystemExit) as stop:
        main()

    assert stop.value.code == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (
        f"'{engine}' was not executed here: it needs a machine with an NVIDIA GPU of sm87 and tensorrt 10.3.0" in line
    )
    found = msgspec.json.decode(said.out, type=EngineManifest)
    assert verdict_in(found.contract).status == "not executed here"
    assert manifest_path(engine).read_bytes() == before
