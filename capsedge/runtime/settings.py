"""How a model is opened: where it runs, and what of the runtime can be set. docs/settings.md has the measurements."""

from typing import Literal, get_args

import msgspec

from capsedge.errors import WrongUse
from capsedge.runtime.providers import Provider

GraphLevel = Literal["none", "basic", "extended", "all"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `open_session` is told; the defaults are those that measured best.

    Attributes:
        provider: Where an ONNX file shall run; None is the CPU. An engine brings its own.
        threads: Threads of ONNX Runtime on the CPU; 0 chooses by the work of a run (`threads_for`).
        spinning: Whether idle threads wait for the next layer awake. Asleep they save power and cost the hand-off.
        graph: How far ONNX Runtime rewrites the graph.
        io_binding: Whether inputs and outputs are bound to buffers of the device; None binds off the CPU only.
        allow_fallback: Whether nodes that the provider cannot run may go to the CPU; they are named then.
        exact_int8: Whether int8 products on the CPU use the kernels that cannot saturate, which take longer on x86
            without VNNI and are the usual ones elsewhere; None for where the file and this processor need it.
        cuda_graph: Whether an engine's run is recorded as a CUDA graph and started in one call, where it can be;
            `Session.settings` and `Session.warnings` tell where it could not.
        batch: Images that a run will mostly hold, for `threads`.
    """

    provider: Provider | None = None
    threads: int = 0
    spinning: bool = True
    graph: GraphLevel = "all"
    io_binding: bool | None = None
    allow_fallback: bool = False
    exact_int8: bool | None = None
    cuda_graph: bool = True
    batch: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            WrongUse: There is no such provider, the number of threads is negative, or the batch is below 1.
        """
        if self.provider not in (None, *get_args(Provider)):
            raise WrongUse(f"provider: expected {', '.join(get_args(Provider))}, got {self.provider!r}")
        if self.threads < 0:
            raise WrongUse(f"threads: expected 0 (capsedge's choice) or more, got {self.threads}")
        if self.batch < 1:
            raise WrongUse(f"batch: expected 1 or more, got {self.batch}")


DEFAULTS = Settings()
