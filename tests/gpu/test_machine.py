"""What this machine is: by `capsedge doctor`, by CUDA and the driver, and by torch."""

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pytest

from capsedge.measure.doctor import Diagnosis
from capsedge.runtime.tensorrt.cuda import Device
from tests.gpu.conftest import Saw
from tests.gpu.jobs import Torch
from tests.gpu.process import run

pytestmark = pytest.mark.gpu

JETSON = Path("/etc/nv_tegra_release")
ASKED_OF_SMI = "driver_version,memory.total,power.limit"


def test_the_doctor_finds_nothing_broken(diagnosis: Diagnosis, saw: Saw) -> None:
    working = [finding.subject for finding in diagnosis.findings if finding.state == "works"]
    machine = diagnosis.machine
    saw(f"{machine.cpu}, {machine.cores} cores; works: {', '.join(working)}", doctor=msgspec.to_builtins(diagnosis))
    assert not diagnosis.problems, f"needs repair: {', '.join(diagnosis.problems)}"


def test_cuda_finds_the_gpu(gpu: Device, saw: Saw) -> None:
    jetson = JETSON.read_text().partition("\n")[0] if JETSON.is_file() else ""
    program = shutil.which("nvidia-smi")  # which some Jetsons have not
    driver = ""
    if program is not None:
        asked = run([program, f"--query-gpu={ASKED_OF_SMI}", "--format=csv,noheader"])
        driver = "; ".join(asked.stdout.splitlines()) if asked.returncode == 0 else ""
    saw("; ".join(filter(None, (f"{gpu.name} ({gpu.target})", driver, jetson))), driver=driver, jetson=jetson)


def test_torch_finds_the_gpu(cuda: Torch, saw: Saw) -> None:
    saw(f"torch {cuda.version}, CUDA {cuda.cuda}: {', '.join(cuda.devices)}", torch=dataclasses.asdict(cuda))
