"""Settings for opening a model: the provider and the options of the runtime. docs/settings.md has measurements."""

from typing import Literal, get_args

import msgspec

from capsedge.errors import WrongUse
from capsedge.runtime.providers import Provider

GraphLevel = Literal["none", "basic", "extended", "all"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `open_session`; the defaults measured best.

    Attributes:
        provider: Execution provider for an ONNX file; None is ONNX Runtime's CPU provider, `openvino` is OpenVINO on
            the CPU. An engine runs on its own TensorRT.
        threads: Threads of ONNX Runtime or OpenVINO on the CPU; 0 chooses by the work of a run (`threads_for`).
        spinning: Whether idle threads spin until the next layer. Without spinning they save power, and each hand-off
            takes longer.
        graph: Level of ONNX Runtime's graph optimization.
        io_binding: Whether inputs and outputs are bound to buffers of the device; None binds on a GPU only.
        allow_fallback: Whether nodes that the provider cannot run may run on the CPU; `Session.fell_back` names them.
        exact_int8: Whether int8 products on the CPU use the kernels that cannot saturate, which take longer on x86
            without VNNI and are the default elsewhere; None uses them where the file and this processor need them.
        cuda_graph: Whether an engine's run is recorded as a CUDA graph and started in one call, where possible;
            `Session.settings` and `Session.warnings` show where it was not.
        batch: Expected images in a run, for `threads`.
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
        """Check the values.

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
