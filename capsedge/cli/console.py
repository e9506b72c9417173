"""What the commands share when they print: results go to stdout, everything said meanwhile to stderr."""

import shlex
import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tell a person what is going on, on stderr; names in brackets are text, not markup."""
    err.print(text, markup=False, soft_wrap=True)


def next_command(*words: str) -> None:
    """Show the command that a person would likely run next, quoted for a shell, ready to copy."""
    err.print(Text("next: ").append(shlex.join(words), "bold"), soft_wrap=True)


def print_json(record: Any) -> None:
    """Print one JSON value as one line on stdout; structs of msgspec and NaN-free numbers only."""
    sys.stdout.buffer.write(msgspec.json.encode(record, order="deterministic") + b"\n")
    sys.stdout.buffer.flush()


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage with two decimals, the precision that 10,000 images support."""
    return f"{100 * share:.2f} %"
