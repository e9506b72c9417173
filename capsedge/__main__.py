"""`python -m capsedge` and the script `capsedge` run the command line."""

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it; Ctrl-C ends it in one line from here on, also while it is loaded."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored: a background job
    if heeded:
        signal.signal(signal.SIGINT, _end)
    try:
        from capsedge.cli import main as run

        run()
    finally:
        if heeded:
            signal.signal(signal.SIGINT, _end)  # while Python ends


def _end(*_: object) -> NoReturn:
    """End at once: an exception could be lost in an import, or leave a traceback."""
    record = '{"error": {"code": "interrupted", "text": "interrupted", "advice": ""}}'
    with suppress(OSError):  # stderr is closed
        os.write(2, (f"{record}\n" if "--json" in sys.argv else "capsedge: interrupted\n").encode())
    os._exit(130)


if __name__ == "__main__":
    main()
