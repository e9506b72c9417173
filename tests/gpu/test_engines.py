"""TensorRT: engines of both packages are built, run, give their golden sample, and pass the gate."""

import shutil
from pathlib import Path

import msgspec
import pytest

from capsedge.contract import EngineManifest
from capsedge.export.tensorrt.options import BuildOptions, Package
from capsedge.runtime.tensorrt.cuda import Device
from capsedge.runtime.tensorrt.manifest import read_manifest
from capsedge.runtime.tensorrt.targets import OLDEST_DEFAULT, capability, takes
from capsedge.runtime.verify import Verification
from tests.gpu import jobs
from tests.gpu.artifacts import Artifacts, Opened, described, precision_of
from tests.gpu.conftest import Need, Saw
from tests.gpu.process import capsedge, isolated

pytestmark = pytest.mark.gpu

SUBJECTS: dict[Package, str] = {"tensorrt_rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}
"""What the doctor calls the packages."""

SPECIAL = "fp16"
"""The precision of the engines that are built in a special way: every GPU that TensorRT runs on computes it."""

# Where Debian's packages and JetPack put NVIDIA's program, off the path.
TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")


@pytest.fixture
def built(artifacts: Artifacts, need: Need, device: Device | None, package: Package, engine_label: str) -> Path:
    """An engine for this machine's GPU; by TensorRT-RTX without a GPU for its default targets."""
    need(SUBJECTS[package])
    if device is None and package == "tensorrt":
        need("NVIDIA GPU")
    targets = (device.target,) if device is not None and package == "tensorrt_rtx" else ()
    return engine(artifacts, device, engine_label, BuildOptions(targets=targets, package=package))


@pytest.mark.parametrize("package", SUBJECTS)
def test_an_engine_is_built(built: Path, package: Package, saw: Saw) -> None:
    assert_built(built, package, saw)


@pytest.mark.parametrize("package", SUBJECTS)
def test_an_engine_runs_and_is_accepted(
    built: Path,
    artifacts: Artifacts,
    device: Device | None,
    need: Need,
    saw: Saw,
    package: Package,
    engine_label: str,
) -> None:
    assert_runs(artifacts, device, need, saw, built, engine_label, package)


def test_a_hardware_compatible_engine_runs_and_is_accepted(
    artifacts: Artifacts, need: Need, gpu: Device, saw: Saw
) -> None:
    need(SUBJECTS["tensorrt"])
    if capability(gpu.target) < capability(OLDEST_DEFAULT):
        pytest.skip(f"hardware compatibility begins at {OLDEST_DEFAULT}, and this is {gpu.target}")
    made = engine(artifacts, gpu, SPECIAL, BuildOptions(hardware_compatible=True, package="tensorrt"))
    assert_built(made, "tensorrt", saw)
    assert_runs(artifacts, gpu, need, saw, made, SPECIAL, "tensorrt, hardware compatible")


def test_an_engine_built_by_trtexec_runs_and_is_accepted(
    artifacts: Artifacts, need: Need, gpu: Device, saw: Saw
) -> None:
    """By the line of a deferred manifest."""
    program = shutil.which("trtexec") or (str(TRTEXEC) if TRTEXEC.is_file() else "")
    if not program:
        pytest.skip(f"trtexec is neither on the path nor at {TRTEXEC}: it comes with classic TensorRT")
    model = artifacts.file(SPECIAL)
    made = model.with_suffix(".trtexec.engine")

    def make() -> Path:
        isolated(jobs.build_by_trtexec, program, model, made, BuildOptions(package="tensorrt"))
        return made

    artifacts.once(made.name, make)
    assert_runs(artifacts, gpu, need, saw, made, SPECIAL, "trtexec")


def engine(artifacts: Artifacts, device: Device | None, label: str, options: BuildOptions) -> Path:
    """Build once; the engine lies beside its model."""
    assert options.package is not None
    model, precision = artifacts.file(label), precision_of(label)
    if device is not None and precision not in takes(device.target, options.package):
        pytest.skip(f"{device.target} does not compute {precision}")
    kind = f"{options.package}{'.compatible' if options.hardware_compatible else ''}"
    made = model.with_suffix(f".{kind}.engine")

    def make() -> Path:
        if reason := isolated(jobs.build, model, made, options):
            pytest.skip(reason)
        return made

    return artifacts.once(f"{label}.{kind}.engine", make)


def assert_built(made: Path, package: Package, saw: Saw) -> None:
    """The manifest beside an engine says how it was built."""
    manifest: EngineManifest = read_manifest(made)
    assert manifest.package == package
    figures = msgspec.to_builtins(manifest)
    del figures["contract"], figures["precision"]  # long, and in the manifest
    made_for = ", ".join(manifest.targets) or "its default targets"
    release = f"{manifest.package} {manifest.package_version}"
    size_mb = made.stat().st_size / 1e6
    saw(f"{size_mb:.2f} MB in {manifest.build_seconds:.1f} s by {release} for {made_for}", manifest=figures)


def assert_runs(
    artifacts: Artifacts, device: Device | None, need: Need, saw: Saw, made: Path, label: str, kind: str
) -> None:
    """An engine gives its golden sample and passes the gate; without a GPU the gate says that it did not run it."""
    gate = ("gate", made, "--run", artifacts.run_of(label))
    if device is None:
        verdict = capsedge(*gate, kind=EngineManifest, codes=(1,)).contract.verdict
        assert verdict is not None
        assert verdict.status == "not executed here"
        need("NVIDIA GPU")
    replayed = capsedge("verify", made, kind=Verification)
    verdict = capsedge(*gate, kind=EngineManifest).contract.verdict
    assert verdict is not None
    where = f"on {replayed.provider}, golden sample to {replayed.largest_difference:.1e}"
    figures = {"golden": msgspec.to_builtins(replayed), "gate": msgspec.to_builtins(verdict)}
    saw(f"{where}; {described(verdict)}", **figures)
    assert verdict.status == "accepted"
    artifacts.opened.append(Opened(label, kind, made))
