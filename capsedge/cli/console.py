"""Printing, shared by the commands: results go to stdout, everything else to stderr."""

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from capsedge.errors import DataError, install
from capsedge.outside import printable
from capsedge.runtime.providers import CPU

if TYPE_CHECKING:
    from rich.console import Console

    from capsedge.runtime.session import Session

    out: Console
    err: Console


_TRIED = 20  # images, of which the first that is whole is an example

Need = tuple[tuple[str, ...], str]
_RUNTIME: Need = ("onnxruntime", "tensorrt_rtx", "tensorrt"), "cpu"
_OPENVINO: Need = ("openvino",), "openvino"
NEEDED: dict[str, tuple[Need, ...]] = {
    "recipe": ((("tomli_w",), "train"),),
    "train": ((("torch",), "train"),),
    "export": ((("onnxscript",), "export"), (("onnxruntime",), "cpu")),
    **dict.fromkeys(("verify", "infer", "eval", "bench"), (_RUNTIME,)),
}
"""What each command that is proposed needs: modules, one of which must be here, and the extra that installs one."""


def __getattr__(name: str) -> "Console":
    """Create `out` and `err` at their first use: plain lines do not need rich, a sixth of the startup time."""
    if name not in ("out", "err"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from capsedge.cli.screen import Screen

    console = globals()[name] = Screen(stderr=name == "err", highlight=False)
    return console


def keep_silent(silent: bool) -> None:
    """Switch all text output off or on; of several training processes only the first prints."""
    module = sys.modules[__name__]
    for console in (module.out, module.err):
        console.quiet = silent


def say(text: str) -> None:
    """Print a line for the user on stderr."""
    if not _silent():
        typer.echo(printable(text), err=True)


def next_command(*words: str) -> None:
    """Print the likely next command on stderr, quoted for a shell, after the one that installs what it lacks."""
    if not _silent():
        bold = partial(typer.style, bold=True)
        lacking = _lacking(words)
        first = f"{bold(install(*lacking))}, then " if lacking else ""
        typer.echo(f"next: {first}{bold(printable(shlex.join(words)))}", err=True)


def _lacking(words: Sequence[str]) -> list[str]:
    """The extras that a command needs and that are not installed."""
    needed = NEEDED.get(words[1], ())
    if _RUNTIME in needed and "openvino" in words:
        needed = (_OPENVINO,)
    return [extra for modules, extra in needed if not any(map(_is_here, modules))]


def _is_here(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None  # None hides a module
    return find_spec(module) is not None


def example_image(source: str) -> str:
    """An image for the next command: one of a training's own images, a shipped sample, or a word in its place.

    Args:
        source: `RunRecord.data_source`; "" if it is not known.
    """
    from capsedge.runtime.infer.sources import File
    from capsedge.runtime.infer.sources.walk import images_below

    place = Path("samples") if source.startswith("fashion-mnist") else Path(source)
    try:
        first = islice(images_below(place), _TRIED) if source and place.is_dir() else iter(())
        found = next((each.path for each in first if isinstance(each, File) and _is_whole(each.path)), None)
    except OSError:  # below a folder that this user may not enter
        found = None
    if found is None:
        return "YOUR_IMAGE"
    here = Path.cwd()
    return str(found.relative_to(here) if found.is_relative_to(here) else found)


def _is_whole(image: Path) -> bool:
    from capsedge.data.images import read_image

    try:
        read_image(image)
    except DataError:
        return False
    return True


def say_chosen(model: object, file: Path) -> None:
    """Print which file was chosen, where the model argument leaves a choice.

    Args:
        model: The model argument; None for the default.
        file: The file or run folder that was found for it.
    """
    from capsedge.runtime.models import BUILTIN_NAME, PLAIN, is_export, unexported_since

    if model is None:
        if is_export(file):
            say(f"note: '{file}' is the newest export in runs/; the built-in model is named {BUILTIN_NAME}")
            if newer := unexported_since(file):
                command = shlex.join(["capsedge", "export", str(newer)])
                say(f"note: '{newer}' was finished later and is not exported: {command}")
        elif newer := unexported_since(None):
            command = shlex.join(["capsedge", "export", str(newer)])
            say(f"note: this is the built-in model; '{newer}' is finished and not exported: {command}")
        return
    folder = Path(str(model))
    if file == folder and folder.is_dir():
        from capsedge.runtime.open import model_file

        file = model_file(folder)
    if file.parent == folder and file.name != PLAIN:
        say(f"note: '{folder}' has no {PLAIN}; using its only export, {file.name}")


def say_provider(session: "Session") -> None:
    """Print which runtime computes, unless it is the default."""
    if session.provider != CPU:
        say(f"provider: {session.provider}")


def say_about(session: "Session") -> None:
    """Print notes about an opened model: an outdated export, operators that run on the CPU, warnings."""
    best = session.file.parent / "best.safetensors"
    if (
        best.is_file() and best.stat().st_mtime_ns > session.file.stat().st_mtime_ns
    ):  # trained further since the export
        again = shlex.join(["capsedge", "export", str(session.file.parent)])
        say(f"note: '{session.file}' is older than the best network of its run; export it again: {again}")
    if session.fell_back:
        operators = ", ".join(session.fell_back)
        say(f"running on the CPU, because '{session.settings.provider}' does not support them: {operators}")
    for warning in session.warnings if session.contract else ():  # without a contract it is refused
        say(f"note: '{session.name}': {warning.text}")


def _silent() -> bool:
    """Whether output to stderr is off; a console that was not created yet is on."""
    console: Console | None = globals().get("err")
    return console is not None and console.quiet


def print_json(record: Any) -> None:
    """Print one JSON value as one line on stdout; structs of msgspec and NaN-free numbers only."""
    sys.stdout.buffer.write(msgspec.json.encode(record, order="deterministic") + b"\n")
    sys.stdout.buffer.flush()


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage with two decimals, the precision that 10,000 images support."""
    return f"{100 * share:.2f} %"
