"""`capsedge verify`: checks that a model is unaltered and reproduces its golden sample on this machine."""

from capsedge.cli.options import JsonOption, ModelArgument, session_options
from capsedge.errors import ModelError
from capsedge.runtime.settings import DEFAULTS, Settings

EXAMPLES = """
[bold]Examples[/bold]

capsedge verify

capsedge verify runs/my-run --provider cuda
"""


@session_options("provider", "threads", "allow_fallback")
def verify(model: ModelArgument = None, settings: Settings = DEFAULTS, as_json: JsonOption = False) -> None:
    """Replay the model's golden sample on this machine and check the hashes of its weights; needs no data set."""
    from capsedge.cli.console import out, print_json, say_about, say_chosen
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session
    from capsedge.runtime.verify import verify as replay

    file = find_model(model)
    say_chosen(model, file)
    with open_session(file, settings) as session:
        say_about(session)
        found = replay(session)
    if as_json:
        print_json(found)
    elif found.ok:
        out.print(
            f"{found.model} on {found.provider}: {found.images} golden images give the expected lengths (largest "
            f"difference {found.largest_difference:.2g}, tolerance {found.tolerance:.2g}); "
            f"{found.weights} weights are unaltered",
            markup=False,
            soft_wrap=True,
        )
    if not found.ok:
        raise ModelError(
            f"'{found.model}' on {found.provider} does not keep its contract: {'; '.join(found.problems)}"
        )
