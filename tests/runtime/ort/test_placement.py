"""Where ONNX Runtime runs a model: nothing falls back to the CPU in silence.

There is no GPU here. The real ONNX Runtime gives a CPU session to who asks for CUDA without one, which is what must
be caught; its Azure provider, which starts and runs no node, stands for a GPU that cannot run a graph.
"""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import onnxruntime
import pytest

from capsedge.errors import ModelError, ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import placement
from capsedge.runtime.providers import OrtProvider
from capsedge.runtime.settings import Settings
from tests.runtime.capsule_model import evaluate, graph, images, save, save_with

CPU = "CPUExecutionProvider"
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

SESSION = onnxruntime.InferenceSession.__base__
TOLD_BY = "get_provider_graph_assignment_info"

has_azure = pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(), reason="this wheel has no second provider"
)
tells = pytest.mark.skipif(not hasattr(SESSION, TOLD_BY), reason="this ONNX Runtime does not tell where nodes run")
without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")


@pytest.fixture
def _gpu_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """List the providers that the GPU wheel lists, on machines with and without a GPU alike."""
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)


@without_gpu
@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.usefixtures("_gpu_wheel")
@pytest.mark.parametrize("may_fall_back", [False, True])
@pytest.mark.parametrize(
    ("provider", "needs"),
    [("cuda", r"needs an NVIDIA GPU .*cudnn\]'\)$"), ("tensorrt", r"needs an NVIDIA GPU .* and TensorRT 10$")],
)
def test_a_gpu_that_is_not_there_is_an_error_and_not_a_cpu_session(
    good: Path, capfd: pytest.CaptureFixture[str], provider: OrtProvider, needs: str, *, may_fall_back: bool
) -> None:
    with pytest.raises(ProviderError, match=rf"'{provider}' was asked for, but .* gives {CPU}.*: it {needs}"):
        open_session(good, Settings(provider=provider, allow_fallback=may_fall_back))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_wheel_without_the_provider_names_the_one_to_install(good: Path, provider: OrtProvider) -> None:
    if placement.ORT_NAMES[provider] in onnxruntime.get_available_providers():
        pytest.skip("this is the GPU wheel")
    with pytest.raises(
        ProviderError, match=rf"'{provider}' was asked for, .* brings only .*{CPU}.*pip install 'capsedge\[gpu\]'"
    ):
        open_session(good, Settings(provider=provider))


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.usefixtures("_gpu_wheel")
def test_a_damaged_file_is_called_damaged_and_no_gpu_is_blamed(models: Path) -> None:
    with pytest.raises(ModelError, match="is not a whole ONNX file"):
        open_session(models / "truncated.onnx", Settings(provider="cuda"))


