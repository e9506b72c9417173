"""`capsedge export`: collapse, ONNX, gate, and a TensorRT engine where it is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.errors import WrongUse

if TYPE_CHECKING:
    from capsedge.contract import Contract

EXAMPLES = """
[bold]Examples[/bold]

capsedge export

capsedge export runs/fashion-mnist-l2-small --trt

capsedge export --trt --trt-target sm86,sm89 --trt-batch 1,8,64
"""


def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="The run's folder.  [dim]\\[default: the newest run][/dim]", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The ONNX file.  [dim]\\[default: RUN/model.onnx][/dim]")
    ] = None,
    trt: Annotated[
        bool, typer.Option("--trt", help="Build a TensorRT engine too; TensorRT-RTX needs no GPU.")
    ] = False,
    trt_target: Annotated[
        str | None, typer.Option(help="Compute capabilities to build for, such as sm86,sm89 (TensorRT-RTX).")
    ] = None,
    trt_batch: Annotated[
        str | None,
        typer.Option(
            help="Smallest, optimal and largest batch of the engine.  [dim]\\[default: 1,1,64][/dim]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the contract, and the engine's manifest, as JSON.")
    ] = False,
) -> None:
    """Export a run's best network, collapsed, as a file that was held against the network on real images."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.errors import require

    if not trt and (trt_batch is not None or trt_target is not None):
        raise WrongUse("--trt-batch and --trt-target say how to build an engine: add --trt")
    if output is not None and output.suffix != ".onnx":
        raise WrongUse(f"--output wants a name that ends in .onnx, and was given '{output}'")
    require("torch", extra="train")
    require("onnxscript", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.export import build_engine, check_options, choose_package, export_run
    from capsedge.export.tensorrt import DEFAULT_BATCH
    from capsedge.training import Run, newest_run

    batch = DEFAULT_BATCH if trt_batch is None else _batch(trt_batch)
    targets = tuple(part.strip() for part in trt_target.split(",")) if trt_target is not None else ()
    if trt:  # what cannot be built is told before the export, not after
        check_options(batch, targets)
        choose_package(targets)
    chosen = Run(run) if run is not None else newest_run(status=["finished", "training"])
    say(f"run: {chosen.path}, trained on {chosen.read_record().data}")
    exported = export_run(chosen, output)
    say(f"model: {exported.path} ({exported.path.stat().st_size / 1e6:.2f} MB)")
    _show_verdict(exported.contract)
    manifest = None
    if trt:
        engine, manifest = build_engine(exported.path, batch=batch, targets=targets)
        say(
            f"engine: {engine} ({manifest.size_bytes / 1e6:.2f} MB, {manifest.package} {manifest.package_version}, "
            f"targets {', '.join(manifest.targets) or 'default'}, batch {'/'.join(map(str, manifest.batch))}, "
            f"built in {manifest.build_seconds:.1f} s): not executed here"
        )
    if as_json:
        print_json({"model": str(exported.path), "contract": exported.contract, "engine": manifest})
    next_command("capsedge", "infer", "--model", str(exported.path), "image.png")


def _show_verdict(contract: "Contract") -> None:
    from capsedge.cli.console import percent, say

    verdict = contract.verdict
    assert verdict is not None  # export_run gives gated files only
    assert verdict.largest_length_difference is not None
    assert verdict.top1_agreement is not None
    say(
        f"gate: {verdict.status} on {verdict.provider}, {verdict.images:,} images, largest length difference "
        f"{verdict.largest_length_difference:.1e}, the same answer on {percent(verdict.top1_agreement)}"
    )
    for score in contract.scores:
        say(f"  {score.stage:>7} {score.split:<10} error {percent(score.error)}")


def _batch(text: str) -> tuple[int, int, int]:
    try:
        smallest, optimal, largest = (int(part) for part in text.split(","))
    except ValueError as error:
        raise WrongUse(f"--trt-batch wants three numbers such as 1,8,64, and was given '{text}'") from error
    return smallest, optimal, largest
