"""Options that several commands share, written once."""

from typing import Annotated

import typer

from capsedge.runtime.providers import Provider
from capsedge.runtime.settings import GraphLevel

ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="Where an ONNX file shall run; an engine brings its own. [dim]\\[default: cpu][/dim]"),
]
ThreadsOption = Annotated[
    int, typer.Option(min=0, max=256, help="Threads of ONNX Runtime on the CPU; 0 chooses by the work of a run.")
]
SpinningOption = Annotated[
    bool, typer.Option("--spinning/--no-spinning", help="Idle threads wait awake: faster, and warmer.")
]
GraphOption = Annotated[
    GraphLevel, typer.Option(help="How far ONNX Runtime rewrites the graph; less is for comparisons.")
]
IoBindingOption = Annotated[
    bool | None,
    typer.Option(
        "--io-binding/--no-io-binding",
        help="Bind inputs and outputs to buffers of the device.  [dim]\\[default: off the CPU][/dim]",
        show_default=False,
    ),
]
AllowFallbackOption = Annotated[
    bool,
    typer.Option("--allow-fallback", help="Let the CPU run what the provider cannot; the operators are named."),
]
CudaGraphOption = Annotated[
    bool,
    typer.Option(
        "--cuda-graph/--no-cuda-graph", help="Start an engine's run as one CUDA graph, where it can be one."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
MaxErrorIncreaseOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="POINTS",
        help="Points of error that a file may lose: 0.5 lets 9.0 % become 9.5 %.  "
        "[dim]\\[default: by precision][/dim]",
        show_default=False,
    ),
]
