"""Layers of an engine by TensorRT's names, of a stand-in: no engine has been profiled yet."""

from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import onnx
import pytest

from capsedge.contract import Contract, Layer
from capsedge.measure.profile.engine_layers import engine_layers, engine_times
from capsedge.runtime.session import QueryBreakdown
from capsedge.runtime.tensorrt.session import EngineSession
from tests.runtime.capsule_model import graph, save

LAYERS = tuple(
    Layer(name=name, op=op, type="fp32", output="fp32", flops=flops, parameters=parameters)
    for name, op, flops, parameters in (
        ("conv1.weight", "Conv", 259_200, 324),
        ("conv2.weight", "Conv", 186_624, 2_592),
        ("classes.weight", "Gemm", 92_160, 46_080),
    )
)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return msgspec.structs.replace(save(graph(), tmp_path_factory.mktemp("m") / "m.onnx"), layers=LAYERS)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """The name of an engine, with the ONNX file that it was built from beside it, every node named by its result."""
    model = graph()
    for node in model.graph.node:
        node.name = f"node_{node.output[0]}"
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.engine"


def test_fused_layers_are_told_by_the_nodes_in_their_names(engine: Path, contract: Contract) -> None:
    times = [
        ("Reformatting CopyNode for Input Tensor 0 to node_c1", 1.0),
        ("node_c1 + node_r1", 10.0),
        ("node_c2", 20.0),
        ("{ForeignNode[node_v.norm...node_v]}", 2.0),
        ("node_s_flat", 4.0),
        ("{ForeignNode[node_s_flat...node_lengths]}", 3.0),
        ("__myl_Fused_0", 1.0),
        ("{ForeignNode[node_c1...node_s_flat]}", 50.0),
    ]
    found = list(engine_layers(engine, contract, times, batch=8))

    assert [layer.stage for layer in found] == [
        *("layout and conversions", "stem", "primary capsules", "squash", "class capsules"),
        *("several at once", "unknown", "several at once"),
    ]
    conv1 = contract.layers[0]
    assert (found[1].layer, found[1].flops) == ("conv1.weight", 8 * conv1.flops)
    assert found[1].gflops == pytest.approx(8 * conv1.flops / 10e-6 / 1e9)
    assert found[0].flops is None
    assert found[-1].layer == "conv1.weight + conv2.weight + classes.weight"


def test_without_the_onnx_file_the_stages_are_not_known(tmp_path: Path, contract: Contract) -> None:
    (layer,) = engine_layers(tmp_path / "lonely.engine", contract, [("node_c1 + node_r1", 10.0)], batch=1)

    assert (layer.stage, layer.layer, layer.time_us) == ("unknown", "", 10.0)


def test_the_rest_of_a_run_is_what_the_layers_do_not_explain() -> None:
    class StandIn:
        def feeds(self, batch: int) -> dict[str, Any]:
            return {"image": np.zeros((batch, 28, 28, 1), np.uint8)}

        def run_raw(self, feeds: object) -> dict[str, Any]:
            return {}

        def run_with_breakdown(self, feeds: object) -> QueryBreakdown:
            return QueryBreakdown(0.01, 0.05, 0.01)

        def layer_times(self, feeds: object, runs: int) -> list[tuple[str, float]]:
            assert runs == 60
            return [("a", 0.03), ("b", 0.01)]

    times = engine_times(cast(EngineSession, StandIn()), 4, 60)

    assert times.layers == [("a", 30.0), ("b", 10.0)]
    assert times.whole.plain_us == pytest.approx(50.0)
    assert times.whole.between_us == pytest.approx(10.0)
    assert times.whole.profiled_us is None
