"""The steps of TensorRT: with processes that answer as told; trtexec's line by a program in its place."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.prove import engines
from benchmarks.prove.asked import BuildWanted, Opened
from benchmarks.prove.jobs import engine as engine_job
from benchmarks.prove.process import Said
from benchmarks.prove.record import Failed, NotPossible
from capsedge.contract import EngineManifest, Verdict, contract_of
from capsedge.errors import ModelError
from capsedge.measure.doctor import Finding
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.tensorrt.manifest import read_manifest
from tests.benchmarks.prove.places import ACCEPTED, Stage, gpu_machine, printed, refused, replayed
from tests.test_contract import a_manifest

CLASSIC = Finding("TensorRT", "installed", "tensorrt 10.13.3.9 loads")


def stage(folder: Path, answers: Mapping[str, Said], **findings: Finding) -> Stage:
    place = Stage(folder, lambda name, *_: answers[name])
    place.here = gpu_machine(**findings)
    return place


def manifest(**changes: Any) -> EngineManifest:
    return msgspec.structs.replace(a_manifest(), package="tensorrt_rtx", **changes)


def built(folder: Path, name: str, **changes: Any) -> Said:
    """How the job ends that built an engine."""
    (folder / "network").mkdir(exist_ok=True)
    (folder / "network" / name).write_bytes(bytes(2_000_000))
    return printed(manifest(**changes))


def judged(verdict: Verdict | None) -> EngineManifest:
    return manifest(contract=msgspec.structs.replace(a_manifest().contract, verdict=verdict))


def test_tensorrt_rtx_builds_for_the_gpu_that_is_here(tmp_path: Path) -> None:
    said = built(tmp_path, "fp16.tensorrt_rtx.engine", targets=("sm89",), build_seconds=1.25)
    place = stage(tmp_path, {"engine": said})
    (found,) = engines.build(place, "fp16", "tensorrt_rtx")
    wanted = BuildWanted("network/fp16.onnx", "network/fp16.tensorrt_rtx.engine", ("sm89",))
    assert place.asked == [("engine", wanted)]
    assert found.detail.startswith("2.00 MB in 1.2 s by tensorrt_rtx")
    assert found.detail.endswith("for sm89")
    assert place.engines == {"fp16 of tensorrt_rtx": wanted.engine}
    assert "contract" not in found.data


def test_what_the_gpu_does_not_compute_is_not_built(tmp_path: Path) -> None:
    turing = Finding("NVIDIA GPU", "works", "NVIDIA GeForce RTX 2080 (sm75)")
    for label, package in (("fp32", "tensorrt_rtx"), ("bf16", "tensorrt_rtx"), ("bf16", "tensorrt")):
        place = stage(tmp_path, {}, gpu=turing, classic=CLASSIC)
        with pytest.raises(NotPossible, match=f"sm75 does not compute {label}"):
            list(engines.build(place, label, package))  # type: ignore[arg-type]


def test_classic_tensorrt_that_is_not_here_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="'tensorrt' is not installed; comes with JetPack"):
        list(engines.build(stage(tmp_path, {}), "fp16", "tensorrt"))


def test_an_engine_of_the_other_package_is_a_failure(tmp_path: Path) -> None:
    place = stage(tmp_path, {"engine": built(tmp_path, "fp16.tensorrt.engine")}, classic=CLASSIC)
    with pytest.raises(Failed, match="tensorrt_rtx built it, and tensorrt was asked for"):
        list(engines.build(place, "fp16", "tensorrt"))
    assert place.engines == {}


def test_hardware_compatibility_is_asked_for_where_it_exists(tmp_path: Path) -> None:
    said = printed(msgspec.structs.replace(a_manifest(), package="tensorrt"))
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "fp16.tensorrt-hardware-compatible.engine").touch()
    place = stage(tmp_path, {"engine": said}, classic=CLASSIC)
    list(engines.build_compatible(place, "fp16"))
    assert place.asked[0][1].hardware_compatible
    assert place.asked[0][1].targets == ()
    place = stage(tmp_path, {}, gpu=Finding("NVIDIA GPU", "works", "Tesla T4 (sm75)"), classic=CLASSIC)
    with pytest.raises(NotPossible, match="begins at sm80, and this is sm75"):
        list(engines.build_compatible(place, "fp16"))


def test_an_engine_is_replayed_and_gated_against_its_run(tmp_path: Path) -> None:
    where = "tensorrt_rtx 1.7.1.116 on NVIDIA GeForce RTX 4070"
    place = stage(tmp_path, {"verify": printed(replayed(where)), "gate": printed(judged(ACCEPTED))})
    place.engines = {"fp16 of tensorrt_rtx": "network/fp16.tensorrt_rtx.engine"}
    (found,) = engines.execute(place, "fp16", "tensorrt_rtx")
    assert place.asked == [
        ("verify", "network/fp16.tensorrt_rtx.engine", "--json"),
        ("gate", "network/fp16.tensorrt_rtx.engine", "--run", "network", "--json"),
    ]
    assert place.opened == [Opened("fp16 of tensorrt_rtx", "network/fp16.tensorrt_rtx.engine", None)]
    assert found.detail.startswith(f"on {where}, golden sample to 2.0e-06; a length differs by 2.0e-06")


@pytest.mark.parametrize(
    "answers",
    [
        {"verify": refused("it does not load")},
        {"verify": printed(replayed("tensorrt_rtx")), "gate": refused("the gate rejected it")},
        {"verify": printed(replayed("tensorrt_rtx")), "gate": printed(manifest(), 1, "was not executed here")},
        {"verify": printed(replayed("tensorrt_rtx")), "gate": printed(judged(None))},
        {"verify": printed(replayed("tensorrt_rtx")), "gate": printed(judged(Verdict(status="not executed here")))},
    ],
)
def test_on_a_gpu_an_engine_that_does_not_run_or_is_not_accepted_fails(
    tmp_path: Path, answers: Mapping[str, Said]
) -> None:
    place = stage(tmp_path, answers)
    place.engines = {"fp16 of tensorrt_rtx": "network/fp16.tensorrt_rtx.engine"}
    with pytest.raises(Failed):
        list(engines.execute(place, "fp16", "tensorrt_rtx"))
    assert place.opened == []


def test_a_gpu_that_tensorrt_rtx_has_no_target_for_is_not_possible(good: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(NotPossible, match="has no target sm90"):
        engine_job.work(BuildWanted(str(good), str(tmp_path / "x.engine"), ("sm90",)))


TRTEXEC = """#!/bin/sh
for word in "$@"; do
    case $word in --saveEngine=*) printf engine > "${word#--saveEngine=}" ;; esac
