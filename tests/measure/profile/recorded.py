"""A real profile by ONNX Runtime, and the graph that ran, for the tests of what reads them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from capsedge.measure.profile.layers import layers_of
from capsedge.measure.profile.ort_events import read_profile
from capsedge.measure.profile.recording import Recording, _kind
from capsedge.measure.profile.report import LayerTime
from capsedge.onnx_lite.graph import Graph, read_graph
from capsedge.onnx_lite.tensor import Tensor
from capsedge.runtime.feeds import Arrays


def optimized(model: onnx.ModelProto) -> Graph:
    """The graph that ONNX Runtime makes of a model on this machine."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return read_graph(Path(folder) / "optimized.onnx")


def profiled(model: onnx.ModelProto, feeds: list[Arrays], folder: Path) -> Path:
    """The file with the profile of one run for each of the feeds."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for each in feeds:
        session.run(None, each)
    return Path(session.end_profiling())


def loop(times: int) -> onnx.ModelProto:
    """A Loop of two nodes, which runs them so many times, and a node behind it."""
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    numbers = value("x", onnx.TensorProto.FLOAT, ["n", 4])
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Relu", ["x"], ["y"])],
        "body",
        [value("i", onnx.TensorProto.INT64, []), value("go", onnx.TensorProto.BOOL, []), numbers],
        [value("goes", onnx.TensorProto.BOOL, []), value("y", onnx.TensorProto.FLOAT, ["n", 4])],
    )
    graph = onnx.helper.make_graph(
        [node("Loop", ["times", "true", "x"], ["looped"], body=body), node("Neg", ["looped"], ["z"])],
        "loop",
        [numbers],
        [value("z", onnx.TensorProto.FLOAT, ["n", 4])],
        [
            onnx.numpy_helper.from_array(np.array(times), "times"),
            onnx.numpy_helper.from_array(np.array(True), "true"),
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def layers_of_run(model: onnx.ModelProto, batch: int) -> list[LayerTime]:
    """The layers of one run on black images, as of somebody's model."""
    return layers_of_feeds(model, {"image": np.zeros((batch, 28, 28, 1), np.uint8)})


def layers_of_feeds(model: onnx.ModelProto, feeds: Arrays) -> list[LayerTime]:
    """The layers of one run."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, file)
        runs = read_profile(profiled(model, [feeds], Path(folder)), keep=[True])
        inputs = {name: Tensor(_kind(array.dtype.name), array.shape) for name, array in feeds.items()}
        return list(layers_of(Recording(runs, [1.0], [1.0], 0, optimized(model), inputs), None, file))
