"""ONNX Runtime as the doctor proves it: by a node and by a network, and what is said where it does not start."""

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest
from msgspec.structs import replace

from capsedge.errors import ProviderError
from capsedge.measure.doctor import libraries
from capsedge.measure.doctor import providers as doctor_providers
from capsedge.measure.doctor.packages import version_of
from capsedge.measure.doctor.providers import find_onnxruntime, find_openvino, find_provider
from capsedge.runtime import models as built_in
from capsedge.runtime import one_node
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import plugin
from capsedge.runtime.ort.options import provider_chain
from capsedge.runtime.providers import OrtProvider
from capsedge.runtime.session import Session
from capsedge.runtime.settings import Settings
from capsedge.runtime.verify import Verification, verify
from tests.measure.doctor.places import GIVEN_NONE, JETSON, NOTHING, WORKSTATION
from tests.runtime.ort.test_wheels import install

no_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")


@pytest.fixture(autouse=True)
def builtin(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of built-in models that holds the default one; nothing is hidden from CUDA."""
    folder = tmp_path / "builtin"
    folder.mkdir()
    shutil.copy(good, folder / "fashion-mnist.onnx")
    monkeypatch.setattr(built_in, "BUILTIN", folder)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime lists what its GPU wheel lists, also where no GPU is."""
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


def test_the_cpu_is_proved_by_a_node_and_the_golden_sample() -> None:
    found = find_provider("cpu", NOTHING)

    assert found.state == "works"
    assert found.detail.startswith("runs a node; fashion-mnist (built in) gives the golden lengths of 5 images, to ")


def test_a_network_that_fails_its_golden_sample_is_broken_where_a_node_runs(models: Path, builtin: Path) -> None:
    shutil.copy(models / "altered-weight.onnx", builtin / "fashion-mnist.onnx")
    found = find_provider("cpu", NOTHING)

    assert found.state == "broken"
    assert found.detail.startswith("runs a node, but not the built-in network: ")
    assert "its weights classes.weight were altered" in found.detail
    assert found.advice == "install capsedge again, in a checkout by pip install --force-reinstall --no-deps ."


def test_a_built_in_model_that_was_cut_off_is_brought_back_by_an_installation(models: Path, builtin: Path) -> None:
    shutil.copy(models / "truncated.onnx", builtin / "fashion-mnist.onnx")

    assert (
        find_provider("cpu", NOTHING).advice
        == "install capsedge again, in a checkout by pip install --force-reinstall --no-deps ."
    )


def test_a_library_that_computes_otherwise_is_not_mended_by_another_copy_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(session: Session) -> Verification:
        return replace(verify(session), problems=("a length is off by 0.5",))

    monkeypatch.setattr(doctor_providers, "verify", wrong)
    found = find_provider("cpu", NOTHING)

    assert (found.state, found.code, found.advice) == ("broken", "golden-sample", "")


def test_a_node_that_computes_wrongly_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = one_node._one_node().replace(b"\x03Mul", b"\x03Sub")
    monkeypatch.setattr(one_node, "_one_node", lambda: wrong)
    found = find_provider("cpu", NOTHING)

    assert found.state == "broken"
    assert "a node that squares" in found.detail


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_the_wheel_lacks_names_the_wheel_only_where_a_gpu_is(provider: OrtProvider) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this is the GPU wheel")
    with_gpu, without, jetson = (find_provider(provider, place) for place in (WORKSTATION, NOTHING, JETSON))

    assert {found.state for found in (with_gpu, without, jetson)} == {"missing"}
    assert with_gpu.advice == "pip uninstall -y onnxruntime, then pip install 'capsedge[gpu]'"
    assert without.advice == ""
    assert "JetPack" in jetson.advice


@no_gpu
@pytest.mark.usefixtures("listed")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_missing_without_a_gpu_and_broken_with_one() -> None:
    for presence in (NOTHING, GIVEN_NONE):
        found = find_provider("cuda", presence)
        assert (found.state, found.advice) == ("missing", "")
        assert found.detail.endswith("but there is no GPU for it")
    broken = find_provider("cuda", WORKSTATION)
    assert broken.state == "broken"
    assert "'cuda' was asked for" in broken.detail


@no_gpu
@pytest.mark.usefixtures("listed")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_libraries_that_are_absent_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"libonnxruntime_providers_tensorrt.so": ["libcudnn.so.9", "libcuda.so.1"]}
    monkeypatch.setattr(libraries, "absent", lambda file: lacking[file.name])
    found = find_provider("tensorrt", WORKSTATION)

    assert (found.state, found.code) == ("broken", "missing-libraries")
    assert found.detail == "not found: libcudnn.so.9, libcuda.so.1"
    assert found.advice == "pip install 'onnxruntime-gpu[cuda,cudnn]', then install NVIDIA's driver"


