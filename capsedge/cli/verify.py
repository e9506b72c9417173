"""`capsedge verify`: proof that a model arrived unharmed and computes here what was trained."""

from typing import Annotated

import typer

from capsedge.cli.options import AllowFallbackOption, JsonOption, ProviderOption, ThreadsOption, model_names
from capsedge.errors import ModelError

EXAMPLES = """
[bold]Examples[/bold]

capsedge verify

capsedge verify runs/my-run --provider cuda
"""


def verify(
    model: Annotated[
        str | None,
        typer.Argument(
            help="An .onnx or .engine file, a run's folder, or a model's name (capsedge models).",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    provider: ProviderOption = None,
    threads: ThreadsOption = 0,
    allow_fallback: AllowFallbackOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replay the model's golden sample on this machine and compare its weights' hashes; needs no data set."""
    from capsedge.cli.console import out, print_json, say_about, say_chosen
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session
    from capsedge.runtime.settings import Settings
    from capsedge.runtime.verify import verify as replay

    settings = Settings(provider=provider, threads=threads, allow_fallback=allow_fallback)
    file = find_model(model)
    say_chosen(model, file)
    with open_session(file, settings) as session:
        say_about(session)
        found = replay(session)
    if as_json:
        print_json(found)
    elif found.ok:
        out.print(
            f"{found.model} on {found.provider}: {found.images} golden images give the expected lengths, the largest "
            f"difference is {found.largest_difference:.2g} ({found.tolerance:.2g} is accepted); "
            f"{found.weights} weights are unaltered",
            markup=False,
            soft_wrap=True,
        )
    if not found.ok:
        raise ModelError(f"'{found.model}' on {found.provider} breaks its contract: {'; '.join(found.problems)}")
