"""The configuration of a served model: the message ModelConfig of Triton's model_config.proto."""

from dataclasses import dataclass

from capsedge.errors import WrongUse
from capsedge.export.triton.protobuf_text import Message, Symbol
from capsedge.export.triton.source import ServableFile

DEFAULT_MAX_BATCH = 64
LABELS = "labels.txt"


@dataclass(frozen=True)
class Serving:
    """How Triton runs a model; docs/serving.md says how to choose.

    Attributes:
        max_batch: Largest batch; None for the engine's own, or `DEFAULT_MAX_BATCH` for an ONNX file.
        delay_us: Longest time that a request waits for others to share its batch, in microseconds.
        instances: Instances that run in parallel, on each GPU or on the CPU.
        threads: Threads of one instance on the CPU; 0 for one for each core.
        gpu: Whether an ONNX file runs on CUDA instead of the CPU; an engine always runs on its GPU.
    """

    max_batch: int | None = None
    delay_us: int = 0
    instances: int = 1
    threads: int = 0
    gpu: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that are too small.

        Raises:
            WrongUse: A number is too small.
        """
        for name, smallest in (("max_batch", 1), ("delay_us", 0), ("instances", 1), ("threads", 0)):
            given = getattr(self, name)
            if given is not None and given < smallest:
                raise WrongUse(f"{name}: expected {smallest} or more, got {given}")


def model_config(source: ServableFile, name: str, serving: Serving) -> Message:
    """Describe a model to Triton.

    Args:
        source: The file.
        name: The model's name for clients.
        serving: How Triton runs it.

    Raises:
        WrongUse: The batch is larger than the engine's, or a GPU is requested for the Python backend.
    """
    if serving.gpu and source.backend == "python":
        raise WrongUse("Triton's Python backend runs the file on the CPU", "leave out gpu, or choose another backend")
    largest = _max_batch(source, serving)
    on_gpu = serving.gpu or source.backend == "tensorrt"
    return {
        "name": name,
        "backend": source.backend,
        "max_batch_size": largest,
        "input": [{"name": source.contract.input.name, **_pixels(source)}],
        "output": [_output(source, each) for each in source.contract.outputs],
        "dynamic_batching": {
            "preferred_batch_size": _preferred(source, largest),
            "max_queue_delay_microseconds": serving.delay_us,
        },
        "instance_group": [{"count": serving.instances, "kind": Symbol("KIND_GPU" if on_gpu else "KIND_CPU")}],
        **(_FULL_FP32 if on_gpu and source.backend == "onnxruntime" else {}),
        "parameters": _parameters(source, {} if on_gpu else {"intra_op_thread_count": str(serving.threads)}),
        "model_warmup": [_warmup(source, size) for size in sorted({1, largest})],
    }


def _max_batch(source: ServableFile, serving: Serving) -> int:
    if source.batch is None:
        return serving.max_batch or DEFAULT_MAX_BATCH
    largest = source.batch[2]
    if serving.max_batch is not None and serving.max_batch > largest:
        raise WrongUse(
            f"max_batch: expected up to {largest}, the largest batch of '{source.file}', got {serving.max_batch}"
        )
    return serving.max_batch or largest


def _pixels(source: ServableFile) -> Message:
    return {"data_type": Symbol("TYPE_UINT8"), "dims": list(source.contract.input.shape)}


def _output(source: ServableFile, name: str) -> Message:
    output = source.outputs[name]
    labels = {"label_filename": LABELS} if name == "lengths" else {}
    return {"name": name, "data_type": Symbol(output.type), "dims": list(output.axes), **labels}


def _preferred(source: ServableFile, largest: int) -> list[int]:
    """Batch sizes that are run without waiting for more requests: the largest, and the one an engine is tuned for."""
    tuned = [] if source.batch is None else [source.batch[1]]
    return sorted({largest, *(size for size in tuned if 1 < size < largest)})


def _parameters(source: ServableFile, own: dict[str, str]) -> list[Message]:
    """The backend's parameters, and the fields of the contract that a client without the file needs.

    These fields are the same in all versions of a model.
    """
    contract = source.contract
    promised = {
        "capsedge.fit": f"resize={contract.fit.resize} frame={contract.fit.frame} levels={contract.fit.levels}",
        "capsedge.labels": str(contract.labels),
        "capsedge.precision": contract.precision,
    }
    return [{"key": key, "value": {"string_value": value}} for key, value in (own | promised).items()]


def _warmup(source: ServableFile, batch: int) -> Message:
    pixels = {**_pixels(source), "random_data": True}
    return {
        "name": f"batch of {batch}",
        "batch_size": batch,
        "inputs": [{"key": source.contract.input.name, "value": pixels}],
    }


# By default ONNX Runtime computes fp32 in TF32 (ten bits) on a GPU, which the gate has not accepted.
_FULL_FP32: Message = {
    "optimization": {
        "execution_accelerators": {
            "gpu_execution_accelerator": [{"name": "cuda", "parameters": [{"key": "use_tf32", "value": "0"}]}]
        }
    }
}
