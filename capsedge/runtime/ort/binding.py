"""Inputs and outputs of an ONNX Runtime session that live on its device: the copies are ours, and can be timed.

On the CPU they are copies that are not needed; there this is tested against the unbound session. Off it, an unbound
session allocates for its inputs at every run. Not run on a GPU yet.
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
    """The bound inputs and outputs of one session. An input keeps its buffer as long as its shape and type stay."""

    def __init__(self, ort: Any, opened: Any, device: Place) -> None:
        """Bind nothing yet, but see that memory can be had.

        Args:
            ort: The module onnxruntime.
            opened: Its `InferenceSession`.
            device: Where the buffers lie; `cuda` is the device of every provider of NVIDIA's.
        """
        self._new = ort.OrtValue.ortvalue_from_shape_and_type
        self._opened, self._device = opened, device
        self._binding = opened.io_binding()
        self._outputs = [output.name for output in opened.get_outputs()]
        self._inputs: dict[str, tuple[tuple[int, ...], np.dtype[Any], Any]] = {}
        self._lock = threading.Lock()  # the buffers are one set: two threads that filled them would crash the process
        self._new((1,), np.uint8, device, 0)

    def run(self, feeds: Arrays) -> Arrays:
        """Copy the inputs in, run, and copy the outputs out; they are the caller's."""
        with self._lock:
            self._copy_in(feeds)
            self._compute()
            return self._copy_out()

    def split(self, feeds: Arrays) -> QueryBreakdown:
        """Run, and tell how long each step took by the host's clock; each waits for the device at its end.

        ONNX Runtime has a stream of its own and does not give its events to Python, so the waiting, some microseconds
        a step, is part of the figures.
        """
        with self._lock:
            marks = [perf_counter_ns()]
            for step in (lambda: self._copy_in(feeds), self._compute, self._copy_out):
                step()
                marks.append(perf_counter_ns())
        copy_in, compute, copy_out = ((after - before) / 1e6 for before, after in pairwise(marks))
        return QueryBreakdown(copy_in, compute, copy_out)

    def _copy_in(self, feeds: Arrays) -> None:
        self._binding.clear_binding_inputs()  # one that is not given now must not stay from the last run
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
        for name in self._outputs:  # anew: what the last run gave would be written over, and has its shapes
            self._binding.bind_output(name, self._device)
        self._opened.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def _copy_out(self) -> Arrays:
        return dict(zip(self._outputs, self._binding.copy_outputs_to_cpu(), strict=True))
