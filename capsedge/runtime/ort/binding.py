"""I/O binding: inputs and outputs of a session in buffers on its device, so that copies can be timed.

On a GPU, an unbound session allocates memory for its inputs in every run. On the CPU the copies are unnecessary, but
tests compare the binding with the unbound session there. Not run on a GPU yet.
"""

import threading
from itertools import pairwise
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import QueryBreakdown

Place = Literal["cpu", "cuda"]


class Binding:
    """The bound inputs and outputs of a session. An input keeps its buffer while its shape and type stay the same."""

    def __init__(self, ort: Any, opened: Any, device: Place) -> None:
        """Prepare the binding, and check that memory can be allocated.

        Args:
            ort: The module onnxruntime.
            opened: Its `InferenceSession`.
            device: Device of the buffers; `cuda` for all providers on NVIDIA GPUs.
        """
        self._new = ort.OrtValue.ortvalue_from_shape_and_type
        self._opened, self._device = opened, device
        self._binding = opened.io_binding()
        self._outputs = [output.name for output in opened.get_outputs()]
        self._inputs: dict[str, tuple[tuple[int, ...], np.dtype[Any], Any]] = {}
        self._lock = threading.Lock()  # there is one set of buffers: two threads that fill it crash the process
        self._new((1,), np.uint8, device, 0)

    def run(self, feeds: Arrays) -> Arrays:
        """Copy the inputs in, run, and copy the outputs into new arrays."""
        with self._lock:
            self._copy_in(feeds)
            self._compute()
            return self._copy_out()

    def split(self, feeds: Arrays) -> QueryBreakdown:
        """Run, and measure each step with the host's clock; each step waits for the device at its end.

        ONNX Runtime uses its own stream and has no events in Python, so each step includes some microseconds of
        waiting.
        """
        with self._lock:
            marks = [perf_counter_ns()]
            for step in (lambda: self._copy_in(feeds), self._compute, self._copy_out):
                step()
                marks.append(perf_counter_ns())
        copy_in, compute, copy_out = ((after - before) / 1e6 for before, after in pairwise(marks))
        return QueryBreakdown(copy_in, compute, copy_out)

    def _copy_in(self, feeds: Arrays) -> None:
        self._binding.clear_binding_inputs()  # an input that is missing now must not remain from the last run
        for name, array in feeds.items():
            self._binding.bind_ortvalue_input(name, self._filled(name, np.asarray(array, order="C")))
        self._binding.synchronize_inputs()

    def _filled(self, name: str, array: NDArray[Any]) -> Any:
        kept = self._inputs.get(name)
        if kept is None or kept[:2] != (array.shape, array.dtype):
            kept = (array.shape, array.dtype, self._new(array.shape, array.dtype.type, self._device, 0))
            self._inputs[name] = kept
        kept[2].update_inplace(array)
        return kept[2]

    def _compute(self) -> None:
        for name in self._outputs:  # new buffers: the last run's have its shapes, and would be overwritten
            self._binding.bind_output(name, self._device)
        self._opened.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def _copy_out(self) -> Arrays:
        return dict(zip(self._outputs, self._binding.copy_outputs_to_cpu(), strict=True))
