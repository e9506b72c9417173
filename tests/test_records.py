"""Whatever bytes are given, decoding ends with the record or with one kind of error."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.records import DamagedRecord, decoded


class Row(msgspec.Struct):
    name: str
    more: dict[str, object] = {}


def test_a_whole_record_is_decoded() -> None:
    assert decoded(b'{"name":"a","more":{"b":[1]}}', Row) == Row("a", {"b": [1]})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Input data was truncated"),
        (b"{}", "(?i)object missing required field name"),
        (b'{"name":3}', "name: expected str, got int"),
        (b'{"name":"\xff"}', "not UTF-8"),
        (b'{"name":"a","more":{"b":' + b"[" * 100_000, "nested too deep"),
    ],
    ids=["empty", "no field", "another type", "not UTF-8", "deep"],
)
def test_damage_is_told_in_a_clause(content: bytes, said: str) -> None:
    with pytest.raises(DamagedRecord, match=said):
        decoded(content, Row)


@given(st.binary(max_size=64), st.integers(0, 40))
def test_no_other_error_comes_of_any_bytes(noise: bytes, place: int) -> None:
    whole = b'{"name":"a","more":{"b":[1,2,3]}}'
    with suppress(DamagedRecord):
        assert isinstance(decoded(whole[:place] + noise + whole[place:], Row), Row)
