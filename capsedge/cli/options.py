"""Options that several commands share, written once."""

import math
from typing import Annotated

import typer

from capsedge.runtime.providers import Provider
from capsedge.runtime.settings import GraphLevel


def finite(value: float | None) -> float | None:
    """Refuse NaN and infinity, which no bound of an option keeps out; for `typer.Option(callback=finite)`."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number that can be meant")
    return value


def model_names(incomplete: str) -> list[str]:
    """Names of models that begin so; for `typer.Option(autocompletion=model_names)`."""
    from capsedge.runtime.models import model_names as known

    return known(incomplete)


RUNTIME = "Runtime"  # heading of these options in the help

ProviderOption = Annotated[
    Provider | None,
    typer.Option(
        help="Where an ONNX file shall run; an engine brings its own. [dim]\\[default: cpu][/dim]",
        rich_help_panel=RUNTIME,
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=256,
        help="Threads of ONNX Runtime on the CPU; 0 chooses by the work of a run.",
        rich_help_panel=RUNTIME,
    ),
]
SpinningOption = Annotated[
    bool,
    typer.Option(
        "--spinning/--no-spinning", help="Idle threads wait awake: faster, and warmer.", rich_help_panel=RUNTIME
    ),
]
GraphOption = Annotated[
    GraphLevel,
    typer.Option(help="How far ONNX Runtime rewrites the graph; less is for comparisons.", rich_help_panel=RUNTIME),
]
IoBindingOption = Annotated[
    bool | None,
    typer.Option(
        "--io-binding/--no-io-binding",
        help="Bind inputs and outputs to buffers of the device.  [dim]\\[default: off the CPU][/dim]",
        show_default=False,
        rich_help_panel=RUNTIME,
    ),
]
AllowFallbackOption = Annotated[
    bool,
    typer.Option(
        "--allow-fallback",
        help="Let the CPU run what the provider cannot; the operators are named.",
        rich_help_panel=RUNTIME,
    ),
]
CudaGraphOption = Annotated[
    bool,
    typer.Option(
        "--cuda-graph/--no-cuda-graph",
        help="Start an engine's run as one CUDA graph, where it can be one.",
        rich_help_panel=RUNTIME,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
MaxErrorIncreaseOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        callback=finite,
        metavar="POINTS",
        help="Points of error that a file may lose: 0.5 lets 9.0 % become 9.5 %.  "
        "[dim]\\[default: by precision][/dim]",
        show_default=False,
    ),
]
