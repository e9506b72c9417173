"""Records out of JSON that somebody else may have written, or a disk damaged: every fault is one kind of error."""

from typing import TypeVar

import msgspec

from capsedge.errors import damage

T = TypeVar("T")


class DamagedRecord(ValueError):
    """The text is no JSON, or not of the record's form; says where, in one clause."""


def decoded(content: bytes | str, kind: type[T]) -> T:
    """Decode JSON into a record.

    Raises:
        DamagedRecord: It is not UTF-8, no JSON, nested too deep, or a field is missing or of another type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise DamagedRecord(damage(error)) from error
    except UnicodeDecodeError as error:
        raise DamagedRecord(f"byte {error.start} of a text is not UTF-8") from error
    except RecursionError as error:
        raise DamagedRecord("it is nested too deep") from error
