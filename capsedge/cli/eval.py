"""`capsedge eval`: a model's error rate on labelled images, its mistakes, and the reliability of its lengths."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from capsedge.cli.options import JsonOption, ModelArgument, data_names, model_names, session_options
from capsedge.errors import WrongUse
from capsedge.fit import Frame
from capsedge.runtime.settings import DEFAULTS, Settings

if TYPE_CHECKING:
    from contextlib import ExitStack

    from capsedge.measure.evaluate.foreign import Layout, Pixels
    from capsedge.measure.evaluate.subject import EvaluatedNetwork

EXAMPLES = """
[bold]Examples[/bold]

capsedge eval

capsedge eval runs/my-run --html errors.html

capsedge eval model.int8.onnx --data more-photos/ --compare model.onnx

capsedge eval resnet.onnx --classes labels.txt --pixels imagenet --data photos/

capsedge eval builtin --data fashion-mnist --json | jq '.mistakes[].name'
"""

FOREIGN_PANEL = "Models without a contract"


@session_options("provider", "threads", "allow_fallback")
def eval(  # the command's name
    model: ModelArgument = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="A folder with a subfolder of images for each class, a .csv or a data set's name, as for train.  "
            "[dim]\\[default: the run's test images][/dim]",
            autocompletion=data_names,
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        Literal["test", "validation", "train", "all"],
        typer.Option(help="Part to evaluate, if the data has parts."),
    ] = "test",
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Compare with another model of the same classes, on the same images.",
            show_default=False,
            autocompletion=model_names,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Class names in the order of the outputs: a,b,c, or a file with one name on each line.",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    pixels: Annotated[
        Literal["unit", "signed", "imagenet", "bytes"] | None,
        typer.Option(
            help="Pixel values: 0 to 1, -1 to 1, ImageNet's mean and standard deviation, or 0 to 255.  "
            r"[dim]\[default: unit, or bytes for an integer input][/dim]",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=0,
            help="Side of the images in pixels, if the file does not fix it.",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = 0,
    layout: Annotated[
        Literal["nchw", "nhwc"] | None,
        typer.Option(
            help="Order of the input's axes, if the file does not show it.",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    frame: Annotated[Frame, typer.Option(help="How images are fitted.", rich_help_panel=FOREIGN_PANEL)] = "pad",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with plots and the misclassified images.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write each image with its answer and lengths.")
    ] = None,
    settings: Settings = DEFAULTS,
    as_json: JsonOption = False,
) -> None:
    """Measure a model's error on labelled images, by class, with confusions and the reliability of its lengths."""
    from contextlib import ExitStack

    from capsedge.cli.console import next_command, print_json, say
    from capsedge.cli.screens.eval import print_evaluation
    from capsedge.files import check_output, page_mark, write_atomically
    from capsedge.measure.evaluate.beside import compared_with
    from capsedge.measure.evaluate.labelled import images_for
    from capsedge.measure.evaluate.measure import CSV_HEAD, as_csv, evaluated

    for place, suffix, mark in ((html, ".html", page_mark("eval")), (csv, ".csv", CSV_HEAD)):
        if place is not None:
            check_output(place, suffix, mark=mark, command=f"eval --{suffix[1:]}")
    foreign = _Foreign(classes, pixels, size, layout, frame)
    with ExitStack() as stack:
        subject = _subject(model, settings, foreign, stack)
        images = images_for(subject, data, part)
        lengths = subject.lengths(images.images)
        found = evaluated(
            lengths,
            images.labels,
            model=subject.name,
            data=images.data,
            classes=subject.classes,
            names=images.names,
            remarks=(*subject.remarks, *images.remarks),
        )
        if compare is not None:
            other = _subject(compare, settings, foreign, stack)
            found = compared_with(other, found, first=subject, lengths=lengths, images=images, data=data, part=part)
    if html is not None:
        from capsedge.measure.evaluate.page import page

        write_atomically(html, page(found, images.images))
    if csv is not None:
        write_atomically(csv, as_csv(images.names, images.labels, lengths, subject.classes))
    if as_json:
        print_json(found)
    else:
        print_evaluation(found)
    for place in filter(None, (html, csv)):
        say(f"wrote {place}")
    if not as_json and html is None:
        again = [*([model] if model else []), *(["--data", data] if data else [])]
        again += ["--part", part] if part != "test" else []
        given = {"classes": classes, "pixels": pixels, "size": size, "layout": layout, "compare": compare}
        again += [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
        again += ["--frame", frame] if frame != "pad" else []
        next_command("capsedge", "eval", *again, "--html", "errors.html")


class _Foreign(NamedTuple):
    """The options for models without a contract."""

    classes: str | None
    pixels: "Pixels | None"
    size: int
    layout: "Layout | None"
    frame: "Frame"


def _subject(model: str | None, settings: Settings, foreign: _Foreign, stack: "ExitStack") -> "EvaluatedNetwork":
    """The network to evaluate: an exported model, a model without a contract, or a run without an export."""
    from capsedge.cli.console import say, say_about, say_chosen, say_provider
    from capsedge.measure.evaluate.foreign import class_names, foreign_subject
    from capsedge.measure.evaluate.subject import subject_of
    from capsedge.run_record import is_run
    from capsedge.runtime.models import exports_in, find_model
    from capsedge.runtime.open import open_session

    file = find_model(model)
    named = class_names(foreign.classes) if foreign.classes is not None else None
    if is_run(file) and not exports_in(file) and not any(file.glob("*.engine")):
        if settings != DEFAULTS:
            raise WrongUse(
                f"run '{file}' has no export, so torch evaluates it on the CPU",
                f"leave out the runtime options, or export it first: capsedge export {file}",
            )
        return _with_classes_checked(_of_run(file), named)
    say_chosen(model, file)
    session = stack.enter_context(open_session(file, settings))
    say_provider(session)
    say_about(session)
    if session.contract is not None:
        return _with_classes_checked(subject_of(session), named)
    if named is None:
        raise WrongUse(
            f"'{session.name}' has no capsedge contract",
            "give its class names, in the order of its outputs, by --classes",
        )
    for warning in session.warnings:
        say(f"note: '{session.name}': {warning.text}")
    return foreign_subject(
        session, classes=named, pixels=foreign.pixels, size=foreign.size, layout=foreign.layout, frame=foreign.frame
    )


def _with_classes_checked(subject: "EvaluatedNetwork", named: tuple[str, ...] | None) -> "EvaluatedNetwork":
    """The subject, after a check that --classes names its own classes."""
    if named is not None and {*named} != {*subject.classes}:
        raise WrongUse(
            f"'{subject.name}' has its own class names ({', '.join(subject.classes)})", "leave out --classes"
        )
    return subject


def _of_run(folder: Path) -> "EvaluatedNetwork":
    from capsedge.cli.console import say
    from capsedge.errors import require

    require("torch", extra="train")
    from capsedge.export.subject import subject_of_run
    from capsedge.training import Run

    say(f"note: run '{folder}' has no export; its trained network is evaluated")
    return subject_of_run(Run(folder))
