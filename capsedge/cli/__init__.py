"""The command line: one module a command, each of which parses, calls one library function and prints."""

from capsedge.cli.app import main

__all__ = ["main"]
