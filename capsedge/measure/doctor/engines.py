"""Findings about TensorRT and TensorRT-RTX, by building an engine in a separate process."""

import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from capsedge.errors import install
from capsedge.measure.doctor import trial
from capsedge.measure.doctor.findings import Finding
from capsedge.measure.doctor.presence import Presence
from capsedge.runtime.loading import DOES_NOT_LOAD, OVERLAPPING

Package = Literal["tensorrt_rtx", "tensorrt"]

TITLES: dict[Package, str] = {"tensorrt_rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}

_TIMEOUT_S = 120  # classic TensorRT times kernels; one node is expected to take less than a minute on a small Jetson


class Tried(msgspec.Struct, frozen=True):
    """The result of `trial.attempt`."""

    version: str
    built: int
    ran: bool
    error: str


def find_engine(package: Package, presence: Presence, target: str) -> Finding:
    """Test a package.

    Args:
        package: Its import name.
        presence: The GPU that the kernel shows.
        target: Compute capability of the GPU that CUDA found, such as `sm86`; "" for none.
    """
    subject = TITLES[package]
    if flavours := _flavours(package):
        wanted = install("trt") if package == "tensorrt_rtx" else "install one of them again"
        names = " ".join(flavours)
        return Finding(
            subject,
            "broken",
            f"{' and '.join(flavours)} are both installed and overwrite each other's files",
            f"pip uninstall -y {names}, then {wanted}",
            code=OVERLAPPING,
        )
    if find_spec(package) is None:
        return Finding(subject, "missing", "not installed", _where_from(package, presence), code="not-installed")
    return _judged(package, presence, target, _tried(package, target))


def _judged(package: Package, presence: Presence, target: str, tried: Tried) -> Finding:
    subject = TITLES[package]
    name = f"{package} {tried.version}"
    if not tried.version:
        advice = "pip install --force-reinstall tensorrt-rtx" if package == "tensorrt_rtx" else ""
        return Finding(subject, "broken", f"'{package}' does not load: {tried.error}", advice, code=DOES_NOT_LOAD)
    if tried.ran:
        return Finding(subject, "works", f"{name} builds an engine and runs it")
    if tried.built and not tried.error:
        lacking = f"another GPU than this one ({target})" if target else "an NVIDIA GPU"
        return Finding(subject, "works", f"{name} builds an engine; to run one it needs {lacking}", code="not-run")
    if package == "tensorrt" and not presence.usable:
        needs = "to build and run engines it needs an NVIDIA GPU"
        return Finding(subject, "installed", f"{name} loads; {needs}", code="no-gpu")
    if tried.built:
        done, code = "builds an engine, which does not run", "engine-does-not-run"
    else:
        done, code = "builds no engine", "no-engine"
    return Finding(subject, "broken", f"{name} {done}: {tried.error}", code=code)


def _tried(package: Package, target: str) -> Tried:
    """Test the package in a new process; -P keeps the files beside trial.py from being top-level modules."""
    command = [sys.executable, "-P", trial.__file__, package, target]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        return msgspec.json.decode(done.stdout, type=Tried)
    except subprocess.TimeoutExpired:
        return Tried("its build", 0, ran=False, error=f"it took more than {_TIMEOUT_S} s")
    except msgspec.DecodeError:  # it crashed, as a package with missing libraries does
        said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        return Tried("", 0, ran=False, error=f"its process ended with {done.returncode}: {said}")


def _flavours(package: Package) -> list[str]:
    """The wheels of a package for several releases of CUDA, which share a folder; empty for a single wheel."""
    form = re.compile(rf"{package.replace('_', '[-_.]')}[-_.]cu\d+[-_.]libs")
    names = {str(found.metadata["Name"]) for found in metadata.distributions() if form.fullmatch(found.name)}
    return sorted(names) if len(names) > 1 else []


def _where_from(package: Package, presence: Presence) -> str:
    """How to install a missing package; "" where it is of no use."""
    if package == "tensorrt_rtx":
        rtx = f"{install('trt')} builds engines, also without a GPU"
        return "" if presence.place == "jetson" else rtx
    if presence.place != "jetson":
        return "pip install tensorrt, for a GPU that TensorRT-RTX does not support" if presence.hardware else ""
    system = any(Path("/usr/lib").glob("python3*/dist-packages/tensorrt"))
    if system:
        return "JetPack's is outside this environment: create it with python3 -m venv --system-site-packages"
    return "sudo apt install python3-libnvinfer"
