"""`python -m capsedge` and the script `capsedge` run the command line."""

import signal
from typing import NoReturn

from capsedge.interruption import end


def main() -> NoReturn:
    """Load the command line and run it; Ctrl-C ends it in one line from here on, also while it is loaded."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored: a background job
    if heeded:
        signal.signal(signal.SIGINT, end)
    try:
        from capsedge.cli import main as run

        run()
    finally:
        if heeded:
            signal.signal(signal.SIGINT, end)  # while Python ends


if __name__ == "__main__":
    main()
