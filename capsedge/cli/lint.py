"""`capsedge lint`: what TensorRT would refuse in an ONNX file, node by node."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption
from capsedge.cli.tables import NARROW
from capsedge.errors import ModelError, WrongUse, require

if TYPE_CHECKING:
    from capsedge.export.tensorrt import Lint

EXAMPLES = """
[bold]Examples[/bold]

capsedge lint runs/my-run

capsedge lint somebody-elses.onnx --trt-target sm75,sm86

capsedge lint model.onnx --json | jq '.findings[] | select(.severity == "refused")'
"""

_COLOURS = {"refused": "red", "warning": "yellow", "note": ""}


def lint(
    model: Annotated[Path, typer.Argument(help="Any ONNX file, or a run's folder.", show_default=False)],
    trt_target: Annotated[
        str | None,
        typer.Option(help="GPUs that it shall run on, such as sm75,sm86 (TensorRT-RTX).", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name each node that TensorRT would refuse or read otherwise, and int8 weights that some processors saturate.

    Each comes with the reason and with what to do; nothing is built.
    """
    from capsedge.cli.console import print_json, say_chosen
    from capsedge.runtime.open import model_file

    require("onnx", extra="trt")
    file = model_file(model)
    say_chosen(model, file)
    if file.suffix != ".onnx":
        raise WrongUse(f"lint reads ONNX files, and was given '{file}': give the .onnx file that it was built from")
    from capsedge.export.tensorrt import lint as look

    found = look(file, tuple(part.strip() for part in trt_target.split(",")) if trt_target is not None else ())
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.refused:
        raise ModelError(f"TensorRT would not take '{file}' as it is: {len(found.refused)} refused, see above")


def _print(found: "Lint") -> None:
    from rich import box
    from rich.padding import Padding
    from rich.table import Column, Table
    from rich.text import Text

    from capsedge.cli.console import out, say

    asked = f"{found.parser} and capsedge's rules" if found.parser else f"capsedge's rules only ({found.no_parser})"
    say(f"{found.model}: asked {asked}{', for ' + ', '.join(found.targets) if found.targets else ''}")
    if not found.findings:
        out.print("nothing found", markup=False)
        return
    nodes: dict[tuple[str, ...], list[str]] = {}  # whose row is the same otherwise
    for finding in found.findings:
        row = (finding.operator, finding.severity, finding.reason, finding.advice)
        nodes.setdefault(row, []).append(finding.node)
    if out.width < NARROW:  # five columns would be a few letters wide
        for (operator, severity, reason, advice), names in nodes.items():
            out.print(Text(severity, _COLOURS[severity]).append(f" {operator}: {', '.join(names)}", "default"))
            out.print(Padding(Text(f"{reason}\nto do: {advice}"), (0, 0, 0, 2)))
        return
    titles = ("node", "operator", "severity", "reason", "what to do")
    table = Table(*(Column(title, overflow="fold") for title in titles), box=box.SIMPLE)
    for (operator, severity, reason, advice), names in nodes.items():
        coloured = Text(severity, _COLOURS[severity])
        table.add_row(Text("\n".join(names)), operator, coloured, Text(reason), Text(advice))
    out.print(table)
