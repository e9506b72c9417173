"""Ctrl-C and a termination signal on the command line: one exception, where it cannot be lost, or the end at once.

An exception in an import can be lost: extension modules, such as onnxruntime's, make an ImportError of it, as of a
damaged installation, and others take it for a package that is not there. So it waits for the end of the import.
"""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

_IMPORT = "<frozen importlib._bootstrap>"

arrived: list[int] = []
"""The signals so far; a library can turn the exception of one into another's."""


def heed() -> None:
    """Make an exception of Ctrl-C, unless it is ignored as in a background job, and of a termination signal."""
    arrived.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def end(*_: object) -> NoReturn:
    """End at once: an exception could be lost in an import, or leave a traceback."""
    record = '{"error": {"code": "interrupted", "text": "interrupted", "advice": ""}}'
    with suppress(OSError):  # stderr is closed
        os.write(2, (f"{record}\n" if "--json" in sys.argv else "capsedge: interrupted\n").encode())
    os._exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise the exception, or wait for the end of an import; a second signal in an import does not wait."""
    arrived.append(number)
    if not _imports(frame):
        raise KeyboardInterrupt
    if sys.getprofile() is _raise_after_import:
        end()
    sys.setprofile(_raise_after_import)


def _raise_after_import(frame: FrameType, event: str, _: Any) -> None:
    """Raise the exception when the outermost import returns; a profile function that raises is switched off."""
    if event == "return" and frame.f_code.co_filename == _IMPORT and not _imports(frame.f_back):
        raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
