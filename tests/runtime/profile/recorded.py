"""A real profile by ONNX Runtime, and the graph that ran, for the tests of what reads them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from capsedge.runtime.profile.graph import Graph, Tensor, read_graph
from capsedge.runtime.profile.layers import layers_of
from capsedge.runtime.profile.ort_events import read_profile
from capsedge.runtime.profile.recording import Recording
from capsedge.runtime.profile.report import LayerTime


def optimized(model: onnx.ModelProto) -> Graph:
    """The graph that ONNX Runtime makes of a model on this machine."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return read_graph(Path(folder) / "optimized.onnx")


def profiled(model: onnx.ModelProto, batches: list[int]) -> bytes:
    """The profile of one run for each batch of images."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for batch in batches:
            session.run(None, {"image": np.zeros((batch, 28, 28, 1), np.uint8)})
        return Path(session.end_profiling()).read_bytes()


def layers_of_run(model: onnx.ModelProto, batch: int) -> list[LayerTime]:
    """The layers of one run, as of somebody's model."""
    runs = read_profile(profiled(model, [batch]), keep=[True])
    recording = Recording(runs, [1.0], [1.0], 0, optimized(model), {"image": Tensor("uint8", (batch, 28, 28, 1))})
    return list(layers_of(recording, None, Path("nowhere")))