done
printf '%s\\n' "$@" > words
"""


def program(folder: Path, text: str) -> str:
    file = folder / "trtexec"
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


def test_the_line_of_a_deferred_manifest_builds_the_engine_beside_it(good: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.fp16.onnx"
    model.write_bytes(good.read_bytes())
    engine = tmp_path / "model.fp16.engine"
    given = engine_job.work(BuildWanted(str(model), str(engine), trtexec=program(tmp_path, TRTEXEC)))
    assert engine.read_bytes() == b"engine"
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:3] == ["--onnx=model.fp16.onnx", "--saveEngine=model.fp16.engine", "--stronglyTyped"]
    assert "--maxShapes=image:64x28x28x1" in words
    beside = read_manifest(engine)
    assert beside == given
    assert beside.deferred.split()[1:] == words
    assert (beside.engine_sha256, beside.package, beside.package_version) == ("", "tensorrt", "")
    contract = contract_of(read_onnx_file(model), source="")
    assert contract is not None
    assert beside.contract.golden == contract.golden
    assert beside.contract.verdict is not None
    assert beside.contract.verdict.status == "not executed here"


def test_a_trtexec_that_fails_says_why(good: Path, tmp_path: Path) -> None:
    complaint = "echo '[I] fine'\necho '[E] Unknown option: --stronglyTyped'\nexit 1\n"
    failing = program(tmp_path, TRTEXEC + complaint)  # an engine alone is no proof of a build
    model = tmp_path / "model.onnx"
    model.write_bytes(good.read_bytes())
    wanted = BuildWanted(str(model), str(tmp_path / "model.engine"), trtexec=failing)
    with pytest.raises(ModelError, match=r"ended with 1: \[E\] Unknown option: --stronglyTyped"):
        engine_job.work(wanted)


def test_trtexec_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "TRTEXEC", tmp_path / "nowhere")
    with pytest.raises(NotPossible, match="trtexec is neither on the path nor at"):
        list(engines.build_deferred(stage(tmp_path, {}), "fp16"))
    found = program(tmp_path, TRTEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "fp16.tensorrt-by-trtexec.engine").touch()
    said = printed(msgspec.structs.replace(a_manifest(), package="tensorrt", deferred="trtexec --onnx=fp16.onnx"))
    place = stage(tmp_path, {"engine": said})
    (record,) = engines.build_deferred(place, "fp16")
    assert place.asked[0][1].trtexec == found
    assert record.detail.endswith("by trtexec --onnx=fp16.onnx")
