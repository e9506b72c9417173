"""`capsedge gate`: runs the gate again, for a file that was copied, edited or changed by other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, MaxErrorIncreaseOption
from capsedge.cli.runs import given_run
from capsedge.errors import GateRejected, ModelError, ProviderError, WrongUse, require
from capsedge.plural import number_of
from capsedge.runtime.providers import Provider

if TYPE_CHECKING:
    from capsedge.contract import Verdict
    from capsedge.training import Run

EXAMPLES = """
[bold]Examples[/bold]

capsedge gate runs/fashion-mnist-l2-small/model.onnx

capsedge gate copied.onnx --run runs/fashion-mnist-l2-small

capsedge gate runs/fashion-mnist-l2-small/model.int8.onnx --max-error-increase 0.3

capsedge gate runs/fashion-mnist-l2-small/model.int8.onnx --provider openvino

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
    provider: Annotated[
        Provider | None,
        typer.Option(
            help="Judge an ONNX file on this provider; the file, with the verdict in it, stays as it is.  "
            "[dim]\\[default: ONNX Runtime's CPU, whose verdict is written into the file][/dim]",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an exported file against the network of its run; a rejected file is renamed to MODEL.rejected."""
    from capsedge.cli.console import percent, print_json, say, say_chosen
    from capsedge.run_record import is_run

    file = _file_to_judge(model)
    if provider is None:
        _refuse_shipped(model, file)
    elif file.suffix == ".engine":
        raise WrongUse("an engine runs on its own TensorRT", "leave out --provider")
    say_chosen(model, file)
    if run is None and not is_run(file.parent):
        raise ModelError(
            f"the gate compares a file with the network of its run, and '{file.parent}' is not a run", "add --run RUN"
        )
    trained = given_run(run or file.parent)
    require("onnx", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.export import gate_model
    from capsedge.export.gate import gate_engine

    share = None if max_error_increase is None else max_error_increase / 100
    if provider is not None:
        _judge_on(provider, file, trained, share, as_json=as_json)
        return
    if file.suffix == ".engine":
        manifest = gate_engine(file, trained, max_error_increase=share)
        contract = manifest.contract
    else:
        manifest, contract = None, gate_model(file, trained, max_error_increase=share)
    _show(contract.verdict)
    for score in contract.scores if contract.verdict is not None and contract.verdict.images else ():
        say(f"  {score.stage:>9} {score.split:<10} error {percent(score.error)}")
    if as_json:
        print_json(manifest or contract)
    verdict = contract.verdict
    if verdict is not None and verdict.status != "accepted":
        raise ProviderError(f"'{file}' was not executed here: {'; '.join(verdict.remarks)}")


def _file_to_judge(model: Path) -> Path:
    """The file at a path; where there is none, that of the model with this name.

    Raises:
        ModelError: There is no such file.
    """
    from capsedge.runtime.models import find_model, known_names
    from capsedge.runtime.open import model_file

    is_name = not model.exists() and str(model) in known_names()
    return model_file(find_model(str(model)) if is_name else model)


def _refuse_shipped(model: Path, file: Path) -> None:
    """Refuse a built-in model and one of the zoo: the gate writes its verdict into the file, or renames it.

    Raises:
        WrongUse: It is such a model.
    """
    from capsedge.runtime.models import is_shipped, title

    if is_shipped(file):
        raise WrongUse(
            f"'{model}' is the model {title(file.resolve())}, and the gate writes its verdict into the file",
            "copy the file, and give the copy and the run of which it was exported: capsedge gate COPY --run RUN",
        )


def _judge_on(provider: Provider, file: Path, run: "Run", share: float | None, *, as_json: bool) -> None:
    """Judge a file on a provider, and report the verdict only."""
    from capsedge.cli.console import print_json
    from capsedge.export.elsewhere import gate_on

    verdict = gate_on(file, run, provider, max_error_increase=share)
    _show(verdict)
    if as_json:
        print_json(verdict)
    if verdict.status == "rejected":
        where = f" on {verdict.provider}" if verdict.provider else ""
        raise GateRejected(f"the gate rejects '{file}'{where}: {'; '.join(verdict.reasons)}")


def _show(verdict: "Verdict | None") -> None:
    """Print each value of a verdict with its limit, and its remarks."""
    from capsedge.cli.console import say
    from capsedge.cli.screens.contract import its_figures
    from capsedge.cli.screens.export import say_notes

    if verdict is None or not verdict.images:
        return
    where = f" on {verdict.provider}" if verdict.provider else ""
    say(f"gate: {verdict.status}{where}, {number_of(verdict.images, 'validation image')}")
    for name, measured, limit in its_figures(verdict):
        say(f"  {name:<34} {measured}{f' ({limit})' if limit else ''}")
    say_notes(verdict)
