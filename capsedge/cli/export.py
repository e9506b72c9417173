"""`capsedge export`: writes a run as gated ONNX files, and engines, a Triton repository or pages of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.card_options import NO_CARD, CardOptions, with_card_options
from capsedge.cli.engine import ENGINE, NO_ENGINE, EngineOptions
from capsedge.cli.options import MaxErrorIncreaseOption, gathered, precision_lists
from capsedge.cli.runs import chosen_run
from capsedge.errors import CapsedgeError, Interrupted, WrongUse
from capsedge.plural import plural, quoted

if TYPE_CHECKING:
    from capsedge.cli.pages import Pages
    from capsedge.cli.repository import Repository
    from capsedge.contract import EngineManifest, Precision
    from capsedge.export import BuildOptions, Exported, RunExport
    from capsedge.training import Run

    _File = tuple[Precision, Path | None, int | None]  # what to export: a precision, a path, a fixed batch

QUANTIZED = ("int8", "int8+fp16", "fp8")
LARGEST_BATCH = 65_536

EXAMPLES = """
[bold]Examples[/bold]

capsedge export

capsedge export runs/fashion-mnist-l2-small --precision fp32,fp16,int8

capsedge export --precision int8 --max-error-increase 0.3

capsedge export --precision fp16 --trt --trt-target sm75,sm86 --trt-batch 1,8,64

capsedge export --precision int8 --triton repository/

capsedge export edge-small.int8 --web pages/

capsedge export --precision fp32,int8 --static-batch 1
"""


@gathered(
    "engine",
    EngineOptions,
    {name: (annotation, EngineOptions._field_defaults[name]) for name, annotation in ENGINE.items()},
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
            autocompletion=precision_lists,
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
    engine: EngineOptions = NO_ENGINE,
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
    web: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write the page of each file, which classifies in a browser, into this folder. In place of a "
            "run, a model's file or name is accepted then.",
        ),
    ] = None,
    web_runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder with the npm package onnxruntime-web.  [dim]\\[default: npm downloads it once][/dim]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each file's contract and its engine's manifest as JSON.")
    ] = False,
) -> None:
    """Export a run's best network to ONNX and TensorRT, and check each file against it on validation images."""
    from capsedge.cli.console import NEEDED, print_json
    from capsedge.cli.pages import pages_in
    from capsedge.cli.repository import repository_in
    from capsedge.cli.screens import export as screen
    from capsedge.errors import require
    from capsedge.files import check_output

    precisions = _precisions(",".join(precision or ["fp32"]))
    engine.check()
    write_card = card.check()
    repository = repository_in(triton, python=triton_python, engines=engine.trt)
    pages = pages_in(web, web_runtime)
    if pages is not None and run is not None and not run.is_dir():
        others = (precision, output, with_decoder, static_batch, calibration_images, max_error_increase, triton)
        alone = all(each is None or each is False for each in others) and engine == NO_ENGINE and card == NO_CARD
        pages.write_ready(run, alone=alone, as_json=as_json)
        return
    if calibration_images is not None and not any(each in QUANTIZED for each in precisions):
        raise WrongUse("--calibration-images is for int8, int8+fp16 and fp8", "add --precision int8")
    if output is not None:
        check_output(output, ".onnx")
    chosen = chosen_run(run, ["finished", "training"])
    for (module,), extra in NEEDED["export"]:  # beside torch
        require(module, extra=extra)
    if pages is not None:
        pages.find_library()
    from capsedge.export import Exported, RunExport
    from capsedge.export.precision import CALIBRATION_IMAGES, check_calibration

    options = engine.build_options(precisions)
    record = chosen.read_record()
    screen.say_run(chosen.path, record)
    card.check_place(chosen.path, output)
    files = [
        (one, _output(output, one, precisions, batch), batch)
        for one, batch in product(precisions, (None,) if static_batch is None else (None, static_batch))
    ]
    _check_places((repository, pages), chosen, files, decoder=with_decoder)
    done: list[dict[str, Any]] = []
    with _telling_kept(done):
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
        failed = _export_each(pipeline, files, options, repository, pages, done)
        if len(done) > 1:
            screen.show_table([each["contract"] for each in done], [each["model"] for each in done])
        written = None
        with _collected(failed):
            written = write_card(pipeline, output, [Exported(Path(each["model"]), each["contract"]) for each in done])
    if as_json:
        print_json(
            {
                "exported": done,
                "failed": [error.record for error in failed],
                "card": None if written is None else str(written),
            }
        )
    if failed:
        advice = "; ".join(dict.fromkeys(each.advice for each in failed if each.advice))
        raise failed[0] if len(failed) == 1 else type(failed[0])("; ".join(each.text for each in failed), advice)
    _show_next(pages, done, record.data_source)


