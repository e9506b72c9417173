"""What the commands share when they print: results go to stdout, everything said meanwhile to stderr."""

import sys
from typing import Any

import msgspec
from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tell a person what is going on, on stderr; names in brackets are text, not markup."""
    err.print(text, markup=False, soft_wrap=True)


def next_command(command: str) -> None:
    """Show the command that a person would likely run next, ready to copy."""
    err.print(f"next: [bold]{command}[/bold]", soft_wrap=True)


def print_json(record: Any) -> None:
    """Print one JSON value as one line on stdout; structs of msgspec and NaN-free numbers only."""
    sys.stdout.write(msgspec.json.encode(record, order="deterministic").decode() + "\n")


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage with two decimals, the precision that 10,000 images support."""
    return f"{100 * share:.2f} %"
