"""A sequence of launches and copies as one CUDA graph, which the CPU starts with one call.

Not run on a GPU yet: tests hold it against cuda-python's real names.
"""

from collections.abc import Callable
from typing import Any

from capsedge.runtime.tensorrt.cuda import checked


def capture(cuda: Any, stream: Any, enqueue: Callable[[], None]) -> Any:
    """Record what `enqueue` puts on a stream, without running it.

    Args:
        cuda: The module cuda.bindings.runtime.
        stream: Not the default stream, which cannot be recorded.
        enqueue: Launches and asynchronous copies only; anything that waits breaks the recording.

    Returns:
        An executable graph, for `cudaGraphLaunch` and at last `cudaGraphExecDestroy`.

    Raises:
        CapsedgeError: Something of it cannot be recorded; the stream can be used as before.
    """
    try:
        return _captured(cuda, stream, enqueue)
    except BaseException:
        cuda.cudaGetLastError()  # takes the failure away from whoever asks next, such as TensorRT after a launch
        raise


def _captured(cuda: Any, stream: Any, enqueue: Callable[[], None]) -> Any:
    # Thread-local: what other threads do with CUDA in the meantime does not break the recording.
    mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    checked(cuda.cudaStreamBeginCapture(stream, mode))
    try:
        enqueue()
    except BaseException:
        _, graph = cuda.cudaStreamEndCapture(stream)  # whatever it says, the stream must leave the recording
        if graph:
            cuda.cudaGraphDestroy(graph)
        raise
    graph = checked(cuda.cudaStreamEndCapture(stream))
    try:
        return checked(cuda.cudaGraphInstantiate(graph, 0))
    finally:
        cuda.cudaGraphDestroy(graph)
