"""The configuration, as the official protobuf reads it, says what the contract says and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2 as pb

from capsedge.errors import WrongUse
from capsedge.export.triton import Serving
from capsedge.export.triton.config import model_config
from capsedge.export.triton.protobuf_text import protobuf_text
from capsedge.export.triton.source import Output, ServableFile, read_source
from capsedge.fit import Fit
from tests.export.triton.conftest import EngineMaker
from tests.test_contract import a_contract


def config_of(source: ServableFile, serving: Serving | None = None) -> Any:
    text = protobuf_text(model_config(source, "shoes", serving or Serving()))
    return text_format.Parse(text, pb.ModelConfig())


def configured(model: Path, serving: Serving | None = None) -> Any:
    return config_of(read_source(model, allow_unexecuted=False), serving)


def warmup(batch: int) -> Any:
    pixels = pb.ModelWarmup.Input(data_type=pb.TYPE_UINT8, dims=[28, 28, 1], random_data=True)
    return pb.ModelWarmup(name=f"batch of {batch}", batch_size=batch, inputs={"image": pixels})


def parameters(**values: str) -> dict[str, Any]:
    return {name.replace("__", "."): pb.ModelParameter(string_value=value) for name, value in values.items()}


def outputs(class_dim: int) -> list[Any]:
    return [
        pb.ModelOutput(name="lengths", data_type=pb.TYPE_FP32, dims=[10], label_filename="labels.txt"),
        pb.ModelOutput(name="poses", data_type=pb.TYPE_FP32, dims=[10, class_dim]),
    ]


TOLD = {
    "capsedge__fit": "resize=bilinear frame=pad levels=as-is",
    "capsedge__labels": "1",
    "capsedge__precision": "fp32",
}
IMAGE = pb.ModelInput(name="image", data_type=pb.TYPE_UINT8, dims=[28, 28, 1])
BATCHING = {"preferred_batch_size": [64], "max_queue_delay_microseconds": 0}


def test_an_onnx_file_is_served_by_onnx_runtime_on_the_cpu(accepted: Path) -> None:
    assert configured(accepted) == pb.ModelConfig(
        name="shoes",
        backend="onnxruntime",
        max_batch_size=64,
        input=[IMAGE],
        output=outputs(16),
        dynamic_batching=pb.ModelDynamicBatching(**BATCHING),
        instance_group=[pb.ModelInstanceGroup(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)],
        parameters=parameters(intra_op_thread_count="0", **TOLD),
        model_warmup=[warmup(1), warmup(64)],
    )


def test_an_engine_is_served_by_tensorrt_in_the_batches_it_was_built_for(make_engine: EngineMaker) -> None:
    assert configured(make_engine(batch=(1, 8, 32))) == pb.ModelConfig(
        name="shoes",
        backend="tensorrt",
        max_batch_size=32,
        input=[IMAGE],
        output=outputs(-1),  # the contract does not say how long a pose is
        dynamic_batching=pb.ModelDynamicBatching(preferred_batch_size=[8, 32]),
        instance_group=[pb.ModelInstanceGroup(count=1, kind=pb.ModelInstanceGroup.KIND_GPU)],
        parameters=parameters(**TOLD),
        model_warmup=[warmup(1), warmup(32)],
    )


def test_what_is_asked_for_is_configured(accepted: Path) -> None:
    config = configured(accepted, Serving(max_batch=4, delay_us=250, instances=3, threads=2))

    assert config.max_batch_size == 4
    assert config.dynamic_batching == pb.ModelDynamicBatching(
        preferred_batch_size=[4], max_queue_delay_microseconds=250
    )
    assert config.instance_group[0].count == 3
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert list(config.model_warmup) == [warmup(1), warmup(4)]


def test_an_onnx_file_on_a_gpu_computes_in_the_fp32_that_the_gate_accepted(accepted: Path) -> None:
    config = configured(accepted, Serving(gpu=True))

    assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    assert "intra_op_thread_count" not in config.parameters


def test_a_client_is_told_how_to_fit_an_image_and_how_many_classes_are_the_answer(make_engine: EngineMaker) -> None:
    engine = make_engine(promises={"fit": Fit(resize="lanczos", frame="crop"), "labels": 2})
    told = configured(engine).parameters

    assert told["capsedge.fit"].string_value == "resize=lanczos frame=crop levels=as-is"
    assert told["capsedge.labels"].string_value == "2"


@pytest.mark.parametrize(("field", "smallest"), [("max_batch", 1), ("delay_us", 0), ("instances", 1), ("threads", 0)])
def test_a_number_that_is_too_small_is_refused_by_name(field: str, smallest: int) -> None:
    make: Any = Serving
    assert getattr(make(**{field: smallest}), field) == smallest
    with pytest.raises(WrongUse, match=f"{field}: expected {smallest} or more, got {smallest - 1}"):
        make(**{field: smallest - 1})


def test_an_engine_is_not_asked_for_more_than_it_takes(make_engine: EngineMaker) -> None:
    engine = make_engine(batch=(1, 8, 32))

    assert configured(engine, Serving(max_batch=32)).max_batch_size == 32
    with pytest.raises(WrongUse, match=r"max_batch: expected up to 32, .* got 33"):
        configured(engine, Serving(max_batch=33))


@given(data=st.data())
def test_no_batch_is_preferred_or_warmed_up_that_triton_would_refuse(data: st.DataObject) -> None:
    """Its ValidateModelConfig wants preferred sizes of 1 to max_batch_size."""
    optimal, largest = sorted((data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))))
    contract = a_contract()
    outputs = dict.fromkeys(contract.outputs, Output("TYPE_FP32", (3,)))
    engine = ServableFile(Path("model.engine"), contract, "tensorrt", outputs, (1, optimal, largest), ())
    config = config_of(engine, Serving(max_batch=data.draw(st.integers(1, largest))))

    most = config.max_batch_size
    preferred = list(config.dynamic_batching.preferred_batch_size)
    assert preferred == sorted(set(preferred))
    assert preferred[-1] == most
    assert 1 not in preferred or most == 1  # else no request would ever wait for another
    assert {each.batch_size for each in config.model_warmup} == {1, most}
