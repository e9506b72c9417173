"""Every name that a real build and a real parse touch exists in each recorded release, the classic ones included."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from capsedge.export.tensorrt.worker import About, Ask, Build, Built, Parse, Parsed, work
from tests.export.tensorrt.graphs import typed

rtx = pytest.importorskip("tensorrt_rtx")

API = Path(__file__).parents[2] / "trt_api"
RELEASES = {path.stem: json.loads(path.read_text()) for path in sorted(API.glob("*.json"))}
# Asked for only where a target is given, which classic releases are never told; and by attribute.
RTX_ONLY = {
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
    ("ComputeCapability", "SM86"),
}
# Subclassed, or enumerations whose members the real objects want as they are.
AS_THEY_ARE = {"ILogger", "IProgressMonitor"}
ENUMERATIONS = {
    "NetworkDefinitionCreationFlag",
    "ComputeCapability",
    "MemoryPoolType",
    "HardwareCompatibilityLevel",
}


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
        plain = isinstance(value, (str, int, float, tuple, list, type(None))) or type(value).__name__ in {
            "Dims",
            "IHostMemory",
        }
        return value if plain else Recorder(value, self._seen)


class Enumeration:
    """Hands on the members of an enumeration, and notes their names."""

    def __init__(self, real: Any, seen: set[tuple[str, str]]) -> None:
        self._real, self._seen = real, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add((self._real.__name__, name))
        return getattr(self._real, name)

    def __dir__(self) -> list[str]:
        return dir(self._real)


class RecordingModule(ModuleType):
    """TensorRT's module, whose functions and objects are recorded."""

    def __init__(self, seen: set[tuple[str, str]]) -> None:
        super().__init__("recorded_tensorrt")
        self.__version__ = rtx.__version__
        self._seen = seen
        self._lacking: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in self._lacking:
            raise AttributeError(name)
        value = getattr(rtx, name)
        if name in AS_THEY_ARE:
            return value
        return (Enumeration if name in ENUMERATIONS else Recorder)(value, self._seen)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The names that are touched, filled while the recorded module is used."""
    touched: set[tuple[str, str]] = set()
    monkeypatch.setitem(sys.modules, "recorded_tensorrt", RecordingModule(touched))
    return touched


def check(seen: set[tuple[str, str]]) -> None:
    for release, names in RELEASES.items():
        for kind, name in seen:
            if (kind, name) in RTX_ONLY and "rtx" not in release:
                continue
            if kind in names:
                assert name in names[kind], f"{kind}.{name} does not exist in {release}"


def job(file: Path, **options: Any) -> Build:
    return Build(
        package="recorded_tensorrt", onnx=str(file), engine=str(file.with_suffix(".e")), batch=(1, 1, 4), **options
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"targets": ("sm86",)}, {"workspace_mb": 64}, {"hardware_compatible": True}],
    ids=["plain", "target", "workspace", "hardware compatible"],
)
def test_a_real_build_uses_recorded_names_only(
    options: dict[str, Any], seen: set[tuple[str, str]], tmp_path: Path
) -> None:
    onnx.save(typed("fp32"), tmp_path / "m.onnx")
    built = work(job(tmp_path / "m.onnx", **options))

    assert isinstance(built, Built)
    assert built.errors == ()
    assert ("Builder", "build_serialized_network") in seen  # the recorder does see
    assert ("INetworkDefinition", "get_layer") in seen
    assert ("IBuilderConfig", "progress_monitor") in seen
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in seen
    assert (("MemoryPoolType", "WORKSPACE") in seen) is ("workspace_mb" in options)
    assert (("HardwareCompatibilityLevel", "AMPERE_PLUS") in seen) is ("hardware_compatible" in options)
    check(seen)


def test_a_real_refusal_and_a_real_parse_use_recorded_names_only(seen: set[tuple[str, str]], tmp_path: Path) -> None:
    refused = typed("fp32")
    next(node for node in refused.graph.node if node.op_type == "Relu").op_type = "Mystery"
    onnx.save(refused, tmp_path / "m.onnx")
    built = work(job(tmp_path / "m.onnx"))
    parsed = work(Parse(package="recorded_tensorrt", onnx=str(tmp_path / "m.onnx")))

    assert isinstance(built, Built)
    assert isinstance(parsed, Parsed)
    assert built.errors
    assert parsed.refusals
    assert {("ParserError", "node_name"), ("ParserError", "node"), ("OnnxParser", "supports_operator")} <= seen
    check(seen)


def test_the_classes_that_are_touched_are_recorded(seen: set[tuple[str, str]], tmp_path: Path) -> None:
    """Else the checks above would pass by looking nothing up."""
    onnx.save(typed("fp32"), tmp_path / "m.onnx")
    work(job(tmp_path / "m.onnx", workspace_mb=64, hardware_compatible=True))

    recorded = set.intersection(*(set(names) for names in RELEASES.values()))
    assert {kind for kind, _ in seen} - {"pybind11_type", "type"} <= recorded


def test_the_classes_that_are_subclassed_have_their_names_in_every_release() -> None:
    for names in RELEASES.values():
        assert {"ERROR", "WARNING", "log"} <= set(names["ILogger"])
        assert {"phase_start", "step_complete", "phase_finish"} <= set(names["IProgressMonitor"])


def test_a_release_without_targets_and_without_a_monitor_is_asked_for_neither(
    seen: set[tuple[str, str]], tmp_path: Path
) -> None:
    vars(sys.modules["recorded_tensorrt"])["_lacking"] = {"IProgressMonitor", "ComputeCapability"}
    onnx.save(typed("fp32"), tmp_path / "m.onnx")
    built, about = work(job(tmp_path / "m.onnx")), work(Ask(package="recorded_tensorrt"))

    assert isinstance(built, Built)
    assert built.errors == ()
    assert ("IBuilderConfig", "progress_monitor") not in seen
    assert about == About(version=rtx.__version__, targets=())
