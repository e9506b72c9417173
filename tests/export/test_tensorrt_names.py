"""Every name that a real build touches exists in each recorded release of TensorRT, the classic ones included."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from capsedge.export.engine_worker import Job, build
from capsedge.training import Run

rtx = pytest.importorskip("tensorrt_rtx")

API = Path(__file__).parents[1] / "trt_api"
RTX_ONLY = {("IBuilderConfig", "num_compute_capabilities"), ("IBuilderConfig", "set_compute_capability")}


class Recorder:
    """Hands every access on to a real object of TensorRT, and notes (class, name)."""

    def __init__(self, real: Any, seen: set[tuple[str, str]]) -> None:
        vars(self).update(_real=real, _seen=seen)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._seen.add((type(self._real).__name__, name))
        return self._wrap(getattr(self._real, name))

    def __setattr__(self, name: str, value: Any) -> None:
        self._seen.add((type(self._real).__name__, name))
        setattr(self._real, name, value)

    def __call__(self, *arguments: Any) -> Any:
        return self._wrap(
            self._real(*(vars(each)["_real"] if isinstance(each, Recorder) else each for each in arguments))
        )

    def _wrap(self, value: Any) -> Any:
        plain = isinstance(value, (str, int, float, tuple, type(None))) or type(value).__name__ in {
            "Dims",
            "IHostMemory",
        }
        return value if plain else Recorder(value, self._seen)


class RecordingModule(ModuleType):
    """TensorRT's module, whose classes stay classes and whose functions and objects are recorded."""

    def __init__(self, seen: set[tuple[str, str]]) -> None:
        super().__init__("recorded_tensorrt")
        self.__version__ = rtx.__version__
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        value = getattr(rtx, name)
        if name in {"ILogger", "NetworkDefinitionCreationFlag", "ComputeCapability"}:
            return value  # subclassed, or an enumeration: see test_enumerations_and_the_logger
        return Recorder(value, self._seen)


@pytest.mark.parametrize("targets", [(), ("sm86",)])
def test_a_real_build_uses_recorded_names_only(
    targets: tuple[str, ...], exported: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[str, str]] = set()
    monkeypatch.setitem(sys.modules, "recorded_tensorrt", RecordingModule(seen))
    job = Job(
        package="recorded_tensorrt",
        onnx=str(exported.path / "model.onnx"),
        engine=str(tmp_path / "model.engine"),
        batch=(1, 1, 4),
        targets=targets,
    )
    assert build(job).errors == ()
    refused = tmp_path / "refused.onnx"
    refused.write_bytes((exported.path / "model.onnx").read_bytes().replace(b"Relu", b"Rely"))
    assert build(msgspec.structs.replace(job, onnx=str(refused))).errors
    assert ("ParserError", "node_name") in seen
    assert ("Builder", "build_serialized_network") in seen  # the recorder does see
    assert ("INetworkDefinition", "get_layer") in seen
    for release in sorted(API.glob("*.json")):
        names = json.loads(release.read_text())
        for kind, name in seen:
            if kind in names and not ((kind, name) in RTX_ONLY and "rtx" not in release.stem):
                assert name in names[kind], f"{kind}.{name} does not exist in {release.stem}"


def test_enumerations_and_the_logger_have_their_names_in_every_release() -> None:
    for release in sorted(API.glob("*.json")):
        names = json.loads(release.read_text())
        assert "STRONGLY_TYPED" in names["NetworkDefinitionCreationFlag"]
        assert {"ERROR", "log"} <= set(names["ILogger"])
