"""Where ONNX Runtime runs a model: nothing falls back to the CPU in silence.

There is no GPU here. The real ONNX Runtime gives a CPU session to who asks for CUDA without one, which is what must
be caught; its Azure provider, which starts and runs no node, stands for a GPU that cannot run a graph.
"""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import msgspec
import onnxruntime
import pytest

from capsedge.errors import ModelError, ProviderError
from capsedge.runtime import placement
from capsedge.runtime.open import open_session
from capsedge.runtime.providers import Provider
from tests.runtime.capsule_model import graph, save, save_with

CPU = "CPUExecutionProvider"


without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")


@pytest.fixture
def _gpu_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """List the providers that the GPU wheel lists, on machines with and without a GPU alike."""
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)


@without_gpu
@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.usefixtures("_gpu_wheel")
@pytest.mark.parametrize(
    ("provider", "needs"),
    [("cuda", r"needs an NVIDIA GPU .*cudnn\]'\)$"), ("tensorrt", r"needs an NVIDIA GPU .* and TensorRT 10$")],
)
def test_a_gpu_that_is_not_there_is_an_error_and_not_a_cpu_session(
    good: Path, capfd: pytest.CaptureFixture[str], provider: Provider, needs: str
) -> None:
    with pytest.raises(ProviderError, match=rf"'{provider}' was asked for, but .* gives {CPU}.*: it {needs}"):
        open_session(good, provider=provider)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_wheel_without_the_provider_names_the_one_to_install(good: Path, provider: Provider) -> None:
    if placement.ORT_NAMES[provider] in onnxruntime.get_available_providers():
        pytest.skip("this is the GPU wheel")
    with pytest.raises(
        ProviderError, match=rf"'{provider}' was asked for, .* brings only .*{CPU}.*pip install 'capsedge\[gpu\]'"
    ):
        open_session(good, provider=provider)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.usefixtures("_gpu_wheel")
def test_a_damaged_file_is_called_damaged_and_no_gpu_is_blamed(models: Path) -> None:
    with pytest.raises(ModelError, match="is not a whole ONNX file"):
        open_session(models / "truncated.onnx", provider="cuda")


def test_a_provider_that_starts_but_cannot_run_the_nodes_is_refused(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this wheel has no second provider")
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")

    with pytest.raises(ProviderError, match=r"but \d+ nodes of '.*' would run on the CPU \(.*Conv.*\): choose"):
        open_session(good, provider="cuda")


def test_a_provider_that_onnxruntime_dropped_without_an_error_is_noticed(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def opened(*_: object, **keywords: object) -> SimpleNamespace:
        asked.append(keywords)
        return SimpleNamespace(get_providers=lambda: [CPU], disable_fallback=lambda: None)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)

    with pytest.raises(ProviderError, match=f"'cuda' was asked for, but .* gives {CPU}"):
        open_session(good, provider="cuda")
    # The CPU is not among the providers, and the retry of ONNX Runtime's Python layer is off.
    assert asked == [{"providers": [("CUDAExecutionProvider", {"use_tf32": "0"})], "enable_fallback": 0}]


@pytest.mark.parametrize(("kind", "switches"), [("fp32", {}), ("int8", {"trt_int8_enable": "1"})])
def test_tensorrt_may_compute_in_the_types_of_the_file_and_no_others(
    kind: str, switches: dict[str, str], tmp_path: Path
) -> None:
    model = graph()
    contract = save(model, tmp_path / "model.onnx")
    layers = tuple(msgspec.structs.replace(layer, type=kind) for layer in contract.layers)
    save_with(model, msgspec.structs.replace(contract, layers=layers), tmp_path / "model.onnx")
    assert placement._chain(tmp_path / "model.onnx", "tensorrt") == [
        ("TensorrtExecutionProvider", switches),
        ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ]


def test_the_providers_named_are_those_that_run_a_node() -> None:
    def assigned(**nodes: list[str]) -> SimpleNamespace:
        parts = [
            SimpleNamespace(ep_name=provider, get_nodes=lambda ops=ops: [SimpleNamespace(op_type=op) for op in ops])
            for provider, ops in nodes.items()
        ]
        providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
        return SimpleNamespace(get_providers=lambda: providers, get_provider_graph_assignment_info=lambda: parts)

    both = assigned(CUDAExecutionProvider=["Cast"], TensorrtExecutionProvider=["Conv"])
    assert placement.placed_on(both) == "TensorrtExecutionProvider+CUDAExecutionProvider"
    assert placement.placed_on(assigned(CUDAExecutionProvider=["Conv"])) == "CUDAExecutionProvider"
    # An older ONNX Runtime tells only which providers were started.
    assert placement.placed_on(SimpleNamespace(get_providers=lambda: [CPU])) == CPU


def test_the_library_that_a_provider_lacks_is_named(tmp_path: Path) -> None:
    """The GPU wheel's provider library asks for libcublasLt.so.13: here, a library that asks for another."""
    libraries = tmp_path / "capi"
    libraries.mkdir()
    _link(tmp_path / "libabsent.so", "int absent(void) { return 1; }")
    _link(
        libraries / "libonnxruntime_providers_cuda.so",
        "int absent(void); int f(void) { return absent(); }",
        str(tmp_path / "libabsent.so"),
    )
    wheel = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    (tmp_path / "libabsent.so").rename(tmp_path / "elsewhere.so")

    assert placement._missing_library(wheel, "cuda") == str(tmp_path / "libabsent.so")
    assert placement._missing_library(wheel, "tensorrt") is None


def _link(library: Path, source: str, *needs: str) -> None:
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-", "-x", "none", *needs],
            input=source.encode(),
            check=True,
            capture_output=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("there is no C compiler here")
