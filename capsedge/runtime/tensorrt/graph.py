"""Capturing a sequence of launches and copies as one CUDA graph, which the CPU starts with one call.

Not run on a GPU yet: tests check cuda-python's real names.
"""

from collections.abc import Callable
from typing import Any

from capsedge.runtime.tensorrt.cuda import checked


def capture(cuda: Any, stream: Any, enqueue: Callable[[], None]) -> Any:
    """Capture the work that `enqueue` puts on a stream, without running it.

    Args:
        cuda: The module cuda.bindings.runtime.
        stream: Any stream but the default one, which cannot be captured.
        enqueue: Launches and asynchronous copies only; a synchronizing call breaks the capture.

    Returns:
        An executable graph, for `cudaGraphLaunch` and finally `cudaGraphExecDestroy`.

    Raises:
        CapsedgeError: An operation cannot be captured; the stream remains usable.
    """
    try:
        return _captured(cuda, stream, enqueue)
    except BaseException:
        cuda.cudaGetLastError()  # clears the error, which TensorRT would otherwise read after its next launch
        raise


def _captured(cuda: Any, stream: Any, enqueue: Callable[[], None]) -> Any:
    # Thread-local: CUDA calls of other threads do not break the capture.
    mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    checked(cuda.cudaStreamBeginCapture(stream, mode))
    try:
        enqueue()
    except BaseException:
        _, graph = cuda.cudaStreamEndCapture(stream)  # the capture must end whatever the status
        if graph:
            cuda.cudaGraphDestroy(graph)
        raise
    graph = checked(cuda.cudaStreamEndCapture(stream))
    try:
        return checked(cuda.cudaGraphInstantiate(graph, 0))
    finally:
        cuda.cudaGraphDestroy(graph)
