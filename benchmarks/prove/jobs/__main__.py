"""Reads a question, does the job, prints the answer; an error of capsedge is one line and exit code 1."""

import importlib
import os
import sys
from typing import get_type_hints

import msgspec

from benchmarks.prove.process import NOT_POSSIBLE
from benchmarks.prove.record import NotPossible
from capsedge.errors import CapsedgeError


def main() -> None:
    """Do the job that the command line names."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is not the answer
    work = importlib.import_module(f"benchmarks.prove.jobs.{sys.argv[1]}").work
    kind = get_type_hints(work)["wanted"]
    try:
        given = work(msgspec.json.decode(sys.stdin.buffer.read(), type=kind))
    except CapsedgeError as error:
        sys.exit(" ".join(str(error).split()))
    except NotPossible as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_POSSIBLE)
    answer.write(msgspec.json.encode(given))
    answer.flush()


if __name__ == "__main__":
    main()
