"""Build options of an engine: their limits, and the TensorRT package that supports them."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from capsedge.contract import Precision
from capsedge.errors import MissingExtra, ModelError, ProviderError, WrongUse, install
from capsedge.export.tensorrt.process import run_worker
from capsedge.export.tensorrt.worker import About, Ask
from capsedge.runtime.tensorrt.cuda import Device, first_device, load_cuda
from capsedge.runtime.tensorrt.targets import check_batch, check_names, listed, takes

Package = Literal["tensorrt_rtx", "tensorrt"]

DEFAULT_BATCH = (1, 1, 64)


@dataclass(frozen=True)
class BuildOptions:
    """Build options of an engine.

    Attributes:
        batch: Smallest, optimal and largest batch.
        targets: Compute capabilities such as `sm86`, for TensorRT-RTX; empty for its default (8.0 and later).
        workspace_mb: Memory limit for intermediate results, in MiB; None for no limit.
        hardware_compatible: Whether an engine of classic TensorRT runs on all GPUs from Ampere (8.0) on, not only on
            the model that builds it.
        allow_deferred: If only classic TensorRT can build and there is no GPU, write the manifest with the command
            that builds the engine on its target machine, instead of failing.
        package: The TensorRT package to build with; None to choose it (`choose_package`).
    """

    batch: tuple[int, int, int] = DEFAULT_BATCH
    targets: tuple[str, ...] = ()
    workspace_mb: int | None = None
    hardware_compatible: bool = False
    allow_deferred: bool = False
    package: Package | None = None


def check_options(options: BuildOptions, precisions: Sequence[Precision] = ()) -> Package:
    """Refuse options that cannot be built, before any build.

    Args:
        options: The build options.
        precisions: Precisions of the engines to build.

    Returns:
        The TensorRT package to build with.

    Raises:
        MissingExtra: No TensorRT that supports the options is installed.
        WrongUse: The options contradict each other, the package does not have a target, or a target cannot compute in
            a precision.
    """
    check_batch(options.batch)
    if options.workspace_mb is not None and options.workspace_mb < 1:
        raise WrongUse(f"workspace: expected 1 MiB or more, got {options.workspace_mb}")
    check_names(options.targets)
    package = choose_package(options)
    if options.targets:
        _check_known(options.targets, package)
    for target in options.targets:
        for precision in precisions:
            if precision not in (able := takes(target, package)):
                raise WrongUse(
                    f"an engine in {precision} was requested for {target}, which cannot compute it",
                    f"use --precision {listed(able)}, or leave {target} out",
                )
    return package


def choose_package(options: BuildOptions) -> Package:
    """The TensorRT package to build with: classic if it is installed and has a GPU, otherwise TensorRT-RTX.

    Only TensorRT-RTX supports targets; the classic builder builds for the GPU that it finds. Only the classic one
    supports hardware compatibility; engines of TensorRT-RTX run on every GPU that they are built for.

    Raises:
        MissingExtra: No installed package supports the options.
        WrongUse: The options need both packages.
    """
    classic, rtx = map(_installed, ("tensorrt", "tensorrt_rtx"))
    if options.package is not None:
        classic, rtx = classic and options.package == "tensorrt", rtx and options.package == "tensorrt_rtx"
        _check_named(options, installed=classic or rtx)
    if options.hardware_compatible:
        if options.targets or (rtx and not classic):
            raise WrongUse(
                "hardware compatibility is an option of classic TensorRT: an engine of TensorRT-RTX runs on every "
                "target that it is built for, sm80 and later where none is given"
            )
        rtx = False
    if classic and not options.targets and (not rtx or gpu() is not None):
        return "tensorrt"
    if rtx:
        return "tensorrt_rtx"
    if options.allow_deferred and not options.targets:
        return "tensorrt"  # the target machine has it
    needs = "for given targets needs TensorRT-RTX" if options.targets else "needs TensorRT"
    raise MissingExtra(f"building an engine {needs}, which is not installed", install("trt"))


def _check_named(options: BuildOptions, *, installed: bool) -> None:
    """Refuse a requested package that is not installed or does not support the other options."""
    if options.package == "tensorrt" and options.targets:
        raise WrongUse("targets are an option of TensorRT-RTX: classic TensorRT builds for the GPU that it finds")
    if options.package == "tensorrt_rtx" and not installed:
        raise MissingExtra("TensorRT-RTX was requested but is not installed", install("trt"))
    if not installed and not options.allow_deferred:
        raise MissingExtra(
            "classic TensorRT was requested but is not installed",
            "install it from NVIDIA, or use --allow-deferred to write the command for its target machine",
        )


def gpu() -> Device | None:
    """The GPU that CUDA uses here, from cuda-python, or from torch if cuda-python is missing."""
    try:
        return first_device(load_cuda())
    except ProviderError:
        return None
    except MissingExtra:
        return _gpu_of_torch() if _installed("torch") else None


def _gpu_of_torch() -> Device | None:
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(0)
    return Device(torch.cuda.get_device_name(0), f"sm{major}{minor}")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _check_known(targets: tuple[str, ...], package: Package) -> None:
    """Refuse targets that the package does not have."""
    about = _about(package)
    if about.errors:
        raise ModelError("; ".join(about.errors))
    unknown = [target for target in targets if target not in about.targets]
    if unknown:
        raise WrongUse(
            f"{package} {about.version} has no target {', '.join(unknown)}", f"there are: {', '.join(about.targets)}"
        )


@cache
def _about(package: Package) -> About:
    """The release and targets of a package, read once for each process."""
    return run_worker(Ask(package=package), About)
