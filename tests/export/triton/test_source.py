"""Only what the gate accepted, and what Triton can load, is served."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capsedge.contract import METADATA_KEY, Verdict
from capsedge.errors import ModelError
from capsedge.export.triton.source import ANY, Output, read_source
from capsedge.onnx_lite.file import read_onnx_file
from tests.export.triton.conftest import EngineMaker
from tests.export.typed_files import contract_in
from tests.runtime.capsule_model import graph, save_with

UNEXECUTED = Verdict(status="not executed here")


def rewrite(file: Path, model: onnx.ModelProto, **promises: Any) -> None:
    """Give the file another graph and other promises, under a true hash and seal."""
    contract = contract_in(file)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    onnx.save(bare, file)
    hashes = {"graph_sha256": read_onnx_file(file).graph_sha256}
    save_with(bare, msgspec.structs.replace(contract, **(hashes | promises)), file)


def test_an_accepted_file_is_served_as_onnx_runtime_states_its_outputs(accepted: Path) -> None:
    source = read_source(accepted, allow_unexecuted=False)

    assert (source.file, source.backend, source.batch) == (accepted, "onnxruntime", None)
    assert source.outputs == {"lengths": Output("TYPE_FP32", (10,)), "poses": Output("TYPE_FP32", (10, 16))}
    assert source.remarks == ("The gate accepted this file on CPUExecutionProvider.",)


def test_the_folder_of_a_run_means_its_model(accepted: Path) -> None:
    assert read_source(accepted.parent, allow_unexecuted=False).file == accepted


@pytest.mark.parametrize("verdict", [UNEXECUTED, Verdict(status="rejected", reasons=("a length differs",))])
def test_an_onnx_file_that_the_gate_did_not_accept_is_never_served(accepted: Path, verdict: Verdict) -> None:
    rewrite(accepted, graph(), verdict=verdict)

    with pytest.raises(
        ModelError, match=rf"was not accepted by the gate \('{verdict.status}'\), so it is not deployed"
    ):
        read_source(accepted, allow_unexecuted=True)


def test_an_onnx_file_that_the_gate_has_not_seen_is_never_served(accepted: Path) -> None:
    rewrite(accepted, graph(), verdict=None)

    with pytest.raises(
        ModelError, match="has no contract with a verdict, so it is not deployed: make it with capsedge"
    ):
        read_source(accepted, allow_unexecuted=True)


def test_somebody_elses_onnx_file_is_not_served(accepted: Path) -> None:
    onnx.save(graph(), accepted)

    with pytest.raises(ModelError, match="has no contract with a verdict"):
        read_source(accepted, allow_unexecuted=False)


def another_graph(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Abs"


def another_contract(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = entry.value.replace("Trouser", "Skirt")


@pytest.mark.parametrize(
    ("change", "said"), [(another_graph, "its graph was altered.*"), (another_contract, "its contract was altered")]
)
def test_a_file_that_was_altered_after_its_acceptance_is_not_served(
    change: Callable[[onnx.ModelProto], None], said: str, accepted: Path
) -> None:
    model = onnx.load(accepted)
    change(model)
    onnx.save(model, accepted)

    with pytest.raises(ModelError, match=rf"altered since its gate \({said}\): capsedge gate .*model\.onnx"):
        read_source(accepted, allow_unexecuted=False)


def test_a_file_for_one_batch_size_is_not_served(accepted: Path) -> None:
    rewrite(accepted, graph(batch=2))

    with pytest.raises(ModelError, match="has 'lengths' for a fixed batch of 2, so Triton cannot batch"):
        read_source(accepted, allow_unexecuted=False)


def test_what_onnx_runtime_works_out_counts_not_what_the_file_leaves_open(accepted: Path) -> None:
    """Triton compares with ONNX Runtime's axes, and takes no wildcard where there is a number."""
    rewrite(accepted, casting("poses", TensorProto.FLOAT, ("batch", 10, "dim")))

    assert read_source(accepted, allow_unexecuted=False).outputs["poses"] == Output("TYPE_FP32", (10, 16))


def test_an_axis_that_depends_on_the_image_stays_free(accepted: Path) -> None:
    """Nor does it take a number where there is a wildcard."""
    model = casting("poses", TensorProto.FLOAT, ("batch", 10, "some"))
    model.graph.node.pop()
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "first two"))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["poses32", "first two"], ["strongest"], keepdims=0),
            helper.make_node("Less", ["strongest", "one"], ["chosen"]),
            helper.make_node("Compress", ["poses32", "chosen"], ["poses"], axis=2),
        ]
    )
    rewrite(accepted, model)

    assert read_source(accepted, allow_unexecuted=False).outputs["poses"] == Output("TYPE_FP32", (10, ANY))


def test_outputs_of_other_types_are_told_as_they_are_or_refused(accepted: Path) -> None:
    rewrite(accepted, casting("poses", TensorProto.FLOAT16))
    assert read_source(accepted, allow_unexecuted=False).outputs["poses"] == Output("TYPE_FP16", (10, 16))

    rewrite(accepted, casting("poses", TensorProto.DOUBLE))
    with pytest.raises(
        ModelError, match=r"has 'poses' as tensor\(double\), but only tensor\(float\) or .* is served"
    ):
        read_source(accepted, allow_unexecuted=False)


