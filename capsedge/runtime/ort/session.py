"""Sessions of ONNX Runtime."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
from numpy.typing import NDArray

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.cores import usable_cores
from capsedge.errors import ModelError, ProviderError
from capsedge.onnx_lite.file import read_metadata
from capsedge.onnx_lite.schema import BY_DTYPE, BY_NAME
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.models import title
from capsedge.runtime.ort.binding import Binding
from capsedge.runtime.ort.placement import open_on, placement_of, reason
from capsedge.runtime.ort.threads import threads_for
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
        self.contract = _contract(file)
        saturates = _may_saturate(ort, file, settings)
        self._ort, self.settings = _opened(ort, file, _resolved(settings, self.contract), self.contract, saturates)
        self._outputs = [output.name for output in self._ort.get_outputs()]
        self.name = title(file)
        self.file = file
        self.provider, self.fell_back = placement_of(ort, self._ort, self.settings)
        self.batch_limits = _batch_limits(self._ort)
        self.warnings = tuple(self._warnings(saturates))
        self._binding = self._bound(ort)
        self.settings = msgspec.structs.replace(self.settings, io_binding=self._binding is not None)
        self.load_ms = (perf_counter_ns() - start) / 1e6

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`: a dynamic first axis becomes the batch, every other dynamic axis becomes 1."""
        check_batch(self, batch)
        if self._ort is None:
            raise closed(self)
        return {node.name: _random_feed(self.name, node, batch) for node in self._ort.get_inputs()}

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
            yield from _assumed(self._ort, self.batch_limits)
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
                f"'{self.provider}' gives no memory to bind to ({reason(error)}): choose --no-io-binding"
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


def _contract(file: Path) -> Contract | None:
    text = read_metadata(file).get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=str(file))


def _on_cpu(settings: Settings) -> bool:
    return settings.provider in (None, "cpu")


def _resolved(settings: Settings, contract: Contract | None) -> Settings:
    """Choose the number of threads on the CPU by the work of a run; without a contract ONNX Runtime chooses."""
    if settings.threads or contract is None or not contract.flops or not _on_cpu(settings):
        return settings
    threads = threads_for(contract.flops * settings.batch, usable_cores(), spinning=settings.spinning)
    return msgspec.structs.replace(settings, threads=threads)


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


def _batch_limits(opened: Any) -> tuple[int, int] | None:
    """The first axis of the inputs where it is fixed; 1 where all inputs are scalars and cannot hold a batch."""
    first = [node.shape[0] for node in opened.get_inputs() if node.shape]
    fixed = [size for size in first if isinstance(size, int) and size > 0]
    return (fixed[0], fixed[0]) if fixed else None if first else (1, 1)


def _assumed(opened: Any, limits: tuple[int, int] | None) -> Iterator[SessionWarning]:
    """Warn about the assumptions of `feeds` on the axes of a file without a contract."""
    for node in opened.get_inputs():
        free = [size or f"axis {axis}" for axis, size in enumerate(node.shape) if axis and not isinstance(size, int)]
        if free:
            yield SessionWarning(
                "assumed-size", f"of its input '{node.name}', {' and '.join(free)} can be any size, taken as 1"
            )
    if limits is not None and limits[0] > 1:
        yield SessionWarning(
            "assumed-batch",
            f"the fixed first axis of its inputs, {limits[0]}, was taken as the batch; if it is not, images/s is too "
            "high",
        )


def _random_feed(model: str, node: Any, batch: int) -> NDArray[Any]:
    kind = BY_NAME.get(node.type.removeprefix("tensor(").removesuffix(")"))
    if kind is None or kind.dtype is None:
        known = ", ".join(each.name for each in BY_DTYPE.values())
        raise ModelError(
            f"'{model}' takes {node.type} as '{node.name}'; inputs can be made up for tensors of {known} only, so it "
            "cannot be timed"
        )
    free = [batch, *[1] * len(node.shape)]
    shape = tuple(size if isinstance(size, int) else free[axis] for axis, size in enumerate(node.shape))
    if 0 in shape:
        raise ModelError(f"'{model}' takes {list(shape)} as '{node.name}', which holds nothing: it cannot be timed")
    return random_array(shape, kind.dtype)
