"""Findings about the NVIDIA GPU and its driver."""

import ctypes
from typing import Any

from capsedge.errors import CapsedgeError, MissingExtra, ProviderError
from capsedge.measure.doctor.findings import Finding
from capsedge.measure.doctor.presence import OLDEST_DRIVERS, Obstacle, Presence, obstacle
from capsedge.measure.machine import Gpu
from capsedge.runtime.tensorrt.cuda import DRIVER_TOO_OLD, first_device, load_cuda


def find_gpu(presence: Presence, gpu: Gpu | None) -> Finding:
    """Find the GPU with CUDA, or else with its driver."""
    subject = "NVIDIA GPU"
    try:
        cuda = load_cuda()
        device = first_device(cuda)
    except (MissingExtra, ProviderError) as error:
        if stands := obstacle(presence):
            return Finding(subject, "missing", stands.detail, stands.advice, code=stands.code)
        if isinstance(error, MissingExtra) and gpu is not None:
            return Finding(subject, "installed", f"{gpu.name} ({gpu.target})", code=error.code, target=gpu.target)
        if isinstance(error, MissingExtra):
            detail = "found; its name needs cuda-python or NVML"
            return Finding(subject, "installed", detail, code=error.code)
        refused = _refused(error, presence, gpu)
        return Finding(subject, "broken", refused.detail, refused.advice, code=refused.code)
    return Finding(subject, "works", f"{device.name} ({device.target})", target=device.target)


def find_driver(presence: Presence, gpu: Gpu | None, wanted: dict[str, int]) -> Finding:
    """Compare the CUDA release that the driver supports with the releases that libraries were built for.

    Args:
        presence: The GPU that the kernel shows.
        gpu: The GPU that NVML describes.
        wanted: Required major release of CUDA by the name of each library.
    """
    subject = "NVIDIA driver"
    version = gpu.driver if gpu is not None and gpu.driver != "unavailable" else presence.driver
    supported = gpu.cuda if gpu is not None else "unavailable"
    if not version and presence.usable:  # a part of the system on a Jetson, and of Windows in WSL
        return Finding(subject, "installed", "loaded; its version is not known", code="version-unknown")
    if not version:
        return Finding(subject, "missing", "none loaded", code="driver-not-loaded")
    if supported == "unavailable":
        return Finding(
            subject, "installed", f"{version}; its CUDA release is not known without NVML", code="cuda-unknown"
        )
    behind = {name: major for name, major in wanted.items() if major > int(supported.partition(".")[0])}
    detail = f"{version}, for CUDA up to {supported}"
    if not behind:
        return Finding(subject, "installed", detail)
    needs = ", ".join(f"{name} needs CUDA {major}" for name, major in behind.items())
    advice = _newer(presence, max(behind.values()))
    return Finding(subject, "broken", f"{detail}; {needs}", advice, code=DRIVER_TOO_OLD)


def _refused(error: CapsedgeError, presence: Presence, gpu: Gpu | None) -> Obstacle:
    """Why CUDA finds no device though the kernel shows one, and what to do."""
    if error.code != DRIVER_TOO_OLD:
        detail = f"{gpu.name if gpu else 'found'}, but CUDA does not start: {error}"
        return Obstacle(error.code, detail, "nvidia-smi must work first")
    if not _driver_library():
        inside = (
            "; in a container NVIDIA_DRIVER_CAPABILITIES must hold compute" if presence.place == "container" else ""
        )
        detail = f"found, but the driver's library libcuda.so.1 is missing{inside}"
        return Obstacle("driver-library-missing", detail, "install NVIDIA's driver")
    detail = f"the driver {presence.driver} is too old for the CUDA of cuda-python"
    return Obstacle(DRIVER_TOO_OLD, detail, _newer(presence, 13))


def _newer(presence: Presence, major: int) -> str:
    """How to get a driver for a major release of CUDA."""
    if presence.place == "jetson":
        return "upgrade JetPack (its driver is a part of it; CUDA 13 came with JetPack 7)"
    where = " on Windows" if presence.place == "wsl" else " on the host" if presence.place == "container" else ""
    return f"update NVIDIA's driver{where} to {OLDEST_DRIVERS.get(major, max(OLDEST_DRIVERS.values()))} or later"


def _driver_library() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
