"""Options that several commands share, written once."""

from typing import Annotated

import typer

from capsedge.runtime.providers import Provider

ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="Where an ONNX file shall run; an engine brings its own. [dim]\\[default: cpu][/dim]"),
]
ThreadsOption = Annotated[
    int, typer.Option(min=0, max=256, help="Threads of ONNX Runtime on the CPU; 0 leaves the choice to it.")
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