def casting(name: str, kind: int, axes: tuple[str | int, ...] = ("batch", 10, 16)) -> onnx.ModelProto:
    """The small network with one output cast to another type."""
    model = graph()
    for node in model.graph.node:
        node.input[:] = [f"{each}32" if each == name else each for each in node.input]
        node.output[:] = [f"{each}32" if each == name else each for each in node.output]
    model.graph.node.append(helper.make_node("Cast", [f"{name}32"], [name], to=kind))
    output = next(each for each in model.graph.output if each.name == name)
    output.CopyFrom(helper.make_tensor_value_info(name, kind, axes))
    return model


def test_an_engine_that_the_gate_accepted_is_served(make_engine: EngineMaker) -> None:
    engine = make_engine()
    source = read_source(engine, allow_unexecuted=False)

    assert (source.file, source.backend, source.batch) == (engine, "tensorrt", (1, 8, 32))
    assert source.outputs == {"lengths": Output("TYPE_FP32", (10,)), "poses": Output("TYPE_FP32", (10, ANY))}
    assert source.remarks == (
        "Built by TensorRT 10.13.3.9: Triton must have this release, and run on this kind of GPU.",
        "The gate accepted this engine on CPUExecutionProvider.",
    )


@pytest.mark.parametrize(("labels", "axes"), [(1, (ANY, ANY, 1)), (2, (2, ANY, ANY, 1))])
def test_an_engine_with_a_decoder_gives_as_many_drawings_as_there_are_labels(
    make_engine: EngineMaker, labels: int, axes: tuple[int, ...]
) -> None:
    engine = make_engine(promises={"labels": labels, "outputs": ("lengths", "poses", "reconstruction")})

    assert read_source(engine, allow_unexecuted=False).outputs["reconstruction"] == Output("TYPE_FP32", axes)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"package": "tensorrt_rtx"}, "TensorRT-RTX, which Triton cannot load: serve its ONNX file, or build"),
        ({"verdict": Verdict(status="rejected")}, r"the gate rejected '.*model\.engine', so it is not served"),
        ({"batch": (4, 8, 32)}, r"takes batches of 4 or more.*build it again with --trt-batch 1,8,32"),
    ],
    ids=["RTX", "rejected", "no single image"],
)
def test_an_engine_that_triton_cannot_serve_says_what_to_do(
    make_engine: EngineMaker, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said) as told:
        read_source(make_engine(**fields), allow_unexecuted=True)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("verdict", [None, UNEXECUTED])
def test_an_engine_that_never_ran_is_served_only_where_that_is_allowed(
    make_engine: EngineMaker, verdict: Verdict | None
) -> None:
    engine = make_engine(verdict)

    with pytest.raises(ModelError, match="was not executed, so its results are not proved: gate it on its GPU"):
        read_source(engine, allow_unexecuted=False)
    assert (
        read_source(engine, allow_unexecuted=True)
        .remarks[1]
        .startswith("NOT EXECUTED: the gate has not run this engine")
    )


def test_an_engine_that_its_manifest_does_not_describe_is_not_served(make_engine: EngineMaker) -> None:
    engine = make_engine()
    engine.write_bytes(b"another engine")

    with pytest.raises(
        ModelError, match=r"it is not the engine that its manifest describes.*copy the engine and its"
    ):
        read_source(engine, allow_unexecuted=False)


def test_an_engine_that_was_built_elsewhere_is_served_with_what_is_not_known_of_it(make_engine: EngineMaker) -> None:
    engine = make_engine(UNEXECUTED, deferred="trtexec ...", engine_sha256="", package_version="")
    release, unchecked, verdict = read_source(engine, allow_unexecuted=True).remarks

    assert release.startswith("Built by TensorRT of an unknown release: Triton must have")
    assert unchecked.startswith("Unchecked: its manifest was written before it was built")
    assert verdict.startswith("NOT EXECUTED")


def test_the_gpu_that_an_engine_is_bound_to_is_named(make_engine: EngineMaker) -> None:
    bound = read_source(make_engine(gpu="NVIDIA L4"), allow_unexecuted=False).remarks[0]
    free = read_source(make_engine(gpu="NVIDIA L4", hardware_compatible=True), allow_unexecuted=False).remarks[0]

    assert bound.startswith(
        "Built by TensorRT 10.13.3.9 on NVIDIA L4: Triton must have this release, and run on this"
    )
    assert free == "Built by TensorRT 10.13.3.9 on NVIDIA L4: Triton must have this release."


def test_what_is_neither_onnx_nor_an_engine_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "model.onnx.rejected").write_bytes(b"x")

    with pytest.raises(ModelError, match=r"must be an \.onnx file, an \.engine file or the folder of a run"):
        read_source(tmp_path / "model.onnx.rejected", allow_unexecuted=False)
