"""Decoding records from JSON that may be damaged or written by another program; every fault raises one error."""

from typing import TypeVar

import msgspec

from capsedge.errors import damage

T = TypeVar("T")


class DamagedRecord(ValueError):
    """The text is not JSON, or does not have the record's fields; the message names the place."""


def decoded(content: bytes | str, kind: type[T]) -> T:
    """Decode JSON into a record.

    Raises:
        DamagedRecord: The text is not UTF-8, is not JSON or is nested too deeply, or a field is missing or has
            another type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise DamagedRecord(damage(error)) from error
    except UnicodeDecodeError as error:
        raise DamagedRecord(f"byte {error.start} of a text is not UTF-8") from error
    except RecursionError as error:
        raise DamagedRecord("it is nested too deeply") from error
