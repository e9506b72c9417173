"""`capsedge export`: collapse, ONNX in each precision, gate, and engines or a server's repository where asked for."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import MaxErrorIncreaseOption
from capsedge.errors import CapsedgeError, WrongUse

if TYPE_CHECKING:
    from capsedge.contract import EngineManifest, Precision
    from capsedge.export import BuildOptions, Exported, RunExport
    from capsedge.export.tensorrt.options import Package

QUANTIZED = ("int8", "int8+fp16", "fp8")
LARGEST_BATCH = 65_536

EXAMPLES = """
[bold]Examples[/bold]

capsedge export

capsedge export runs/fashion-mnist-l2-small --precision fp32,fp16,int8

capsedge export --precision int8 --max-error-increase 0.3

capsedge export --precision fp16 --trt --trt-target sm75,sm86 --trt-batch 1,8,64

capsedge export --precision int8 --triton repository/

capsedge export --precision fp32,int8 --static-batch 1
"""


def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="The run's folder.  [dim]\\[default: the newest run][/dim]", show_default=False),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="One or several of fp32, fp16, bf16, int8, int8+fp16, fp8: a file for each.")
    ] = "fp32",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The ONNX file.  [dim]\\[default: RUN/model.onnx, RUN/model.int8.onnx, ...][/dim]"
        ),
    ] = None,
    with_decoder: Annotated[
        bool, typer.Option("--with-decoder", help="Give the reconstruction of the longest capsule as an output too.")
    ] = False,
    static_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LARGEST_BATCH,
            metavar="N",
            help="Write a file with a fixed batch of N beside each: NPU and CoreML providers refuse free axes.",
        ),
    ] = None,
    calibration_images: Annotated[
        int | None,
        typer.Option(
            help="Training images that int8 and fp8 are calibrated on.  [dim]\\[default: 512][/dim]",
            show_default=False,
        ),
    ] = None,
    max_error_increase: MaxErrorIncreaseOption = None,
    trt: Annotated[
        bool, typer.Option("--trt", help="Build a TensorRT engine of each file; TensorRT-RTX needs no GPU.")
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
    trt_package: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="tensorrt (Jetson, data centre) or tensorrt_rtx (GeForce, RTX).  "
            "[dim]\\[default: the one that builds here][/dim]",
            show_default=False,
        ),
    ] = None,
    trt_workspace: Annotated[
        int | None, typer.Option(metavar="MIB", help="Memory that the engine may use for intermediate results.")
    ] = None,
    trt_hardware_compatible: Annotated[
        bool,
        typer.Option(
            "--trt-hardware-compatible", help="Classic TensorRT: an engine for every GPU from Ampere on, not for one."
        ),
    ] = False,
    allow_deferred: Annotated[
        bool,
        typer.Option(
            "--allow-deferred", help="Where no engine can be built here: write down how the target machine builds it."
        ),
    ] = False,
    triton: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write each file into this model repository of NVIDIA Triton too."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the contract of each file, and its engine's manifest, as JSON.")
    ] = False,
) -> None:
    """Export a run's best network, collapsed, as files that were held against the network on real images."""
    from capsedge.cli import exported
    from capsedge.cli.console import print_json, say
    from capsedge.errors import require

    precisions = _precisions(precision)
    building = (trt_batch, trt_target, trt_package, trt_workspace)
    if not trt and (any(each is not None for each in building) or trt_hardware_compatible or allow_deferred):
        raise WrongUse("--allow-deferred and all that begins with --trt- say how to build an engine: add --trt")
    if triton is not None and triton.exists() and not triton.is_dir():
        raise WrongUse(f"--triton wants a folder, and '{triton}' is a file")
    if calibration_images is not None and not any(each in QUANTIZED for each in precisions):
        raise WrongUse("--calibration-images is for int8, int8+fp16 and fp8: add --precision int8")
    if output is not None and output.suffix != ".onnx":
        raise WrongUse(f"--output wants a name that ends in .onnx, and was given '{output}'")
    require("torch", extra="train")
    require("onnxscript", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.export import BuildOptions, RunExport, check_options
    from capsedge.export.precision import CALIBRATION_IMAGES, check_calibration
    from capsedge.export.tensorrt import DEFAULT_BATCH
    from capsedge.training import Run, newest_run

    options = None
    if trt:  # what cannot be built is told before the export, not after
        options = BuildOptions(
            batch=DEFAULT_BATCH if trt_batch is None else _batch(trt_batch),
            targets=tuple(part.strip() for part in trt_target.split(",")) if trt_target is not None else (),
            workspace_mb=trt_workspace,
            hardware_compatible=trt_hardware_compatible,
            allow_deferred=allow_deferred,
            package=_package(trt_package),
        )
        check_options(options, precisions)
    chosen = Run(run) if run is not None else newest_run(status=["finished", "training"])
    record = chosen.read_record()
    say(f"run: {chosen.path}, trained on {record.data}")
    if record.status != "finished":
        say("note: it is not finished; what is exported is the best network so far")
    with exported.working() as tell:
        exporter = RunExport(
            chosen,
            decoder=with_decoder,
            calibrate_on=CALIBRATION_IMAGES if calibration_images is None else calibration_images,
            max_error_increase=None if max_error_increase is None else max_error_increase / 100,
            tell=tell,
        )
    if any(each in QUANTIZED for each in precisions):
        check_calibration(exporter.dataset, exporter.calibrate_on)
    done: list[dict[str, Any]] = []
    failed: list[CapsedgeError] = []
    batches = (None,) if static_batch is None else (None, static_batch)
    for one, batch in product(precisions, batches):
        place = _output(output, one, precisions, batch)
        try:
            done.append(_export(exporter, one, place, batch, None if batch else options, None if batch else triton))
        except CapsedgeError as error:  # the others may do
            failed.append(error)
    if len(done) > 1:
        exported.show_table([each["contract"] for each in done], [each["model"] for each in done])
    if as_json:
        print_json({"exported": done, "failed": [error.record for error in failed]})
    if failed:
        raise type(failed[0])("; ".join(map(str, failed)))
    exported.show_next([(each["model"], each["contract"]) for each in done])


def _export(
    exporter: "RunExport",
    precision: "Precision",
    output: Path | None,
    static_batch: int | None,
    options: "BuildOptions | None",
    triton: Path | None,
) -> dict[str, Any]:
    """One file of a run, its engine, and its place in a repository: what `--json` says of them.

    Engines and repositories take the file with a free batch.
    """
    from capsedge.cli import exported
    from capsedge.cli.console import say
    from capsedge.export.triton import write_repository

    with exported.working() as exporter.tell:
        made = exporter.export(precision, output, static_batch=static_batch)
    exported.show_file(made)
    manifest, engine = None, None
    if options is not None:
        engine, manifest = _build(exporter, made, options)
        exported.show_engine(engine, manifest)
    served = None
    if triton is not None:
        source = _source(made, engine, manifest)
        served = None if source is None else write_repository(triton, source)
        say(f"Triton: {made.path} was not executed here and is left out" if served is None else f"Triton: {served}")
    return {
        "model": str(made.path),
        "contract": made.contract,
        "engine": manifest,
        "triton": None if served is None else str(served),
    }


def _source(made: "Exported", engine: Path | None, manifest: "EngineManifest | None") -> Path | None:
    """What a server shall run: an engine that it can load and that ran here, or else the ONNX file, if that ran."""
    for file, contract in ((engine, manifest and manifest.contract), (made.path, made.contract)):
        loadable = manifest is None or file == made.path or manifest.package == "tensorrt"
        if file and contract and contract.verdict and contract.verdict.status == "accepted" and loadable:
            return file
    return None


def _build(exporter: "RunExport", made: "Exported", options: "BuildOptions") -> "tuple[Path, EngineManifest]":
    """An engine of a file; and the gate on it, where this machine can execute it."""
    from capsedge.cli import exported
    from capsedge.export import build_engine
    from capsedge.export.gate import gate_engine

    with exported.building() as progress:
        engine, manifest = build_engine(made.path, None, options, progress=progress)
    if manifest.deferred:
        return engine, manifest
    with exported.working() as tell:
        tell("the gate on the engine")
        return engine, gate_engine(engine, exporter.run, max_error_increase=exporter.max_error_increase)


def _precisions(text: str) -> "tuple[Precision, ...]":
    from capsedge.contract import PRECISIONS
    from capsedge.errors import nearest

    known = {str(precision): precision for precision in PRECISIONS}
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise WrongUse(f"there is no precision '{name}'; {nearest(name, known)}")
    return tuple(dict.fromkeys(known[name] for name in names))


def _package(name: str | None) -> "Package | None":
    if name not in (None, "tensorrt", "tensorrt_rtx"):
        raise WrongUse(f"--trt-package is tensorrt or tensorrt_rtx, and '{name}' was given")
    return name  # type: ignore[return-value]  # it was checked


def _output(
    output: Path | None, precision: "Precision", precisions: "tuple[Precision, ...]", static_batch: int | None
) -> Path | None:
    """Where a file goes: the name that was given, with the precision in it where there are several, and the batch."""
    from capsedge.export.pipeline import file_name

    if output is None:
        return None
    return output.with_name(file_name(precision if len(precisions) > 1 else "fp32", static_batch, output.stem))


def _batch(text: str) -> tuple[int, int, int]:
    try:
        smallest, optimal, largest = (int(part) for part in text.split(","))
    except ValueError as error:
        raise WrongUse(f"--trt-batch wants three numbers such as 1,8,64, and was given '{text}'") from error
    return smallest, optimal, largest
