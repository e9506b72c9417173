"""A script that builds a minimal TensorRT engine, x * x, and runs it where there is a GPU.

It runs in a separate process, because a failed build affects the next one of the same process
(docs/decisions/0004-tensorrt-rtx.md). It imports nothing from capsedge, so that it starts fast, and prints the result
as one line of JSON. Building with TensorRT-RTX was tested without a GPU; running an engine has not run on a GPU yet.
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
    """Build an engine, and run it where the package supports the GPU.

    Args:
        package: `tensorrt_rtx` or `tensorrt`.
        target: Compute capability of the GPU, such as `sm86`, or "" without a GPU.

    Returns:
        `version`, `built` (size of the engine in bytes), `ran`, and `error`, "" on success.
    """
    result: dict[str, Any] = {"version": "", "built": 0, "ran": False, "error": ""}
    try:
        trt: Any = import_module(package)
        result["version"] = trt.__version__
        known = bool(target) and runs_on(trt, target)
        plan = build(trt, target if known else "")
        result["built"] = len(plan)
        if known:
            run(trt, plan)
            result["ran"] = True
    except Exception as error:  # a package whose libraries are missing fails in its own way
        result["error"] = " ".join(str(error).split())[:200] or type(error).__name__
    return result


def runs_on(trt: Any, target: str) -> bool:
    """Whether the package supports a GPU: TensorRT-RTX lists the supported ones, classic TensorRT has no list."""
    return not hasattr(trt, "ComputeCapability") or hasattr(trt.ComputeCapability, target.upper())


def build(trt: Any, target: str) -> bytes:
    """Build the engine, for the GPU of this machine where the builder needs a target."""
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
    """Run the engine on the GPU and check its output."""
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
    """Print the result as one line of JSON."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # prints of libraries go to stderr
    json.dump(attempt(*sys.argv[1:]), stdout)
    stdout.close()


if __name__ == "__main__":
    main()
