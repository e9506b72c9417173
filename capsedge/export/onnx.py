"""Export of a torch module to an ONNX model: named axes, no machine-specific data, reproducible bytes."""

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
OPSET = 20  # TensorRT builds 17 to 24; 19 and later have fp16 scales, for quantized graphs


def to_onnx(module: Deployable, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Export a module with a free batch axis.

    Args:
        module: The network with its preprocessing.
        shape: Height, width and channels of an image.

    Returns:
        A checked model with the input `image` and the named outputs of the module, without metadata.
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
    assert program is not None  # with dynamo=True the result is never None
    model: onnx.ModelProto = program.model_proto
    _forget_this_machine(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The same graph with a fixed batch and static shapes: NPU and CoreML providers refuse free axes.

    Args:
        model: A graph of `to_onnx`, in any precision.
        batch: Images in each run.
    """
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed  # imported here, since few exports need it

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
        ModelError: The file is not an ONNX file, or its external data is missing.
    """
    try:
        return onnx.load_model(str(path))
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise ModelError(f"'{path}' cannot be read as ONNX: {' '.join(str(error).split())}") from error


def output_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The axes of each output after the batch, by output name (`Contract.shapes`)."""
    return {
        output.name: tuple(axis.dim_value for axis in output.type.tensor_type.shape.dim[1:])
        for output in model.graph.output
    }


def save_with_contract(model: onnx.ModelProto, contract: Contract, path: Path) -> None:
    """Write the model with a contract as its only metadata."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, sealed(contract))
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))


def _forget_this_machine(model: onnx.ModelProto) -> None:
    """Remove what the exporter records about this machine: source paths and lines, names of traced tensors."""
    graph = model.graph
    annotated: Iterable[onnx.NodeProto | onnx.ValueInfoProto | onnx.TensorProto] = (
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    )
    for part in annotated:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graph.name = "capsedge"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log messages and warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
