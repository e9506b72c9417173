"""Reading a pickled dictionary of plain values and arrays of bytes, without running code that the file names.

A pickle may name any function of any module and have it called. This reader accepts three names of numpy and calls
stand-ins of this module, which only store their arguments; every other name is an error. A pickle may also build any
object: this reader accepts only the instructions that Python 2 wrote into CIFAR-10's files, requires keys of
dictionaries to be bytes, and limits the number of objects and calls.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError


def read_plain_pickle(content: bytes, called: str) -> dict[Any, Any]:
    """Read a pickle of Python 2: strings become bytes, and arrays of unsigned bytes become numpy arrays.

    Args:
        content: Content of the file.
        called: Name of the file in errors.

    Raises:
        DataError: The content is damaged, is not a dictionary, or names something that no data needs.
    """
    try:
        entries = _Reader(content).load()
        return {key: value.array() if isinstance(value, _Array) else value for key, value in entries.items()}
    except _ForbiddenName as error:
        raise DataError(
            f"{called} names {error}, which no images need, so it was not read", "get it again"
        ) from error
    except Exception as error:
        # Any kind: damaged bytes raise EOFError, KeyError, AttributeError, MemoryError and more in pickle.
        raise DataError(
            f"{called} is damaged, or is not a pickled dictionary of bytes ({type(error).__name__})", "get it again"
        ) from error


class _ForbiddenName(Exception):
    pass


_MOST_BUILT = 1000
"""Most tuples, lists, dictionaries and calls in a file, and so most levels of nesting; CIFAR-10's have about 20."""

_VALUES = "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 SHORT_BINSTRING BINSTRING"
_BUILT = "GLOBAL TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT REDUCE BUILD"
_KEPT = "BINPUT LONG_BINPUT BINGET LONG_BINGET APPEND APPENDS SETITEM SETITEMS"


def _opcodes(names: str) -> tuple[int, ...]:
    return tuple(getattr(pickle, name)[0] for name in names.split())


def _counted(instruction: Callable[[Any], None]) -> Callable[[Any], None]:
    def run(reader: "_Reader") -> None:
        reader.built += 1
        if reader.built > _MOST_BUILT:
            raise ValueError(f"more than {_MOST_BUILT} tuples, lists and calls")
        instruction(reader)

    return run


# The unpickler written in Python: for a damaged memo index, the one in C allocates as much memory as the index
# states.
class _Reader(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in _opcodes(f"{_VALUES} {_KEPT}")},
        **{code: _counted(pickle._Unpickler.dispatch[code]) for code in _opcodes(_BUILT)},
    }

    stack: list[object]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.built = 0

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()  # type: ignore[misc]  # no public name

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_setitems()  # type: ignore[misc]

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems

    def _check_keys(self, keys: list[object]) -> None:
        if not all(isinstance(key, bytes) for key in keys):  # numbers can be chosen to collide in a dictionary
            raise TypeError("a key that is not text")

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        # Created at each call, so that a pickle cannot change them for later calls.
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
        pass  # byte order and alignment, which a byte does not have


class _Array:
    """Stands in for numpy.ndarray: stores the state that numpy.ndarray.__reduce__ documents."""

    __slots__ = ("state",)

    def __setstate__(self, state: Any) -> None:
        self.state: Any = state

    def array(self) -> NDArray[np.uint8]:
        """The array of unsigned bytes; raises ValueError or TypeError for another state."""
        _, shape, kind, by_columns, content = self.state
        if not isinstance(kind, _Kind) or kind.name not in (b"u1", "u1") or not isinstance(content, bytes):
            raise TypeError("not an array of bytes")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if by_columns else "C")
