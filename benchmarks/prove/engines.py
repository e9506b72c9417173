"""The steps of TensorRT: each engine built, loaded, replayed and gated."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.prove.asked import BuildWanted, Opened
from benchmarks.prove.exports import described, figures
from benchmarks.prove.machine import GPU, SUBJECTS
from benchmarks.prove.place import Place, precision_of
from benchmarks.prove.record import Failed, Found, NotPossible
from capsedge.contract import EngineManifest
from capsedge.runtime.tensorrt.targets import takes
from capsedge.runtime.verify import Verification

Package = Literal["tensorrt_rtx", "tensorrt"]

# Where Debian's packages and JetPack put NVIDIA's program, off the path.
TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")


def name_of(label: str, package: Package, kind: str = "") -> str:
    """An engine's name, for people and for its steps."""
    return f"{label} of {package}{f' {kind}' if kind else ''}"


def build(place: Place, label: str, package: Package) -> Iterator[Found]:
    """Build an engine for this machine's GPU; by TensorRT-RTX without a GPU for its default targets."""
    if package == "tensorrt":
        place.here.need(GPU)
    targets = (place.here.target,) if package == "tensorrt_rtx" and place.here.target else ()
    yield _built(place, label, package, targets=targets)


def build_compatible(place: Place, label: str) -> Iterator[Found]:
    """Build an engine of classic TensorRT for every GPU from Ampere on."""
    place.here.need(GPU)
    if int(place.here.target.removeprefix("sm")) < 80:
        raise NotPossible(f"hardware compatibility begins at sm80, and this is {place.here.target}")
    yield _built(place, label, "tensorrt", "hardware compatible")


def build_deferred(place: Place, label: str) -> Iterator[Found]:
    """Build an engine by the trtexec line of a deferred manifest."""
    place.here.need(GPU)
    program = shutil.which("trtexec") or (str(TRTEXEC) if TRTEXEC.is_file() else "")
    if not program:
        raise NotPossible(f"trtexec is neither on the path nor at {TRTEXEC}")
    yield _built(place, label, "tensorrt", "by trtexec", trtexec=program)


def execute(place: Place, label: str, package: Package, kind: str = "") -> Iterator[Found]:
    """Load an engine, replay its golden sample, and gate it."""
    name = name_of(label, package, kind)
    if name not in place.engines:
        raise NotPossible("there is no such engine: it was not built")
    place.here.need(GPU)
    engine = place.engines[name]
    replayed = place.capsedge("verify", engine, "--json").answer(Verification)
    gated = place.capsedge("gate", engine, "--run", place.run_of(label), "--json").answer(EngineManifest)
    verdict = gated.contract.verdict
    if verdict is None or verdict.status != "accepted":
        raise Failed(f"the gate: {verdict.status if verdict else 'no verdict'}")
    place.opened.append(Opened(name, engine, None))
    data = {"golden": msgspec.to_builtins(replayed), "gate": figures(verdict)}
    where = f"on {replayed.provider}, golden sample to {replayed.largest_difference:.1e}"
    yield Found(f"{where}; {described(verdict)}", data)


def _built(
    place: Place,
    label: str,
    package: Package,
    kind: str = "",
    *,
    targets: tuple[str, ...] = (),
    trtexec: str = "",
) -> Found:
    if not trtexec:
        place.here.need(SUBJECTS[f"engine of {package}"])
    model = place.file(label)
    precision, target = precision_of(label), place.here.target
    if target and precision not in takes(target, package):
        raise NotPossible(f"{target} does not compute {precision}")
    engine = f"{model.removesuffix('.onnx')}.{'-'.join((package, *kind.split()))}.engine"
    wanted = BuildWanted(model, engine, targets, hardware_compatible=kind == "hardware compatible", trtexec=trtexec)
    manifest = place.job("engine", wanted).answer(EngineManifest)
    if manifest.package != package:
        raise Failed(f"{manifest.package} built it, and {package} was asked for")
    place.engines[name_of(label, package, kind)] = engine
    data = msgspec.to_builtins(manifest)
    del data["contract"], data["precision"]  # long, and in the manifest
    size_mb = (place.out / engine).stat().st_size / 1e6
    made_for = ", ".join(manifest.targets) or "its default targets"
    if manifest.deferred:
        return Found(f"{size_mb:.2f} MB by {manifest.deferred}", data)
    release = f"{manifest.package} {manifest.package_version}"
    return Found(f"{size_mb:.2f} MB in {manifest.build_seconds:.1f} s by {release} for {made_for}", data)