def _check_places(
    targets: "tuple[Repository | None, Pages | None]", run: "Run", files: "Sequence[_File]", *, decoder: bool
) -> None:
    """Refuse before the export what would be refused after it; see `check_place`."""
    from capsedge.export.placing import check_file, subject_of
    from capsedge.files import check_folder

    record = run.read_record()
    subject = subject_of(record.classes, record.data)
    beside = [file for _, file, _ in files if file is not None]
    if not beside:
        check_folder(run.path)
    for file in beside:
        check_file(file, record.classes)
    precisions = [precision for precision, _, batch in files if batch is None]
    for target in targets:
        if target is not None:
            target.check_places(run.path.resolve().name, subject, precisions, decoder=decoder, beside=beside)


def _show_next(pages: "Pages | None", done: list[dict[str, Any]], data_source: str) -> None:
    """Print the next command: the one that opens the pages, if there are any."""
    from capsedge.cli.screens import export as screen

    if pages is not None and pages.written:
        pages.show_next()
    else:
        screen.show_next([(each["model"], each["contract"]) for each in done], data_source)


def _export_each(
    pipeline: "RunExport",
    files: "Sequence[_File]",
    options: "BuildOptions | None",
    repository: "Repository | None",
    pages: "Pages | None",
    done: list[dict[str, Any]],
) -> list[CapsedgeError]:
    """Export files; appends what was made to `done`, and returns the errors of the others.

    A file with a fixed batch is for other runtimes: it gets no engine, no repository and no page.
    """
    from capsedge.cli.screens import export as screen

    failed: list[CapsedgeError] = []
    for precision, place, batch in files:
        with _collected(failed):
            with screen.working() as pipeline.tell:
                made = pipeline.export(precision, place, static_batch=batch)
            screen.show_file(made)
            report = {"model": str(made.path), "contract": made.contract, "engine": None, "triton": None, "web": None}
            done.append(report)
            if not batch:
                _deploy(pipeline, made, report, options, repository)
                report["web"] = None if pages is None else pages.write(report)
    return failed


@contextmanager
def _telling_kept(done: list[dict[str, Any]]) -> Iterator[None]:
    """Add to an interruption what is left: files appear whole, so there is nothing unfinished."""
    try:
        yield
    except KeyboardInterrupt:
        models = quoted(each["model"] for each in done)
        kept = f"{models} {plural(len(done), 'is', 'are')} complete, and no other model" if done else "no model"
        raise Interrupted(f"interrupted: {kept} was written") from None


@contextmanager
def _collected(failed: list[CapsedgeError]) -> Iterator[None]:
    """Append an error to a list instead of raising it, and continue with the other files."""
    try:
        yield
    except CapsedgeError as error:
        failed.append(error)


def _deploy(
    pipeline: "RunExport",
    made: "Exported",
    report: dict[str, Any],
    options: "BuildOptions | None",
    repository: "Repository | None",
) -> None:
    """Build a file's engine and write its entry in a repository; both are added to its part of the JSON output."""
    from capsedge.cli.screens import export as screen

    manifest, engine = None, None
    if options is not None:
        engine, manifest = _build(pipeline, made, options)
        screen.show_engine(engine, manifest)
        report["engine"] = manifest
    if repository is not None:
        report["triton"] = repository.write(made, engine, manifest)


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
            raise WrongUse(f"unknown precision '{name}'", nearest(name, known))
    return tuple(dict.fromkeys(known[name] for name in names))


def _output(
    output: Path | None, precision: "Precision", precisions: "tuple[Precision, ...]", static_batch: int | None
) -> Path | None:
    """The path to write: --output, with the batch size, and with the precision if there are several."""
    from capsedge.export.pipeline import file_name

    if output is None:
        return None
    return output.with_name(file_name(precision if len(precisions) > 1 else "fp32", static_batch, output.stem))
