"""`capsedge export`: writes a run as gated ONNX files in each precision, TensorRT engines or a Triton repository."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from capsedge.cli.card_options import NO_CARD, CardOptions, with_card_options
from capsedge.cli.options import MaxErrorIncreaseOption, gathered
from capsedge.cli.runs import chosen_run
from capsedge.errors import CapsedgeError, WrongUse

if TYPE_CHECKING:
    from capsedge.contract import EngineManifest, Precision
    from capsedge.export import BuildOptions, Exported, RunExport

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


class EngineOptions(NamedTuple):
    """The options of an engine; None for the default."""

    trt: bool = False
    trt_target: str | None = None
    trt_batch: str | None = None
    trt_package: Literal["tensorrt", "tensorrt_rtx"] | None = None
    trt_workspace: int | None = None
    trt_hardware_compatible: bool = False
    allow_deferred: bool = False

    def check(self) -> None:
        """Refuse options of an engine where none is built."""
        if not self.trt and self != EngineOptions():
            raise WrongUse("--allow-deferred and the options --trt-... apply to a TensorRT engine: add --trt")

    def build_options(self, precisions: "tuple[Precision, ...]") -> "BuildOptions | None":
        """The library's options, None for no engine; an impossible build is refused here, before the export."""
        from capsedge.export import BuildOptions, check_options
        from capsedge.export.tensorrt import DEFAULT_BATCH

        if not self.trt:
            return None
        options = BuildOptions(
            batch=DEFAULT_BATCH if self.trt_batch is None else _batch(self.trt_batch),
            targets=tuple(part.strip() for part in self.trt_target.split(",")) if self.trt_target is not None else (),
            workspace_mb=self.trt_workspace,
            hardware_compatible=self.trt_hardware_compatible,
            allow_deferred=self.allow_deferred,
            package=self.trt_package,
        )
        check_options(options, precisions)
        return options


_NO_ENGINE = EngineOptions()
_ENGINE: dict[str, Any] = {
    "trt": Annotated[
        bool, typer.Option("--trt", help="Build a TensorRT engine from each file; TensorRT-RTX builds without a GPU.")
    ],
    "trt_target": Annotated[
        str | None, typer.Option(help="Compute capabilities to build for, such as sm86,sm89 (TensorRT-RTX only).")
    ],
    "trt_batch": Annotated[
        str | None,
        typer.Option(
            metavar="MIN,OPT,MAX",
            help="Smallest, optimal and largest batch of the engine.  [dim]\\[default: 1,1,64][/dim]",
            show_default=False,
        ),
    ],
    "trt_package": Annotated[
        Literal["tensorrt", "tensorrt_rtx"] | None,
        typer.Option(
            help="Python package that builds the engine: tensorrt for Jetson and data centre GPUs, tensorrt_rtx for "
            "GeForce and RTX.  [dim]\\[default: the one that builds here][/dim]",
            show_default=False,
        ),
    ],
    "trt_workspace": Annotated[
        int | None, typer.Option(metavar="MIB", help="Memory limit for the engine's intermediate results.")
    ],
    "trt_hardware_compatible": Annotated[
        bool,
        typer.Option(
            "--trt-hardware-compatible",
            help="Build an engine for all GPUs from Ampere on, not for this one only (TensorRT only).",
        ),
    ],
    "allow_deferred": Annotated[
        bool,
        typer.Option(
            "--allow-deferred",
            help="If no engine can be built here, write the command that builds it on the target machine.",
        ),
    ],
}


