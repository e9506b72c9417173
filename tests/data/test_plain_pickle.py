"""Pickles of plain values: what Python 2 wrote is read, and nothing that a file names is run."""

import pickle
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capsedge.data.plain_pickle import read_plain_pickle
from capsedge.errors import DataError
from tests.data.conftest import python_2_pickle

VALUES = np.arange(200, dtype=np.uint8).reshape(5, 40)
ENTRIES: dict[bytes, Any] = {b"data": VALUES, b"labels": [3, 1, 4, 1, 5], b"label": b"x" * 300, b"count": 70_000}


def test_the_tests_pickles_are_what_pythons_own_reader_takes_for_these_values() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy.core has another name since numpy 2
        read = pickle.loads(python_2_pickle(ENTRIES), encoding="bytes")
    np.testing.assert_array_equal(read.pop(b"data"), VALUES, strict=True)
    assert read == {key: value for key, value in ENTRIES.items() if key != b"data"}


@pytest.mark.parametrize("values", [VALUES, np.asfortranarray(VALUES)])
def test_values_and_arrays_are_read(values: np.ndarray[Any, Any]) -> None:
    read = read_plain_pickle(python_2_pickle({**ENTRIES, b"data": values}), "'a'")
    np.testing.assert_array_equal(read.pop(b"data"), VALUES, strict=True)
    assert read == {key: value for key, value in ENTRIES.items() if key != b"data"}


@pytest.mark.parametrize("newer", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_arrays_are_read_by_either_name_that_numpy_gave_its_module(newer: bytes) -> None:
    content = python_2_pickle(ENTRIES).replace(b"numpy.core.multiarray", newer)
    np.testing.assert_array_equal(read_plain_pickle(content, "'a'")[b"data"], VALUES)


class Runs:
    """Pickled as a call of a function with arguments, as any class may ask for."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_hostile_file_names_is_not_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({b"data": Runs(Path.touch, trace)}, protocol)
    with pytest.raises(DataError, match=r"'bad' (names '.*', which no images need|is damaged).*: get it again"):
        read_plain_pickle(content, "'bad'")
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # so the file would have run it


@pytest.mark.parametrize("name", [b"os\nsystem", b"builtins\neval", b"numpy.core.multiarray\nscalar", b"numpy\nload"])
def test_a_name_is_refused_before_anything_is_done_with_it(name: bytes) -> None:
    with pytest.raises(DataError, match=f"names '{name.decode().replace(chr(10), '.')}'"):
        read_plain_pickle(b"\x80\x02c" + name + b"\n.", "'bad'")


@pytest.mark.parametrize(
    "content",
    {
        "nothing": b"",
        "text": b"hello",
        "a list": python_2_pickle([1]),
        "an array of another type": python_2_pickle({b"data": np.zeros(3, np.int32)}),
        "an array of objects": python_2_pickle({b"data": VALUES}).replace(b"U\x02u1", b"U\x02O8"),
        "an array larger than its bytes": python_2_pickle({b"data": VALUES}).replace(
            b"(K\x05K\x28t", b"(K\x05K\xfft"
        ),
        "an array without a state": b"\x80\x02}(U\1acnumpy.core.multiarray\n_reconstruct\n)Ru.",
        "a text key of Python 3": pickle.dumps({"data": 1}, 2),
        "numbers as keys": b"\x80\x02}(K\x01K\x02u.",
        "a number as key": b"\x80\x02}K\x01K\x02s.",
        "an array of bytes that states 4 GiB": b"\x80\x05\x96" + struct.pack("<Q", 1 << 32),
        "tuples in tuples": b"\x80\x02}N" + b"\x85" * 1_000_000 + b"Ns.",
        "tuples as keys": b"\x80\x02}N" + b"\x85" * 900 + b"Ns.",
        "many lists": b"\x80\x02}(U\1a](" + b"]" * 5_000 + b"eu.",
        "an index that no memory holds": b"\x80\x02}r\xff\xff\xff\x7fj\xff\xff\xff\x7f0",
    }.values(),
)
def test_a_damaged_file_is_one_line_that_names_it(content: bytes) -> None:
    with pytest.raises(
        DataError, match=r"'bad' is damaged, or is not a pickled dictionary .*: get it again"
    ) as caught:
        read_plain_pickle(content, "'bad'")
    assert "\n" not in str(caught.value)


def test_no_other_error_comes_of_any_damage() -> None:
    whole = python_2_pickle(ENTRIES)
    source = random.Random(0)
    refused = 0
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            content[source.randrange(len(content))] = source.randrange(256)
        try:
            read_plain_pickle(bytes(content[: source.randint(1, len(content))]), "'bad'")
        except DataError:
            refused += 1
    assert refused > 2000
