"""Builds the smallest TensorRT engine, x * x, in a process of its own, and runs it where a GPU is.

A failed build changes the next one of the same process (docs/decisions/0004-tensorrt-rtx.md). It is run as a file and
imports nothing of capsedge, so it starts in a moment; one line of JSON on stdout tells what came of it. Building by
TensorRT-RTX was tried without a GPU; running an engine has not been tried on a GPU yet.
"""

import contextlib
import json
import os
import sys
from array import array
from importlib import import_module
from typing import Any

_SIZE = 4


def attempt(package: str, target: str) -> dict[str, Any]:
    """Build an engine, and run it where the GPU is one for the package.

    Args:
        package: `tensorrt_rtx` or `tensorrt`.
        target: The GPU here, such as `sm86`, or "" for none.

    Returns:
        `version`, `built` (bytes of the engine), `ran`, and `error`, "" where all went well.
    """
    told: dict[str, Any] = {"version": "", "built": 0, "ran": False, "error": ""}
    try:
        trt: Any = import_module(package)
        told["version"] = trt.__version__
        known = bool(target) and runs_on(trt, target)
        plan = build(trt, target if known else "")
        told["built"] = len(plan)
        if known:
            run(trt, plan)
            told["ran"] = True
    except Exception as error:  # a package whose libraries are missing fails in its own way
        told["error"] = " ".join(str(error).split())[:200] or type(error).__name__
    return told


def runs_on(trt: Any, target: str) -> bool:
    """Whether a GPU is one for the package: TensorRT-RTX lists those that are, classic TensorRT has no such list."""
    return not hasattr(trt, "ComputeCapability") or hasattr(trt.ComputeCapability, target.upper())


def build(trt: Any, target: str) -> bytes:
    """Build the engine; for the GPU here where the builder asks for its target."""
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float32, (_SIZE,))
    y = network.add_elementwise(x, x, trt.ElementWiseOperation.PROD).get_output(0)
    y.name = "y"
    network.mark_output(y)
    config = builder.create_builder_config()
    if target and hasattr(config, "num_compute_capabilities"):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("the builder gave no engine")
    return bytes(plan)


def run(trt: Any, plan: bytes) -> None:
    """Run the engine on the GPU and look at its answer."""
    cuda: Any = import_module("cuda.bindings.runtime")
    log = trt.Logger(trt.Logger.ERROR)
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    context = engine and engine.create_execution_context()
    if context is None:
        raise RuntimeError("the engine does not load")
    given, answer = array("f", [0, 1, 3, -0.5]), array("f", [0] * _SIZE)
    size = given.itemsize * _SIZE
    with contextlib.ExitStack() as stack:
        (stream,) = _checked(cuda.cudaStreamCreate())
        stack.callback(cuda.cudaStreamDestroy, stream)
        addresses = {}
        for name in ("x", "y"):
            (addresses[name],) = _checked(cuda.cudaMalloc(size))
            stack.callback(cuda.cudaFree, addresses[name])
            context.set_tensor_address(name, addresses[name])
        kinds = cuda.cudaMemcpyKind
        host_in, host_out = given.buffer_info()[0], answer.buffer_info()[0]
        _checked(cuda.cudaMemcpyAsync(addresses["x"], host_in, size, kinds.cudaMemcpyHostToDevice, stream))
        if not context.execute_async_v3(stream):
            raise RuntimeError("the engine did not run")
        _checked(cuda.cudaMemcpyAsync(host_out, addresses["y"], size, kinds.cudaMemcpyDeviceToHost, stream))
        _checked(cuda.cudaStreamSynchronize(stream))
    if answer.tolist() != [value * value for value in given]:
        raise RuntimeError(f"an engine that squares {given.tolist()} gives {answer.tolist()}")


def _checked(answer: tuple[Any, ...]) -> list[Any]:
    status, *values = answer
    if int(status) != 0:
        raise RuntimeError(f"CUDA failed with {status.name}")
    return values


def main() -> None:
    """Tell what came of it as one line of JSON."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is not our line
    json.dump(attempt(*sys.argv[1:]), said)
    said.close()


if __name__ == "__main__":
    main()
