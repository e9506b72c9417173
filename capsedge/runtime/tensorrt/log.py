"""TensorRT's logger and profiler: errors are collected for our messages, and layer times are summed."""

from typing import Any


def collecting_logger(trt: Any) -> Any:
    """Make a logger that collects TensorRT's errors instead of printing them."""

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

    return Collector()


def last_words(log: Any) -> str:
    """The last error that was logged, in one line."""
    return f"TensorRT says: {' '.join(log.errors[-1].split())[:300]}" if log.errors else "TensorRT says nothing"


def layer_profiler(trt: Any) -> Any:
    """Make a profiler whose `times_ms` sums the milliseconds of each layer, in the order of their first run."""

    class Adding(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times_ms: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times_ms[layer_name] = self.times_ms.get(layer_name, 0.0) + ms

    return Adding()
