"""The record beside an engine, and whether the engine can run on this machine: asked before it is loaded."""

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
    """Say where an engine's manifest lies."""
    return engine.with_name(engine.name + ".json")


def read_manifest(file: Path) -> EngineManifest:
    """Read the manifest beside an engine.

    Raises:
        ModelError: It is missing or damaged.
    """
    beside = manifest_path(file)
    if not beside.is_file():
        raise ModelError(
            f"'{file}' needs its manifest '{beside.name}' beside it, which is not there: copy both files, or build "
            "the engine with capsedge export --trt"
        )
    return decode(beside.read_bytes(), EngineManifest, source=str(beside))


def cannot_run_here(file: Path) -> str:
    """Say why an engine cannot be executed on this machine, as `EngineSession` would; nothing is loaded onto a GPU.

    Returns:
        One line, or "" where nothing is known that would keep it from running.
    """
    try:
        ready(file)
    except (ModelError, ProviderError, MissingExtra) as error:
        return str(error)
    return ""


class LoadableEngine(NamedTuple):
    """Everything that loading an engine needs, after every check that can be made before.

    Attributes:
        manifest: The record beside the engine.
        content: The engine.
        read_ms: Time of reading and hashing both; the imports are not in it.
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
    """Make every check that needs no loading: hash, release, GPU, platform.

    Raises:
        ModelError: The manifest is missing, or the engine does not fit it, this release or this machine.
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
    if reason := obstacle(manifest, device):
        raise ModelError(f"'{file}' does not run here: {reason}")
    return LoadableEngine(manifest, content, read_ms, trt, cuda, device)


def _engine_of(file: Path, manifest: EngineManifest) -> bytes:
    """The engine's bytes, which are those that the manifest describes, or of an engine that somebody else built."""
    if manifest.deferred and not file.is_file():
        raise ModelError(
            f"'{file}' was not built yet: build it on this machine, in the folder with its ONNX file: "
            f"{manifest.deferred}"
        )
    content = file.read_bytes()
    if not manifest.deferred and hashlib.sha256(content).hexdigest() != manifest.engine_sha256:
        raise ModelError(
            f"'{file}' is not the engine that its manifest describes (its SHA-256 differs): it was damaged or "
            "replaced, copy both files again"
        )
    return content


def _load_tensorrt(file: Path, manifest: EngineManifest) -> Any:
    """Import the package that the engine was built with, of exactly its release where that is known."""
    package, wanted = manifest.package, manifest.package_version
    named = f"{package} {wanted}".strip()
    source = (
        f"pip install '{package}=={wanted}'" if package == "tensorrt_rtx" else f"install TensorRT {wanted}".strip()
    )
    try:
        trt = import_module(package)
    except (ImportError, OSError) as error:  # OSError: the package is there, its libraries are not
        raise ProviderError(f"'{file}' needs {named}, which does not load ({error}): {source}") from error
    if wanted and trt.__version__ != wanted:
        raise ModelError(
            f"'{file}' was built by {named} and loads in no other release, here is {trt.__version__}: "
            f"{source}, or build it again with: {rebuild(manifest)}"
        )
    return trt
