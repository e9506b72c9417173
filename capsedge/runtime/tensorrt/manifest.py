"""The manifest beside an engine, and the checks before loading whether the engine can run on this machine."""

import hashlib
from importlib import import_module
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

from capsedge.contract import EngineManifest, decode
from capsedge.errors import MissingExtra, ModelError, ProviderError
from capsedge.runtime.tensorrt.cuda import Device, first_device, load_cuda
from capsedge.runtime.tensorrt.targets import obstacle, rebuild


def manifest_path(engine: Path) -> Path:
    """Path of an engine's manifest."""
    return engine.with_name(engine.name + ".json")


def kernels_path(engine: Path) -> Path:
    """Path of the kernels that TensorRT-RTX compiled for an engine."""
    return engine.with_name(engine.name + ".kernels")


def read_manifest(file: Path) -> EngineManifest:
    """Read the manifest beside an engine.

    Raises:
        ModelError: It is missing or damaged.
    """
    beside = manifest_path(file)
    if not beside.is_file():
        raise ModelError(
            f"'{file}' needs its manifest '{beside.name}' beside it, which is not there",
            "copy both files, or build the engine with capsedge export --trt",
        )
    return decode(beside.read_bytes(), EngineManifest, source=str(beside))


def cannot_run_here(file: Path) -> str:
    """Say why an engine cannot run on this machine, as `EngineSession` would; nothing is loaded onto a GPU.

    Returns:
        One line, or "" where no obstacle is known.
    """
    try:
        ready(file)
    except (ModelError, ProviderError, MissingExtra) as error:
        return str(error)
    return ""


class LoadableEngine(NamedTuple):
    """An engine and the libraries to load it with, after all checks that do not load it.

    Attributes:
        manifest: The manifest beside the engine.
        content: The bytes of the engine.
        read_ms: Time to read and hash both, without the imports.
        trt: The package that the engine was built with.
        cuda: The module cuda.bindings.runtime.
        device: The GPU.
    """

    manifest: EngineManifest
    content: bytes
    read_ms: float
    trt: Any
    cuda: Any
    device: Device


def ready(file: Path) -> LoadableEngine:
    """Make all checks that do not load the engine: hash, release, GPU, platform.

    Raises:
        ModelError: The manifest is missing, or the engine does not match it, this release or this machine.
        ProviderError: There is no TensorRT or no GPU.
        MissingExtra: cuda-python is not installed.
    """
    start = perf_counter_ns()
    manifest = read_manifest(file)
    content = _engine_of(file, manifest)
    read_ms = (perf_counter_ns() - start) / 1e6
    trt = _load_tensorrt(file, manifest)
    cuda = load_cuda()
    device = first_device(cuda)
    if stands := obstacle(manifest, device):
        reason, advice = stands
        raise ModelError(f"'{file}' does not run here: {reason}", advice)
    return LoadableEngine(manifest, content, read_ms, trt, cuda, device)


def _engine_of(file: Path, manifest: EngineManifest) -> bytes:
    """The engine's bytes, checked against the manifest's hash where it has one."""
    if manifest.deferred and not file.is_file():
        raise ModelError(
            f"'{file}' was not built yet",
            f"build it on this machine, in the folder with its ONNX file: {manifest.deferred}",
        )
    content = file.read_bytes()
    if not manifest.deferred and hashlib.sha256(content).hexdigest() != manifest.engine_sha256:
        raise ModelError(
            f"'{file}' is not the engine that its manifest describes (its SHA-256 differs): it was damaged or "
            "replaced",
            "copy both files again",
        )
    return content


def _load_tensorrt(file: Path, manifest: EngineManifest) -> Any:
    """Import the package that the engine was built with, in exactly its release where that is known."""
    package, wanted = manifest.package, manifest.package_version
    named = f"{package} {wanted}".strip()
    source = (
        f"pip install '{package}=={wanted}'" if package == "tensorrt_rtx" else f"install TensorRT {wanted}".strip()
    )
    try:
        trt = import_module(package)
    except (ImportError, OSError) as error:  # OSError: the package is installed without its libraries
        raise ProviderError(f"'{file}' needs {named}, which does not load ({error})", source) from error
    if wanted and trt.__version__ != wanted:
        raise ModelError(
            f"'{file}' was built by {named} and loads only in that release; {trt.__version__} is installed",
            f"{source}, or build it again with: {rebuild(manifest)}",
        )
    return trt
