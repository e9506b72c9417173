"""Options that several commands share, and the records that hold their values."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Literal

import typer

from capsedge.runtime.providers import Provider
from capsedge.runtime.settings import DEFAULTS, GraphLevel, Settings

Command = Callable[..., None]
SessionOption = Literal["provider", "threads", "spinning", "graph", "io_binding", "cuda_graph", "allow_fallback"]

RUNTIME = "Runtime"  # heading of the session's options in the help
_SESSION: dict[SessionOption, Any] = {
    "provider": Annotated[
        Provider | None,
        typer.Option(
            help="Execution provider for ONNX files; openvino runs them without ONNX Runtime, an engine runs on "
            "TensorRT.  [dim]\\[default: cpu][/dim]",
            show_default=False,
            rich_help_panel=RUNTIME,
        ),
    ],
    "threads": Annotated[
        int,
        typer.Option(
            min=0,
            max=256,
            help="CPU threads of ONNX Runtime or OpenVINO; 0 chooses by the size of the model and the batch.",
            rich_help_panel=RUNTIME,
        ),
    ],
    "spinning": Annotated[
        bool,
        typer.Option(
            "--spinning/--no-spinning",
            help="Idle threads spin instead of sleeping: lower latency, more power.",
            rich_help_panel=RUNTIME,
        ),
    ],
    "graph": Annotated[
        GraphLevel,
        typer.Option(help="Level of ONNX Runtime's graph optimizations.", rich_help_panel=RUNTIME),
    ],
    "io_binding": Annotated[
        bool | None,
        typer.Option(
            "--io-binding/--no-io-binding",
            help="Bind inputs and outputs to device buffers.  [dim]\\[default: on, except on the CPU][/dim]",
            show_default=False,
            rich_help_panel=RUNTIME,
        ),
    ],
    "cuda_graph": Annotated[
        bool,
        typer.Option(
            "--cuda-graph/--no-cuda-graph",
            help="Launch an engine as one CUDA graph where the engine allows it.",
            rich_help_panel=RUNTIME,
        ),
    ],
    "allow_fallback": Annotated[
        bool,
        typer.Option(
            "--allow-fallback",
            help="Run operators that the provider does not support on the CPU, and name them.",
            rich_help_panel=RUNTIME,
        ),
    ],
}

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

DownloadOption = Annotated[
    bool, typer.Option("--download", help="Download a known data set that is not on this machine.")
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device that trains.")]


def finite(value: float | None) -> float | None:
    """Refuse NaN and infinity, which an option's bounds accept; for `typer.Option(callback=finite)`."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value}.")
    return value


def model_names(incomplete: str) -> list[str]:
    """Names of models that begin with `incomplete`; for `typer.Option(autocompletion=model_names)`."""
    from capsedge.runtime.models import model_names as known

    return known(incomplete)


def data_names(incomplete: str) -> list[str]:
    """Names of known data sets that begin with `incomplete`."""
    from capsedge.data.known import KNOWN

    return [name for name in KNOWN if name.startswith(incomplete)]


def precision_lists(incomplete: str) -> list[str]:
    """Lists of precisions whose last one begins as that of `incomplete` does: `fp32,in` becomes `fp32,int8`."""
    from capsedge.contract import PRECISIONS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + each for each in PRECISIONS if each.startswith(last) and each not in before.split(",")]


def sweep_axes(incomplete: str) -> list[str]:
    """Axes of a sweep, `batch=`, that begin with `incomplete`; behind `precision=`, its values."""
    from capsedge.measure.bench.sweep import AXES

    axis, equals, values = incomplete.partition("=")
    if equals:
        return [f"{axis}={each}" for each in precision_lists(values)] if axis == "precision" else []
    return [f"{each}=" for each in AXES if each.startswith(incomplete)]


def recipe_keys(incomplete: str) -> list[str]:
    """Keys of a recipe, as `--set` takes them, `train.epochs=`, that begin with `incomplete`."""
    from capsedge.recipe import DEFAULT_RECIPE, load_recipe, to_flat_values

    keys = to_flat_values(load_recipe(DEFAULT_RECIPE))
    return [f"{key}=" for key in keys if key != "name" and key.startswith(incomplete)]


SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        autocompletion=recipe_keys,
        help="Change a value of the recipe; repeat for more. The last value of a key counts.",
    ),
]
ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help="An .onnx or .engine file, a run's folder, or a model's name (capsedge models).  "
        "[dim]\\[default: the newest export in runs/, else the built-in model][/dim]",
        autocompletion=model_names,
        show_default=False,
    ),
]
MaxErrorIncreaseOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        callback=finite,
        metavar="POINTS",
        help="Largest accepted increase of the error, in percentage points: 0.5 accepts 9.5 % after 9.0 %.  "
        "[dim]\\[default: by precision][/dim]",
        show_default=False,
    ),
]


def session_options(*names: SessionOption) -> Callable[[Command], Command]:
    """Replace a command's parameter `settings` by these options of a session, whose values fill it."""
    return gathered(
        "settings",
        Settings,
        {name: (_SESSION[name], getattr(DEFAULTS, name)) for name in names},
    )


def provider_words(settings: Settings) -> list[str]:
    """The words by which a proposed command runs on the provider that this one was given."""
    return [] if settings.provider is None else ["--provider", settings.provider]


def gathered(
    parameter: str, record: Callable[..., Any], options: Mapping[str, tuple[Any, Any]]
) -> Callable[[Command], Command]:
    """Replace one parameter of a command, a record, by several options, whose values fill it.

    Args:
        parameter: Name of the command's parameter.
        record: Makes the record from the options' values, by keyword.
        options: Annotation and default of each option, by name.
    """

    def decorated(command: Command) -> Command:
        parameters: list[inspect.Parameter] = []
        for each in inspect.signature(command).parameters.values():
            if each.name == parameter:
                parameters += [
                    each.replace(name=name, annotation=annotation, default=default)
                    for name, (annotation, default) in options.items()
                ]
            else:
                parameters.append(each)

        @wraps(command)
        def gathering(**given: Any) -> None:
            command(**{parameter: record(**{name: given.pop(name) for name in options if name in given})}, **given)

        gathering.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
        gathering.__annotations__ = {each.name: each.annotation for each in parameters}
        return gathering

    return decorated