@has_azure
@tells
def test_a_provider_that_starts_but_cannot_run_the_nodes_is_refused(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")

    with pytest.raises(ProviderError, match=r"but \d+ nodes of '.*' would run on the CPU \(.*Conv.*\): choose"):
        open_session(good, Settings(provider="cuda"))


@has_azure
def test_what_an_older_onnxruntime_leaves_on_the_cpu_is_refused_without_its_names(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SESSION, TOLD_BY, raising=False)
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")

    with pytest.raises(
        ProviderError,
        match=r"but nodes of '.*' would run on the CPU \(this ONNX Runtime does not tell which\): choose",
    ):
        open_session(good, Settings(provider="cuda"))
    with open_session(good, Settings(provider="cuda", allow_fallback=True)) as session:
        assert "does not tell which nodes run there" in session.provider
        assert session.fell_back == ()


@has_azure
@tells
def test_nodes_that_may_fall_back_are_named(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")

    with open_session(good, Settings(provider="cuda", allow_fallback=True, io_binding=False)) as session:
        lengths = session.run(images(2)).lengths

    assert session.provider == CPU  # no node runs elsewhere
    assert {"Conv", "Gemm"} < set(session.fell_back)
    assert list(session.fell_back) == sorted(set(session.fell_back))
    np.testing.assert_allclose(lengths, evaluate(good, images(2))[0], atol=1e-5)


def test_a_node_that_went_to_the_cpu_though_it_was_closed_is_noticed(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ONNX Runtime that does not know the strict setting ignores it."""
    opened = assigned(["CUDAExecutionProvider", CPU], CUDAExecutionProvider=["Conv"], CPUExecutionProvider=["Cast"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: opened)

    with pytest.raises(ProviderError, match=r"but 1 nodes of '.*' would run on the CPU \(Cast\)"):
        open_session(good, Settings(provider="cuda"))


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
        open_session(good, Settings(provider="cuda"))
    # The CPU is not among the providers, and the retry of ONNX Runtime's Python layer is off.
    assert asked == [{"providers": [("CUDAExecutionProvider", CUDA_OPTIONS)], "enable_fallback": 0}]


@pytest.mark.parametrize(("kind", "switches"), [("fp32", {}), ("int8", {"trt_int8_enable": "1"})])
def test_tensorrt_may_compute_in_the_types_of_the_file_and_no_others(
    kind: str, switches: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = save(graph(), tmp_path / "model.onnx")
    layers = tuple(msgspec.structs.replace(layer, type=kind) for layer in contract.layers)
    save_with(graph(), msgspec.structs.replace(contract, layers=layers), tmp_path / "model.onnx")
    asked: list[object] = []

    def opened(*_: object, providers: object, **__: object) -> SimpleNamespace:
        asked.append(providers)
        return assigned(["TensorrtExecutionProvider"], TensorrtExecutionProvider=["Conv"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    open_session(tmp_path / "model.onnx", Settings(provider="tensorrt"))

    cuda = ("CUDAExecutionProvider", CUDA_OPTIONS)
    # Its cache would load engines from the working directory, which nobody named.
    assert asked == [[("TensorrtExecutionProvider", {"trt_engine_cache_enable": "0", **switches}), cuda]]


@pytest.mark.parametrize(
    ("started", "nodes", "settings", "found"),
    [
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU],
            {"CUDAExecutionProvider": ["Cast"], "TensorrtExecutionProvider": ["Conv"]},
            Settings(provider="tensorrt"),
            ("TensorrtExecutionProvider+CUDAExecutionProvider", "gpu", ()),
        ),
        (
            ["CUDAExecutionProvider", CPU],
            {CPU: ["Shape", "Cast", "Shape"], "CUDAExecutionProvider": ["Conv"]},
            Settings(provider="cuda", allow_fallback=True),
            (f"CUDAExecutionProvider+{CPU}", "gpu", ("Cast", "Shape")),
        ),
        ([CPU], {CPU: ["Conv"]}, Settings(), (CPU, "cpu", ())),
        (
            ["CUDAExecutionProvider", CPU],
            {CPU: ["Cast"]},
            Settings(provider="cuda", allow_fallback=True),
            (CPU, "cpu", ("Cast",)),
        ),
        # Releases that record nothing: certain only where there is one possibility.
        ([CPU], None, Settings(), (CPU, "cpu", ())),
        (["CUDAExecutionProvider", CPU], None, Settings(provider="cuda"), ("CUDAExecutionProvider", "gpu", ())),
        (
            *(["CUDAExecutionProvider", CPU], None, Settings(provider="cuda", allow_fallback=True)),
            ("CUDAExecutionProvider (ONNX Runtime 1.20.1 does not tell which nodes run there)", "gpu", ()),
        ),
        (
            *(["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU], None, Settings(provider="tensorrt")),
            ("TensorrtExecutionProvider (ONNX Runtime 1.20.1 does not tell which nodes run there)", "gpu", ()),
        ),
    ],
)
def test_the_providers_named_are_those_that_run_a_node(
    started: list[str],
    nodes: dict[str, list[str]] | None,
    settings: Settings,
    found: tuple[str, str, tuple[str, ...]],
) -> None:
    opened = SimpleNamespace(get_providers=lambda: started) if nodes is None else assigned(started, **nodes)
    assert placement.placement_of(SimpleNamespace(__version__="1.20.1"), opened, settings) == found


def assigned(started: list[str], /, **nodes: list[str]) -> SimpleNamespace:
    """An opened model, as far as it tells where its nodes run."""
    parts = [
        SimpleNamespace(ep_name=provider, get_nodes=lambda ops=ops: [SimpleNamespace(op_type=op) for op in ops])
        for provider, ops in nodes.items()
    ]
    return SimpleNamespace(
        get_providers=lambda: started,
        get_provider_graph_assignment_info=lambda: parts,
        get_inputs=list,
        get_outputs=list,
        disable_fallback=lambda: None,
        io_binding=lambda: None,
    )


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