@gathered(
    "engine",
    EngineOptions,
    {name: (annotation, EngineOptions._field_defaults[name]) for name, annotation in _ENGINE.items()},
)
@with_card_options
def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run's folder.  [dim]\\[default: the newest run in runs/][/dim]", show_default=False),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="One or more of fp32, fp16, bf16, int8, int8+fp16, fp8, separated by commas or by repeating the "
            "option; one file each.  [dim]\\[default: fp32][/dim]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.onnx",
            help="ONNX file to write.  [dim]\\[default: RUN/model.onnx, RUN/model.int8.onnx, ...][/dim]",
        ),
    ] = None,
    with_decoder: Annotated[
        bool,
        typer.Option("--with-decoder", help="Add the decoder's reconstruction of the longest capsule as an output."),
    ] = False,
    static_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LARGEST_BATCH,
            metavar="N",
            help="Also write each file with a fixed batch of N, which NPU and CoreML providers require.",
        ),
    ] = None,
    calibration_images: Annotated[
        int | None,
        typer.Option(
            help="Number of training images that calibrate int8 and fp8.  [dim]\\[default: 512][/dim]",
            show_default=False,
        ),
    ] = None,
    max_error_increase: MaxErrorIncreaseOption = None,
    engine: EngineOptions = _NO_ENGINE,
    triton: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write each file into this model repository of NVIDIA Triton."),
    ] = None,
    triton_python: Annotated[
        bool,
        typer.Option(
            "--triton-python", help="With --triton: use Triton's Python backend instead of the one for ONNX Runtime."
        ),
    ] = False,
    card: CardOptions = NO_CARD,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each file's contract and its engine's manifest as JSON.")
    ] = False,
) -> None:
    """Export a run's best network to ONNX and TensorRT, and check each file against it on validation images."""
    from capsedge.cli.console import print_json, say
    from capsedge.cli.screens import export as screen
    from capsedge.errors import require
    from capsedge.files import check_folder, check_output

    precisions = _precisions(",".join(precision or ["fp32"]))
    engine.check()
    card.check()
    if triton_python:
        _check_triton_python(triton, engine)
    if triton is not None:
        check_folder(triton)
    if calibration_images is not None and not any(each in QUANTIZED for each in precisions):
        raise WrongUse("--calibration-images is for int8, int8+fp16 and fp8: add --precision int8")
    if output is not None:
        check_output(output, ".onnx")
    require("torch", extra="train")
    require("onnxscript", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.export import Exported, RunExport
    from capsedge.export.precision import CALIBRATION_IMAGES, check_calibration

    options = engine.build_options(precisions)
    chosen = chosen_run(run, ["finished", "training"])
    record = chosen.read_record()
    say(f"run: {chosen.path}, trained on {record.data}")
    if record.status != "finished":
        say("note: the run is not finished; its best network so far is exported")
    if output is None:
        check_folder(chosen.path)
    with screen.working() as tell:
        pipeline = RunExport(
            chosen,
            decoder=with_decoder,
            calibrate_on=CALIBRATION_IMAGES if calibration_images is None else calibration_images,
            max_error_increase=None if max_error_increase is None else max_error_increase / 100,
            tell=tell,
        )
    if any(each in QUANTIZED for each in precisions):
        check_calibration(pipeline.dataset, pipeline.calibrate_on)
    done: list[dict[str, Any]] = []
    failed: list[CapsedgeError] = []
    batches = (None,) if static_batch is None else (None, static_batch)
    for one, batch in product(precisions, batches):
        place = _output(output, one, precisions, batch)
        try:
            build, serve = (None, None) if batch else (options, triton)
            done.append(_export(pipeline, one, place, batch, build, serve, python=triton_python))
        except CapsedgeError as error:  # continue with the other files
            failed.append(error)
    if len(done) > 1:
        screen.show_table([each["contract"] for each in done], [each["model"] for each in done])
    written = card.write(pipeline, output, [Exported(Path(each["model"]), each["contract"]) for each in done])
    if as_json:
        print_json({"exported": done, "failed": [error.record for error in failed], "card": written})
    if failed:
        raise type(failed[0])("; ".join(map(str, failed)))
    screen.show_next([(each["model"], each["contract"]) for each in done], record.data_source)


def _check_triton_python(triton: Path | None, engine: EngineOptions) -> None:
    if triton is None:
        raise WrongUse("--triton-python is for a model repository: add --triton FOLDER")
    if engine.trt:
        raise WrongUse("--triton-python serves the ONNX file, and --trt builds an engine: leave out one of them")


def _export(
    pipeline: "RunExport",
    precision: "Precision",
    output: Path | None,
    static_batch: int | None,
    options: "BuildOptions | None",
    triton: Path | None,
    *,
    python: bool,
) -> dict[str, Any]:
    """Export one file of a run, its engine and its entry in a repository; returns their part of the JSON output."""
    from capsedge.cli.console import say
    from capsedge.cli.screens import export as screen
    from capsedge.export.triton import write_repository
    from capsedge.export.triton.source import to_serve

    with screen.working() as pipeline.tell:
        made = pipeline.export(precision, output, static_batch=static_batch)
    screen.show_file(made)
    manifest, engine = None, None
    if options is not None:
        engine, manifest = _build(pipeline, made, options)
        screen.show_engine(engine, manifest)
    served = None
    if triton is not None:
        built = (None, None) if python else (engine, manifest)
        source = to_serve(made.path, made.contract, *built)
        served = None if source is None else write_repository(triton, source, python=python)
        say(f"Triton: left out {made.path}, which was not executed here" if served is None else f"Triton: {served}")
    return {
        "model": str(made.path),
        "contract": made.contract,
        "engine": manifest,
        "triton": None if served is None else str(served),
    }


def _build(pipeline: "RunExport", made: "Exported", options: "BuildOptions") -> "tuple[Path, EngineManifest]":
    """Build the engine of a file, and gate it where this machine can execute it."""
    from capsedge.cli.screens import export as screen
    from capsedge.export import build_engine
    from capsedge.export.gate import gate_engine

    with screen.building() as progress:
        engine, manifest = build_engine(made.path, None, options, progress=progress)
    if manifest.deferred:
        return engine, manifest
    with screen.working() as tell:
        tell("gate: running the engine")
        return engine, gate_engine(engine, pipeline.run, max_error_increase=pipeline.max_error_increase)


def _precisions(text: str) -> "tuple[Precision, ...]":
    from capsedge.contract import PRECISIONS
    from capsedge.errors import nearest

    known = {str(precision): precision for precision in PRECISIONS}
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise WrongUse(f"unknown precision '{name}'; {nearest(name, known)}")
    return tuple(dict.fromkeys(known[name] for name in names))


def _output(
    output: Path | None, precision: "Precision", precisions: "tuple[Precision, ...]", static_batch: int | None
) -> Path | None:
    """The path to write: --output, with the batch size, and with the precision if there are several."""
    from capsedge.export.pipeline import file_name

    if output is None:
        return None
    return output.with_name(file_name(precision if len(precisions) > 1 else "fp32", static_batch, output.stem))


def _batch(text: str) -> tuple[int, int, int]:
    try:
        smallest, optimal, largest = (int(part) for part in text.split(","))
    except ValueError as error:
        raise WrongUse(f"--trt-batch: expected three integers such as 1,8,64, got '{text}'") from error
    return smallest, optimal, largest
