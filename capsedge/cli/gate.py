"""`capsedge gate`: runs the gate again, for a file that was copied, edited or changed by other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, MaxErrorIncreaseOption
from capsedge.cli.runs import given_run
from capsedge.errors import ModelError, ProviderError, WrongUse, require
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.contract import Contract

EXAMPLES = """
[bold]Examples[/bold]

capsedge gate runs/fashion-mnist-l2-small/model.onnx

capsedge gate copied.onnx --run runs/fashion-mnist-l2-small

capsedge gate runs/fashion-mnist-l2-small/model.int8.onnx --max-error-increase 0.3

capsedge gate runs/fashion-mnist-l2-small/model.engine
"""


def gate(
    model: Annotated[Path, typer.Argument(help="An .onnx or .engine file, or a run's folder.", show_default=False)],
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run whose network the file must match.  [dim]\\[default: the model's folder][/dim]",
            show_default=False,
        ),
    ] = None,
    max_error_increase: MaxErrorIncreaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an exported file against the network of its run; a rejected file is renamed to MODEL.rejected."""
    from capsedge.cli.console import print_json, say_chosen

    file = _file_to_judge(model)
    say_chosen(model, file)
    require("torch", extra="train")
    require("onnx", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.export import gate_model
    from capsedge.export.gate import gate_engine

    share = None if max_error_increase is None else max_error_increase / 100
    if run is None and not (file.parent / "run.json").is_file():
        raise ModelError(
            f"the gate compares a file with the network of its run, and '{file.parent}' is not a run: add --run RUN"
        )
    trained = given_run(run or file.parent)
    if file.suffix == ".engine":
        manifest = gate_engine(file, trained, max_error_increase=share)
        contract = manifest.contract
    else:
        manifest, contract = None, gate_model(file, trained, max_error_increase=share)
    _show(contract)
    if as_json:
        print_json(manifest or contract)
    verdict = contract.verdict
    if verdict is not None and verdict.status != "accepted":
        raise ProviderError(f"'{file}' was not executed here: {'; '.join(verdict.remarks)}")


def _file_to_judge(model: Path) -> Path:
    """The file at a path: the gate writes its verdict into the file, or renames it, so it takes no names.

    Raises:
        ModelError: There is no such file.
        WrongUse: It is the name or a file of a built-in model or of the zoo.
    """
    from capsedge.runtime.models import find_model, is_shipped, known_names, title
    from capsedge.runtime.open import model_file

    is_name = not model.exists() and str(model) in known_names()
    file = model_file(find_model(str(model)) if is_name else model)
    if is_shipped(file):
        raise WrongUse(
            f"'{model}' is the model {title(file.resolve())}, and the gate writes its verdict into the file",
            "copy the file, and give the copy and the run of which it was exported: capsedge gate COPY --run RUN",
        )
    return file


def _show(contract: "Contract") -> None:
    """Print each value of the verdict with its limit, and the scores."""
    from capsedge.cli.console import percent, say
    from capsedge.cli.screens.contract import its_figures

    verdict = contract.verdict
    if verdict is None or not verdict.images:
        return
    where = f" on {verdict.provider}" if verdict.provider else ""
    say(f"gate: {verdict.status}{where}, {number_of(verdict.images, 'validation image')}")
    for name, measured, limit in its_figures(verdict):
        say(f"  {name:<34} {measured}{f' ({limit})' if limit else ''}")
    for remark in verdict.notes:
        say(f"  {remark}")
    for score in contract.scores:
        say(f"  {score.stage:>9} {score.split:<10} error {percent(score.error)}")
