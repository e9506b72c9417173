"""The command line: one module for each command, which parses, calls one library function and prints."""

from capsedge.cli.app import main

__all__ = ["main"]
