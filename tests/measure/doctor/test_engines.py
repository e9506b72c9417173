"""TensorRT as the doctor proves it: a real build in a process of its own, and an execution on a stand-in."""

import ctypes
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from capsedge.measure.doctor import engines, trial
from capsedge.measure.doctor.engines import Package, Tried, find_engine
from capsedge.measure.doctor.presence import Presence
from tests.measure.doctor.places import JETSON, NOTHING, WORKSTATION
from tests.runtime.fake_tensorrt import API, RELEASES, HostCuda
from tests.runtime.ort.test_wheels import install

no_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")
Trying = Callable[..., None]


@pytest.fixture
def trying(monkeypatch: pytest.MonkeyPatch) -> Trying:
    """Let the other process tell what a test decides."""

    def tell(version: str = "10.3.0", *, built: int = 0, ran: bool = False, error: str = "") -> None:
        monkeypatch.setattr(engines, "find_spec", lambda name: object())
        monkeypatch.setattr(engines, "_tried", lambda package, target: Tried(version, built, ran, error))

    return tell


@no_gpu
def test_tensorrt_rtx_builds_an_engine_here() -> None:
    pytest.importorskip("tensorrt_rtx")
    found = find_engine("tensorrt_rtx", NOTHING, "")

    assert found.state == "works"
    assert found.detail.endswith("builds an engine; to run one it needs an NVIDIA GPU")


def test_an_engine_is_built_for_a_target_that_is_asked_for() -> None:
    trt = pytest.importorskip("tensorrt_rtx")

    assert trial.build(trt, "sm89") != trial.build(trt, "sm120")


@pytest.mark.parametrize(
    ("package", "presence", "tried", "state", "said"),
    [
        ("tensorrt", WORKSTATION, {"built": 9000, "ran": True}, "works", "builds an engine and runs it"),
        (
            *("tensorrt", NOTHING, {"error": "factory function returned nullptr"}),
            *("installed", "loads; to build and run engines it needs an NVIDIA GPU"),
        ),
        ("tensorrt_rtx", WORKSTATION, {"error": "why"}, "broken", "builds no engine: why"),
        (
            "tensorrt_rtx",
            WORKSTATION,
            {"built": 9, "error": "why"},
            "broken",
            "builds an engine, which does not run: why",
        ),
    ],
)
def test_what_came_of_the_trial_is_the_finding(
    trying: Trying, package: Package, presence: Presence, tried: dict[str, Any], state: str, said: str
) -> None:
    trying(**tried)
    found = find_engine(package, presence, "" if presence is NOTHING else "sm89")
    assert (found.state, found.detail) == (state, f"{package} 10.3.0 {said}")


def test_a_gpu_that_is_none_for_tensorrt_rtx_is_no_fault_of_it(trying: Trying) -> None:
    """One of a server, sm90: the engine is built for the default targets, and CUDA is asked for nothing."""
    trt = pytest.importorskip("tensorrt_rtx")
    told = trial.attempt("tensorrt_rtx", "sm90")
    trying(built=told["built"])
    found = find_engine("tensorrt_rtx", WORKSTATION, "sm90")

    assert (trial.runs_on(trt, "sm89"), told["ran"], told["error"]) == (True, False, "")
    assert told["built"] > 0
    assert found.state == "works"
    assert found.detail.endswith("to run one it needs another GPU than this one (sm90)")


@no_gpu
def test_an_engine_for_this_gpu_is_run_and_its_failure_told() -> None:
    pytest.importorskip("tensorrt_rtx")
    told = trial.attempt("tensorrt_rtx", "sm89")

    assert told["built"] > 0
    assert (told["ran"], told["error"]) == (False, "the engine does not load")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("raise OSError('libnvinfer.so.10: cannot open shared object file')", "libnvinfer.so.10: cannot open"),
        ("import os; os.abort()", "its process ended with -6"),
        ("print('noise'); raise ValueError", "ValueError"),
    ],
)
def test_a_package_that_does_not_load_is_broken_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = find_engine("tensorrt", NOTHING, "")

    assert found.state == "broken"
    assert said in found.detail


