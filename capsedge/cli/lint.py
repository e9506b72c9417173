"""`capsedge lint`: lists the nodes of an ONNX file that TensorRT does not accept."""

from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, model_names
from capsedge.cli.tables import NARROW, Column, print_table
from capsedge.errors import ModelError, WrongUse, require
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.export.tensorrt import Lint

EXAMPLES = """
[bold]Examples[/bold]

capsedge lint runs/my-run

capsedge lint somebody-elses.onnx --trt-target sm75,sm86

capsedge lint model.onnx --json | jq '.findings[] | select(.severity == "refused")'
"""

_COLOURS = {"refused": "red", "unchecked": "red", "warning": "yellow", "note": ""}


def lint(
    model: Annotated[
        str,
        typer.Argument(
            help="Any ONNX file, a run's folder, or a model's name (capsedge models).",
            autocompletion=model_names,
            show_default=False,
        ),
    ],
    trt_target: Annotated[
        str | None,
        typer.Option(
            help="Compute capabilities of the target GPUs, such as sm75,sm86 (TensorRT-RTX).", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List nodes that TensorRT rejects or interprets differently, and int8 weights that saturate on some processors.

    Each has a reason and a remedy; no engine is built.
    """
    from capsedge.cli.console import print_json, say_chosen
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import model_file
    from capsedge.runtime.tensorrt.targets import check_names, names_in

    targets = names_in(trt_target)
    check_names(targets)
    file = model_file(find_model(model))
    say_chosen(model, file)
    if file.suffix != ".onnx":
        raise WrongUse(f"expected an ONNX file, got '{file}'", "give the .onnx file that the engine was built from")
    require("onnx", extra="trt")
    from capsedge.export.tensorrt import lint as lint_file

    found = lint_file(file, targets)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.refused:
        raise ModelError(f"TensorRT rejects '{file}': {number_of(len(found.refused), 'finding')}, listed above")
    if found.unchecked:
        raise ModelError(f"'{file}' could not be checked for {', '.join(found.targets)}, as told above")


def _print(found: "Lint") -> None:
    from rich.padding import Padding
    from rich.text import Text

    from capsedge.cli.console import out, say

    asked = f"{found.parser} and capsedge's rules" if found.parser else f"capsedge's rules only ({found.no_parser})"
    say(f"{found.file}: checked by {asked}{', for ' + ', '.join(found.targets) if found.targets else ''}")
    if not found.findings:
        out.print("no findings", markup=False)
        return
    nodes: dict[tuple[str, ...], list[str]] = {}  # by their common row
    for finding in found.findings:
        row = (finding.operator, finding.severity, finding.reason, finding.advice)
        nodes.setdefault(row, []).append(finding.node)
    if out.width < NARROW:  # five columns would be a few letters wide
        for (operator, severity, reason, advice), names in nodes.items():
            what = f" {operator}: " if operator else ": "
            out.print(Text(severity, _COLOURS[severity]).append(what + ", ".join(names), "default"))
            out.print(Padding(Text(f"{reason}\nto do: {advice}"), (0, 0, 0, 2)))
        return
    severities = [Text(severity, _COLOURS[severity]) for _, severity, _, _ in nodes]
    print_table(
        [
            Column("node", [Text("\n".join(names)) for names in nodes.values()]),
            Column("operator", [operator for operator, *_ in nodes]),
            Column("severity", severities),
            Column("reason", [reason for _, _, reason, _ in nodes]),
            Column("what to do", [advice for *_, advice in nodes]),
        ]
    )
