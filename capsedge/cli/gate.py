"""`capsedge gate`: the gate again, for a file that was copied, edited or made by other tools since its export."""

from pathlib import Path
from typing import Annotated

import typer

from capsedge.errors import WrongUse, require

EXAMPLES = """
[bold]Examples[/bold]

capsedge gate runs/fashion-mnist-l2-small/model.onnx

capsedge gate optimized.onnx --run runs/fashion-mnist-l2-small
"""


def gate(
    model: Annotated[Path, typer.Argument(help="An ONNX file, or a run's folder.", show_default=False)],
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run it must agree with.  [dim]\\[default: the model's folder][/dim]", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the contract with its new verdict as JSON.")] = False,
) -> None:
    """Hold a file on the disk against the network of its run; a rejected file is set aside as MODEL.rejected."""
    from capsedge.cli.console import percent, print_json, say
    from capsedge.runtime.open import model_file

    require("torch", extra="train")
    require("onnx", extra="export")
    require("onnxruntime", extra="cpu")
    file = model_file(model)
    if file.suffix != ".onnx":
        raise WrongUse(
            f"the gate runs ONNX files, and was given '{file}': give the .onnx file that it was built from"
        )
    from capsedge.export import gate_model
    from capsedge.training import Run

    contract = gate_model(file, Run(run if run is not None else file.parent))
    verdict = contract.verdict
    assert verdict is not None
    assert verdict.largest_length_difference is not None
    say(f"gate: {verdict.status} on {verdict.provider}, {verdict.images:,} validation images")
    say(f"largest length difference {verdict.largest_length_difference:.1e}")
    for score in contract.scores:
        say(f"  {score.stage:>7} {score.split:<10} error {percent(score.error)}")
    if as_json:
        print_json(contract)
