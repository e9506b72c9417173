"""Builds one TensorRT engine in a process of its own: `python -m capsedge.export.engine_worker JOB.json RESULT.json`.

A failed build changes the next build of the same process, so no process builds twice. One code path serves
`tensorrt_rtx` and the classic `tensorrt`: what differs between releases is asked for by attribute.
Neither package's engine has been run on a GPU by capsedge yet.
"""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from capsedge.files import write_atomically


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to build.

    Attributes:
        package: `tensorrt_rtx` or `tensorrt`.
        onnx: The typed ONNX file: precision lives in its graph.
        engine: Where the engine goes.
        batch: Smallest, optimal and largest batch of the optimization profile.
        targets: Compute capabilities such as `sm86`; empty for the builder's default. TensorRT-RTX only.
    """

    package: str
    onnx: str
    engine: str
    batch: tuple[int, int, int]
    targets: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was built, or why not.

    Attributes:
        errors: One sentence each; empty when the engine was written.
        version: Release of the package.
        seconds: Time of parsing and building.
        precision: Type of the output of each layer of the parsed network.
    """

    errors: tuple[str, ...] = ()
    version: str = ""
    seconds: float = 0.0
    precision: dict[str, str] = {}


def build(job: Job) -> Result:
    """Parse the ONNX file and build the engine; every failure is a sentence in the result."""
    trt: Any = import_module(job.package)
    errors: list[str] = []
    logger = _logger(trt, errors.append)
    start = time.perf_counter()
    try:
        builder = trt.Builder(logger)
    except TypeError:
        # pybind's words for "the native constructor gave nothing", which classic TensorRT does without CUDA.
        errors.append(f"{job.package} {trt.__version__} cannot build here: it needs an NVIDIA GPU and its driver")
        return Result(errors=tuple(errors), version=trt.__version__)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(job.onnx).read_bytes()):
        errors += [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
        return Result(errors=_distinct(errors), version=trt.__version__)
    unknown = [target for target in job.targets if not hasattr(trt.ComputeCapability, target.upper())]
    if unknown:
        known = ", ".join(name.lower() for name in dir(trt.ComputeCapability) if name.startswith("SM"))
        return Result(errors=(f"it has no target {', '.join(unknown)}; there are: {known}",), version=trt.__version__)
    plan = builder.build_serialized_network(network, _config(trt, builder, network, job))
    if plan is None:
        return Result(
            errors=_distinct(errors or ["the builder gave no engine and no reason"]), version=trt.__version__
        )
    write_atomically(Path(job.engine), bytes(plan))
    return Result(version=trt.__version__, seconds=time.perf_counter() - start, precision=_precision(network))


def _network_flags(trt: Any) -> int:
    """Strongly typed, by the flag's own value, which differs between releases."""
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _config(trt: Any, builder: Any, network: Any, job: Job) -> Any:
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        _, *image = tuple(tensor.shape)
        profile.set_shape(tensor.name, *((size, *image) for size in job.batch))
    config.add_optimization_profile(profile)
    if job.targets:
        config.num_compute_capabilities = len(job.targets)
        for index, target in enumerate(job.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
    return config


def _precision(network: Any) -> dict[str, str]:
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return {layer.name: layer.get_output(0).dtype.name.lower() for layer in layers if layer.num_outputs}


def _parser_error(error: Any) -> str:
    return f"{error.node_name() or 'the graph'}: {error.desc()}"


def _distinct(errors: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(error.strip() for error in errors))


def _logger(trt: Any, keep: Callable[[str], None]) -> Any:
    """A logger that keeps errors as text instead of printing everything."""

    class Errors(trt.ILogger):  # type: ignore[misc]  # the class comes from a module chosen at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                keep(message)

    return Errors()


if __name__ == "__main__":
    job_path, result_path = map(Path, sys.argv[1:])
    result = build(msgspec.json.decode(job_path.read_bytes(), type=Job))
    write_atomically(result_path, msgspec.json.encode(result))
