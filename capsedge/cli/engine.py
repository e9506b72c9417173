"""The options of a TensorRT engine for `capsedge export`."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from capsedge.errors import WrongUse

if TYPE_CHECKING:
    from capsedge.contract import Precision
    from capsedge.export import BuildOptions


class EngineOptions(NamedTuple):
    """The options of an engine; None for the default."""

    trt: bool = False
    trt_target: str | None = None
    trt_batch: str | None = None
    trt_package: Literal["tensorrt", "tensorrt_rtx"] | None = None
    trt_workspace: int | None = None
    trt_hardware_compatible: bool = False
    allow_deferred: bool = False

    def check(self) -> None:
        """Refuse options of an engine where none is built, and values that no engine has."""
        if not self.trt and self != EngineOptions():
            raise WrongUse("--allow-deferred and the options --trt-... apply to a TensorRT engine", "add --trt")
        from capsedge.runtime.tensorrt.targets import check_batch, check_names

        if self.trt_batch is not None:
            check_batch(_batch(self.trt_batch))
        check_names(self.targets)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets; empty for the default."""
        from capsedge.runtime.tensorrt.targets import names_in

        return names_in(self.trt_target)

    def build_options(self, precisions: "tuple[Precision, ...]") -> "BuildOptions | None":
        """The library's options, None for no engine; an impossible build is refused here, before the export."""
        from capsedge.export import BuildOptions, check_options
        from capsedge.export.tensorrt import DEFAULT_BATCH

        if not self.trt:
            return None
        options = BuildOptions(
            batch=DEFAULT_BATCH if self.trt_batch is None else _batch(self.trt_batch),
            targets=self.targets,
            workspace_mb=self.trt_workspace,
            hardware_compatible=self.trt_hardware_compatible,
            allow_deferred=self.allow_deferred,
            package=self.trt_package,
        )
        check_options(options, precisions)
        return options


NO_ENGINE = EngineOptions()
ENGINE: dict[str, Any] = {
    "trt": Annotated[
        bool, typer.Option("--trt", help="Build a TensorRT engine from each file; TensorRT-RTX builds without a GPU.")
    ],
    "trt_target": Annotated[
        str | None, typer.Option(help="Compute capabilities to build for, such as sm86,sm89 (TensorRT-RTX only).")
    ],
    "trt_batch": Annotated[
        str | None,
        typer.Option(
            metavar="MIN,OPT,MAX",
            help="Smallest, optimal and largest batch of the engine.  [dim]\\[default: 1,1,64][/dim]",
            show_default=False,
        ),
    ],
    "trt_package": Annotated[
        Literal["tensorrt", "tensorrt_rtx"] | None,
        typer.Option(
            help="Python package that builds the engine: tensorrt for Jetson and data centre GPUs, tensorrt_rtx for "
            "GeForce and RTX.  [dim]\\[default: the one that builds here][/dim]",
            show_default=False,
        ),
    ],
    "trt_workspace": Annotated[
        int | None, typer.Option(metavar="MIB", help="Memory limit for the engine's intermediate results.")
    ],
    "trt_hardware_compatible": Annotated[
        bool,
        typer.Option(
            "--trt-hardware-compatible",
            help="Build an engine for all GPUs from Ampere on, not for this one only (TensorRT only).",
        ),
    ],
    "allow_deferred": Annotated[
        bool,
        typer.Option(
            "--allow-deferred",
            help="If no engine can be built here, write the command that builds it on the target machine.",
        ),
    ],
}


def _batch(text: str) -> tuple[int, int, int]:
    try:
        smallest, optimal, largest = (int(part) for part in text.split(","))
    except ValueError as error:
        raise WrongUse(f"--trt-batch: expected three integers such as 1,8,64, got '{text}'") from error
    return smallest, optimal, largest
