"""Reading a pickled dictionary of plain values and arrays of bytes, without running anything that a file names.

A pickle may name any function of any module and have it called. Here three names of numpy are known, for which
stand-ins of this file are called that only keep what they are given; every other name is an error.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError


def read_plain_pickle(content: bytes, called: str) -> dict[Any, Any]:
    """Read what Python 2 pickled: its strings become bytes, its arrays of unsigned bytes arrays of numpy.

    Args:
        content: The file.
        called: What to call it in an error.

    Raises:
        DataError: It is damaged, is no dictionary, or names something that no data needs.
    """
    try:
        entries = _Reader(io.BytesIO(content), encoding="bytes").load()
        return {key: value.array() if isinstance(value, _Array) else value for key, value in entries.items()}
    except _ForbiddenName as error:
        raise DataError(f"{called} names {error}, which no images need, so it was not read; get it again") from error
    except Exception as error:
        # Any kind: damaged bytes lead a pickle's reader to EOFError, KeyError, AttributeError, MemoryError and more.
        raise DataError(
            f"{called} is damaged, or is no pickled dictionary of bytes ({type(error).__name__}); get it again"
        ) from error


class _ForbiddenName(Exception):
    pass


# The reader written in Python: the one in C takes as much memory as a damaged index into its memo states.
class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        # Made anew at each call, so that nothing a pickle does to them outlasts its reading.
        match f"{module}.{name}":
            case "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct":
                return lambda *_: _Array()
            case "numpy.dtype":
                return lambda kind, *_: _Kind(kind)
            case "numpy.ndarray":
                return "ndarray"
        raise _ForbiddenName(f"'{module}.{name}'")


class _Kind:
    """Stands in for numpy.dtype."""

    __slots__ = ("name",)

    def __init__(self, name: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass  # byte order and alignment, of which a byte has none


class _Array:
    """Stands in for numpy.ndarray: keeps the state that numpy.ndarray.__reduce__ documents."""

    __slots__ = ("state",)

    def __setstate__(self, state: Any) -> None:
        self.state: Any = state

    def array(self) -> NDArray[np.uint8]:
        """The array, if it is of unsigned bytes; any misfit raises ValueError or TypeError."""
        _, shape, kind, by_columns, content = self.state
        if not isinstance(kind, _Kind) or kind.name not in (b"u1", "u1") or not isinstance(content, bytes):
            raise TypeError("not an array of bytes")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if by_columns else "C")
