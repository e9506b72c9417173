"""Engines are code, and run only from the path that was given: nothing else stands for one or brings one."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import capsedge
from capsedge.errors import ModelError
from capsedge.runtime.inspection import inspect_model
from capsedge.runtime.models import find_model
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import placement
from capsedge.runtime.providers import OrtProvider, Provider
from capsedge.runtime.settings import Settings
from tests.runtime.capsule_model import graph, images, save
from tests.runtime.engines import Build, Install, build, contract, install

__all__ = ["build", "contract", "install"]

PACKAGE = Path(capsedge.__file__).parent


@pytest.mark.parametrize(
    ("call", "modules"),
    [
        ("EngineSession(", ["runtime/open.py", "runtime/tensorrt/session.py"]),
        # The doctor's own engine, x * x, which it has just built in memory.
        (".deserialize_cuda_engine(", ["measure/doctor/trial.py", "runtime/tensorrt/session.py"]),
    ],
)
def test_one_function_opens_engines(call: str, modules: list[str]) -> None:
    holders = [path for path in PACKAGE.rglob("*.py") if call in path.read_text(encoding="utf-8")]

    assert sorted(path.relative_to(PACKAGE).as_posix() for path in holders) == modules


def test_no_folder_and_no_name_stands_for_an_engine(
    build: Build, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines that would run lie in the newest run, in the working directory, and under a model's name."""
    install()
    built = build()
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"status": "finished"}')
    for engine in (run / "model.engine", tmp_path / "builtin.engine", tmp_path / "fashion-mnist.engine"):
        for suffix in ("", ".json"):
            os.link(f"{built}{suffix}", f"{engine}{suffix}")
    monkeypatch.chdir(tmp_path)

    for model in (None, "builtin", "fashion-mnist"):
        assert find_model(model).suffix == ".onnx"
    with pytest.raises(ModelError, match=r"holds no model\.onnx"):
        open_session(find_model("runs/mine"))
    save(graph(), run / "model.onnx")
    for each in (None, "runs/mine", "runs/mine/model.onnx"):
        with open_session(find_model(each)) as session:
            assert session.file.suffix == ".onnx"
            session.run(images(1))
    with open_session(find_model("runs/mine/model.engine")) as session:  # it is there, and runs by its path
        assert session.file.suffix == ".engine"


def in_the_graph(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info("engine", TensorProto.FLOAT, ["batch"]))


def in_a_branch(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    branch = helper.make_graph([node], "branch", [], [helper.make_empty_tensor_value_info("engine")])
    model.graph.node.append(helper.make_node("If", ["one"], ["branched"], then_branch=branch, else_branch=branch))


def in_a_function(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    imports = [helper.make_opsetid("com.microsoft", 1)]
    model.functions.append(helper.make_function("mine", "Hidden", ["image"], ["engine"], [node], imports))
    model.graph.node.append(helper.make_node("Hidden", ["image"], ["hidden"], domain="mine"))
    model.opset_import.append(helper.make_opsetid("mine", 1))


Place = Callable[[onnx.ModelProto, onnx.NodeProto], None]
EMBEDDED, REFERRED = (1, b"a serialized engine"), (0, b"cache/somebodys.engine")


def with_an_engine(file: Path, place: Place, embed_mode: int, context: bytes) -> Path:
    """A model, and in it the node with which ONNX Runtime saves what TensorRT compiled."""
    node = helper.make_node(
        "EPContext",
        ["image"],
        ["engine"],
        domain="com.microsoft",
        embed_mode=embed_mode,
        ep_cache_context=context,
        source="TensorrtExecutionProvider",
    )
    model = graph()
    place(model, node)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx", "cuda"])
@pytest.mark.parametrize("engine", [EMBEDDED, REFERRED], ids=["embedded", "referred"])
@pytest.mark.parametrize("place", [in_the_graph, in_a_branch, in_a_function])
def test_an_engine_within_an_onnx_file_is_refused_before_the_runtime_sees_it(
    place: Place, engine: tuple[int, bytes], provider: OrtProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def opened(*given: object, **_: object) -> SimpleNamespace:
        seen.append(given)
        return SimpleNamespace()

    offered = [placement.ORT_NAMES[provider], "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    file = with_an_engine(tmp_path / "model.onnx", place, *engine)

    with pytest.raises(ModelError, match=r"model\.onnx' has a node EPContext, which loads an engine .* --trt makes"):
        open_session(file, Settings(provider=provider))
    assert seen == []


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_on_a_processor_the_runtime_refuses_it_and_the_reason_is_told(provider: Provider, tmp_path: Path) -> None:
    if provider == "openvino":
        pytest.importorskip("openvino")
    file = with_an_engine(tmp_path / "model.onnx", in_the_graph, *EMBEDDED)

    with pytest.raises(ModelError, match="has a node EPContext"):
        open_session(file, Settings(provider=provider))
    assert inspect_model(file).weights_bytes  # nothing runs, so its facts can be read