@no_gpu
def test_the_plugin_s_own_library_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{plugin.MODULE}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    lacking = {tmp_path / "libonnxruntime_providers_nv_tensorrt_rtx.so": ["libcuda.so.1"]}
    monkeypatch.setattr(libraries, "absent", lambda file: lacking[file])
    monkeypatch.setattr(doctor_providers, "run_one_node", failing("its plugin does not load"))

    assert find_provider("tensorrt-rtx", WORKSTATION).detail == "not found: libcuda.so.1"
    assert find_provider("tensorrt-rtx", NOTHING).state == "missing"


def test_a_gpu_that_is_none_for_the_plugin_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plugin's own words, where it registers and lists no device."""

    class Ort:
        def register_execution_provider_library(self, name: str, path: str) -> None: ...

        def get_ep_devices(self) -> list[object]:
            return []

    module = ModuleType(plugin.MODULE)
    vars(module).update(get_ep_name=lambda: "rtx", get_library_path=lambda: "rtx.so")
    monkeypatch.setitem(sys.modules, plugin.MODULE, module)
    monkeypatch.setattr(doctor_providers, "absent", lambda ort, provider: "")
    monkeypatch.setattr(doctor_providers, "run_one_node", lambda provider: plugin.devices_of_plugin(Ort()))
    found = find_provider("tensorrt-rtx", WORKSTATION)

    assert (found.state, found.code) == ("missing", "gpu-not-supported")
    assert "RTX GPU" in found.detail


def failing(reason: str) -> Callable[..., None]:
    """Something that refuses to run."""

    def fail(provider: OrtProvider) -> None:
        raise ProviderError(reason)

    return fail


def test_no_onnxruntime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = find_onnxruntime()

    assert (found.state, found.code) == ("missing", "missing-extra")
    assert found.advice == "pip install 'capsedge[cpu]'"
    assert find_provider("cpu", NOTHING).detail == "needs a working ONNX Runtime"


def test_two_wheels_are_broken_and_parted_by_the_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime-directml", "1.30.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_onnxruntime()

    assert found.state == "broken"
    assert "onnxruntime-directml" in found.detail
    assert found.detail.endswith("are both installed and overwrite each other's files")
    assert found.advice.startswith("pip uninstall -y ")


def test_kernels_that_a_proof_compiles_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands for TensorRT-RTX here: its sessions are opened while the cache is elsewhere."""
    folders = []

    def opened(file: Path, settings: Settings) -> Session:
        ((_, options),) = provider_chain("tensorrt-rtx", None)
        folders.append(Path(options["nv_runtime_cache_path"]))
        return open_session(file, settings)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (doctor_providers, one_node):
        monkeypatch.setattr(module, "open_session", opened)
    assert find_provider("cpu", NOTHING).state == "works"
    assert len(folders) == 2
    assert not [folder for folder in (*folders, tmp_path / "cache") if folder.exists()]
    ((_, options),) = provider_chain("tensorrt-rtx", None)
    assert options["nv_runtime_cache_path"] == str(tmp_path / "cache" / "capsedge" / "tensorrt-rtx")


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed: make setup installs it")
def test_openvino_runs_a_node_and_the_golden_sample() -> None:
    found = find_openvino()

    assert (found.state, found.provider, found.code) == ("works", "openvino", "")
    assert found.detail.startswith(f"openvino {version_of('openvino')}: runs a node; fashion-mnist (built in) gives")


def test_openvino_that_is_not_installed_is_missing_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = find_openvino()

    assert (found.state, found.advice) == ("missing", "pip install 'capsedge[openvino]'")


def test_openvino_that_computes_wrongly_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_providers, "run_one_node", failing("it gives other numbers"))

    assert find_openvino().state == "broken"