def test_two_flavours_in_one_folder_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "tensorrt-cu12-libs", "10.3.0")
    install(tmp_path, "tensorrt_cu13_libs", "10.13.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_engine("tensorrt", NOTHING, "")

    assert found.state == "broken"
    assert found.advice.startswith("pip uninstall -y tensorrt-cu12-libs tensorrt_cu13_libs, then ")
    assert "overwrite each other's files" in found.detail
    assert "flavours" not in find_engine("tensorrt_rtx", NOTHING, "").detail


def test_what_is_not_installed_is_advised_where_it_is_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)

    assert "pip install 'capsedge[trt]'" in find_engine("tensorrt_rtx", NOTHING, "").advice
    assert find_engine("tensorrt_rtx", JETSON, "").advice == ""  # it is not made for Jetsons
    assert find_engine("tensorrt", NOTHING, "").advice == ""
    assert "python3-libnvinfer" in find_engine("tensorrt", JETSON, "sm87").advice


class Pageable(HostCuda):
    """Host memory of any kind can be copied, only slower than pinned memory."""

    def __init__(self, fail: str = "") -> None:
        super().__init__(fail=fail)
        self.pinned = defaultdict(lambda: ctypes.create_string_buffer(64))


def runtime(cuda: HostCuda, *, wrong: bool = False) -> Any:
    """A stand-in whose engine squares in host memory."""

    class Context:
        def __init__(self) -> None:
            self.addresses: dict[str, int] = {}

        def set_tensor_address(self, name: str, address: int) -> bool:
            self.addresses[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            assert stream == 7
            cuda.calls.append("execute")
            x, y = ((ctypes.c_float * 4).from_address(self.addresses[name]) for name in "xy")
            y[:] = [value * value + wrong for value in x]
            return True

    engine = SimpleNamespace(create_execution_context=Context)
    return SimpleNamespace(
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
    )


def test_running_copies_in_computes_copies_out_and_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Pageable()
    monkeypatch.setattr(trial, "import_module", lambda name: cuda)
    trial.run(runtime(cuda), b"plan")

    copies = [call for call in cuda.calls if call in ("cudaMemcpyAsync 1", "execute", "cudaMemcpyAsync 2")]
    assert copies == ["cudaMemcpyAsync 1", "execute", "cudaMemcpyAsync 2"]
    assert cuda.memory == {}
    assert cuda.calls[-1] == "cudaStreamDestroy"


def test_a_wrong_answer_or_a_failing_cuda_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Pageable()
    monkeypatch.setattr(trial, "import_module", lambda name: cuda)
    with pytest.raises(RuntimeError, match="an engine that squares"):
        trial.run(runtime(cuda, wrong=True), b"plan")

    failing = Pageable(fail="cudaMalloc")
    monkeypatch.setattr(trial, "import_module", lambda name: failing)
    with pytest.raises(RuntimeError, match="CUDA failed with cudaError2"):
        trial.run(runtime(failing), b"plan")


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_has_the_names_that_are_used(release: str) -> None:
    api = json.loads((API / f"{release}.json").read_text())

    assert {"create_network", "create_builder_config", "build_serialized_network"} <= set(api["Builder"])
    assert {"add_input", "add_elementwise", "mark_output"} <= set(api["INetworkDefinition"])
    assert {"set_tensor_address", "execute_async_v3"} <= set(api["IExecutionContext"])
    assert "get_output" in api["ILayer"]
    assert "STRONGLY_TYPED" in api["NetworkDefinitionCreationFlag"]


def test_the_other_process_imports_nothing_of_capsedge() -> None:
    spec = importlib.util.spec_from_file_location("alone", trial.__file__)
    assert spec is not None
    assert spec.loader is not None
    before = {name for name in sys.modules if name.startswith("capsedge")}
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert "capsedge" not in Path(trial.__file__).read_text().split('"""', 2)[2].replace("capsedge.", "")
    assert {name for name in sys.modules if name.startswith("capsedge")} == before
