"""From a torch module to an ONNX model: named axes, no traces of this machine, the same bytes every time."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError

from capsedge.contract import Contract, sealed
from capsedge.errors import ModelError
from capsedge.export.collapse import Deployable
from capsedge.files import replacing

BATCH_AXIS = "batch"
OPSET = 20  # 17 to 24 build in TensorRT; 19 and later know fp16 scales, for quantized graphs


def to_onnx(module: Deployable, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Export a module with a free batch axis.

    Args:
        module: The network with its preprocessing.
        shape: Height, width and channels of an image.

    Returns:
        A checked model with input `image` and the outputs of the module, by their names, without metadata.
    """
    with _quiet():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, *shape, dtype=torch.uint8),),
            input_names=["image"],
            output_names=[*module.outputs],
            dynamo=True,
            dynamic_shapes=({0: BATCH_AXIS},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # with dynamo=True there is always a program
    model: onnx.ModelProto = program.model_proto
    _forget_this_machine(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The same graph with a fixed batch, and every shape in it known: NPU and CoreML providers refuse free axes.

    Args:
        model: A graph of `to_onnx`, in any precision.
        batch: Images in each run.
    """
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed  # few exports need it

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    make_dim_param_fixed(fixed.graph, BATCH_AXIS, batch)
    result = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)
    onnx.checker.check_model(result, full_check=True)
    return result


def load_graph(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ModelError: It is no ONNX file, or weights that it keeps in other files are not there.
    """
    try:
        return onnx.load_model(str(path))
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise ModelError(f"'{path}' cannot be read as ONNX: {' '.join(str(error).split())}") from error


def output_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The axes of each output after the batch, by its name (`Contract.shapes`)."""
    return {
        output.name: tuple(axis.dim_value for axis in output.type.tensor_type.shape.dim[1:])
        for output in model.graph.output
    }


def save_with_contract(model: onnx.ModelProto, contract: Contract, path: Path) -> None:
    """Write the model with a contract in its metadata, in place of any it has."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, sealed(contract))
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))


def _forget_this_machine(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about its own run: source paths and lines, names of traced tensors."""
    graph = model.graph
    noted: Iterable[onnx.NodeProto | onnx.ValueInfoProto | onnx.TensorProto] = (
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    )
    for part in noted:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graph.name = "capsedge"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on its own workings off the user's screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
