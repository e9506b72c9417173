"""Engines of stand-ins, and the stand-ins in the place of CUDA and TensorRT, for the tests of engines."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from capsedge.contract import Contract, EngineManifest, contract_of, encode
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.tensorrt.manifest import manifest_path
from tests.runtime.fake_tensorrt import RELEASES, HostCuda, tensorrt

RTX = next(release for release in RELEASES if release.startswith("tensorrt_rtx"))
DEFERRED = {"engine_sha256": "", "package_version": "", "targets": (), "deferred": "trtexec --onnx=model.onnx"}
"""What the manifest of an engine says that somebody else builds."""

Build = Callable[..., Path]
Install = Callable[..., HostCuda]


@pytest.fixture
def contract(good: Path) -> Contract:
    read = contract_of(read_onnx_file(good), source=str(good))
    assert read is not None
    return read


@pytest.fixture
def build(tmp_path: Path, contract: Contract) -> Build:
    """Write an engine file and its manifest, as export does."""

    def write(release: str = RTX, **changes: Any) -> Path:
        file = tmp_path / "model.engine"
        file.write_bytes(b"a serialized engine")
        package, version = release.split("-")
        fields: dict[str, Any] = {
            "engine_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "package": package,
            "package_version": version,
            "targets": ("sm87",),
            "batch": (1, 1, 16),
            "build_seconds": 1.0,
            "size_bytes": file.stat().st_size,
            "precision": {},
            "contract": contract,
        }
        manifest_path(file).write_text(encode(EngineManifest(**fields | changes)))
        return file

    return write


@pytest.fixture
def install(good: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put stand-ins for CUDA and for one release of TensorRT in the place of the real ones."""

    def put(release: str = RTX, *, devices: int = 1, fail: str = "", **tensorrt_options: Any) -> HostCuda:
        cuda = HostCuda(devices, fail)
        for parent in ("cuda", "cuda.bindings"):
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
        package = tensorrt(release, good, cuda, **tensorrt_options)
        monkeypatch.setitem(sys.modules, package.__name__, package)
        return cuda

    return put
