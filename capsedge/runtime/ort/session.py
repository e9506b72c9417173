"""Sessions of ONNX Runtime."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec

from capsedge.contract import Contract
from capsedge.errors import ModelError, ProviderError
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.inputs import assumed, batch_limits, contract_in, random_feed
from capsedge.runtime.models import title
from capsedge.runtime.ort.binding import Binding
from capsedge.runtime.ort.placement import open_on, placement_of, reason
from capsedge.runtime.ort.threads import with_threads
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.session import QueryBreakdown, Session, SessionWarning, check_batch, closed
from capsedge.runtime.settings import DEFAULTS, Settings


class OrtSession(Session):
    """An ONNX file on ONNX Runtime; the contract is optional, so that any model can be timed."""

    def __init__(self, file: Path, settings: Settings = DEFAULTS) -> None:
        """Load `file`.

        Raises:
            ModelError: ONNX Runtime cannot load the file.
            ProviderError: The provider cannot run it here.
            MissingExtra: No ONNX Runtime is installed.
        """
        ort = load_onnxruntime("gpu" if settings.provider in ("cuda", "tensorrt") else "cpu")
        start = perf_counter_ns()
        self.contract = contract_in(file)
        saturates = _may_saturate(ort, file, settings)
        self._ort, self.settings = _opened(ort, file, _resolved(settings, self.contract), self.contract, saturates)
        self._outputs = [output.name for output in self._ort.get_outputs()]
        self.name = title(file)
        self.file = file
        self.provider, self.device, self.fell_back = placement_of(ort, self._ort, self.settings)
        self.batch_limits = batch_limits(self._ort.get_inputs())
        self.warnings = tuple(self._warnings(saturates))
        self._binding = self._bound(ort)
        self.settings = msgspec.structs.replace(self.settings, io_binding=self._binding is not None)
        self.load_ms = (perf_counter_ns() - start) / 1e6

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`: a dynamic first axis becomes the batch, every other dynamic axis becomes 1."""
        check_batch(self, batch)
        if self._ort is None:
            raise closed(self)
        return {node.name: random_feed(self.name, node, batch) for node in self._ort.get_inputs()}

    def axes(self) -> dict[str, tuple[int | None, ...]]:
        """See `Session.axes`."""
        if self._ort is None:
            raise closed(self)
        return {
            node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape)
            for node in self._ort.get_inputs()
        }

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`."""
        with self._told():
            if self._binding is not None:
                return self._binding.run(feeds)
            return dict(zip(self._outputs, self._ort.run(None, feeds), strict=True))

    def run_with_breakdown(self, feeds: Arrays) -> QueryBreakdown:
        """See `Session.run_with_breakdown`; without I/O binding the copies are part of the compute time."""
        if self._binding is None:
            return super().run_with_breakdown(feeds)
        with self._told():
            return self._binding.split(feeds)

    def close(self) -> None:
        """See `Session.close`; ONNX Runtime frees the model when its last reference is gone."""
        self._ort = self._binding = None

    def _warnings(self, saturates: bool) -> Iterator[SessionWarning]:
        """Warn about assumptions on the file, and about int8 sums that saturate."""
        if self.contract is None:
            yield from assumed(self._ort.get_inputs(), self.batch_limits)
        if saturates:
            can = "its int8 sums can saturate on processors without VNNI such as this one"
            if self.settings.exact_int8:
                yield SessionWarning(
                    "exact-int8",
                    f"{can}, so it runs with ONNX Runtime's exact kernels, which take longer and exist only for "
                    "constant weights; other programs may compute it wrongly here",
                )
            else:
                yield SessionWarning(
                    "inexact-int8",
                    f"{can}, and ONNX Runtime cannot open it with exact kernels: its answers may be wrong here",
                )

    def _bound(self, ort: Any) -> Binding | None:
        """Bind inputs and outputs as the settings say; by default on a GPU only, where memory can be allocated."""
        wanted, on_cpu = self.settings.io_binding, _on_cpu(self.settings)
        if not (not on_cpu if wanted is None else wanted):
            return None
        try:
            return Binding(ort, self._ort, "cpu" if on_cpu else "cuda")
        except Exception as error:  # ONNX Runtime's errors have no common class
            if wanted is None:
                return None
            raise ProviderError(
                f"'{self.provider}' gives no memory to bind to ({reason(error)})", "choose --no-io-binding"
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn ONNX Runtime's errors, which have no common class, into `ModelError`."""
        if self._ort is None:
            raise closed(self)
        try:
            yield
        except Exception as error:
            raise ModelError(f"'{self.name}' failed to run: {reason(error)}") from error


def _on_cpu(settings: Settings) -> bool:
    return settings.provider in (None, "cpu")


def _resolved(settings: Settings, contract: Contract | None) -> Settings:
    """Choose the number of threads on the CPU; without a contract ONNX Runtime chooses."""
    return with_threads(settings, contract) if _on_cpu(settings) else settings


def _may_saturate(ort: Any, file: Path, settings: Settings) -> bool:
    """Whether the file's int8 sums may saturate on this processor; False where `exact_int8` is set."""
    if settings.exact_int8 is not None or not (_on_cpu(settings) or settings.allow_fallback):
        return False
    from capsedge.runtime.ort.saturation import may_saturate_here  # engines do not need it

    return may_saturate_here(ort, file)


def _opened(
    ort: Any, file: Path, settings: Settings, contract: Contract | None, saturates: bool
) -> tuple[Any, Settings]:
    """Open the file; use exact kernels for one that saturates, if ONNX Runtime can.

    Its rewriting of weights for these kernels fails on some graphs, such as those that its own quantizer makes with
    default operators (1.31.1: "Attempt to replace the existing tensor"). With basic graph optimization, such a graph
    computes its products in fp32.
    """
    for graph in (settings.graph, "basic") if saturates else ():
        exact = msgspec.structs.replace(settings, exact_int8=True, graph=graph)
        with suppress(ModelError):
            return open_on(ort, file, exact, contract), exact
    return open_on(ort, file, settings, contract), settings
