"""Files of lower precision for tests of the gate, made with other tools than capsedge export."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from capsedge.contract import Contract, Precision, contract_of
from capsedge.export.layers import layers_of
from capsedge.export.onnx import save_with_contract
from capsedge.export.precision.half import in_half
from capsedge.onnx_file import read_onnx_file
from capsedge.training import Run


def typed_file(run: Run, precision: Precision) -> Path:
    """The run's accepted model in another precision, with a contract that says so and has no verdict."""
    source = run.path / "model.onnx"
    if precision == "fp32":
        return source
    contract = contract_of(read_onnx_file(source), source="model.onnx")
    assert contract is not None
    model = onnx.load_model(str(source))
    del model.metadata_props[:]
    typed = in_half(model, "fp16") if precision == "fp16" else _quantized(model, run)
    path = run.path / f"model.{precision}.onnx"
    path.write_bytes(typed.SerializeToString())
    save_with_contract(typed, _contract_for(contract, typed, path), path)
    return path


def _contract_for(contract: Contract, model: onnx.ModelProto, path: Path) -> Contract:
    file = read_onnx_file(path)
    return msgspec.structs.replace(
        contract,
        layers=layers_of(model),
        graph_sha256=file.graph_sha256,
        weights_sha256=file.weights_sha256,
        verdict=None,
    )


def _quantized(model: onnx.ModelProto, run: Run) -> onnx.ModelProto:
    """Min-max ranges of training images; signed and symmetric, one scale a channel, products in QDQ form."""
    path = run.path / "quantized.onnx"
    quantize_static(
        model,
        path,
        _Images(run.load_dataset().train.spread(256).images),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv", "Gemm"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    quantized = onnx.load_model(str(path))
    path.unlink()
    return quantized


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.batches = iter(np.array_split(images, 8))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}
