"""The readers against damaged files: a little of what `make fuzz` does, and every input that once broke a promise."""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from capsedge.errors import DataError
from tests.hardening.fuzz import CORPUS, Tally, fuzz, stop_slow_inputs, try_input
from tests.hardening.mutations import mutated
from tests.hardening.readers import READERS, Reader, accepts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged EXIF data
_INPUTS = 250
READER_NAMES = [reader.name for reader in READERS]
by_reader = pytest.mark.parametrize("reader", READERS, ids=READER_NAMES)


@by_reader
def test_whole_files_are_accepted(reader: Reader, tmp_path: Path) -> None:
    for seed in reader.seeds():
        reader.read(seed, tmp_path)


@by_reader
def test_damaged_files_are_refused_by_one_kind_of_error_within_bounds(reader: Reader, tmp_path: Path) -> None:
    stop_slow_inputs()
    seeds, tally = reader.seeds(), Tally(reader.name, "mutations")
    for index in range(_INPUTS):
        content = mutated(seeds, random.Random(f"test {index}"))
        assert not try_input(reader, content, tmp_path, tally), content[:2000]
    assert tally.accepted + tally.refused == _INPUTS


@pytest.mark.parametrize("case", sorted(CORPUS.glob("*/*")), ids=lambda case: f"{case.parent.name}-{case.name}")
def test_what_once_broke_a_promise_does_so_no_more(case: Path, tmp_path: Path) -> None:
    stop_slow_inputs()
    reader = READERS[READER_NAMES.index(case.parent.name)]
    assert not try_input(reader, case.read_bytes(), tmp_path, Tally(reader.name, "mutations"))


def test_the_same_seed_gives_the_same_inputs() -> None:
    seeds = READERS[0].seeds()
    first, second = ([mutated(seeds, random.Random(f"{seed} 7")) for _ in range(2)] for seed in (0, 1))
    assert first[0] == first[1] != second[0]


def _loop(content: bytes, folder: Path) -> None:
    while True:
        sum(range(1000))


def _crash(content: bytes, folder: Path) -> None:
    raise IndexError(f"no {len(content)}")


def _die(content: bytes, folder: Path) -> None:
    if content != b"alive":
        os.abort()


DEADLY = """
import tests.hardening.fuzz as fuzz
from tests.hardening.test_fuzz import Reader, _die
fuzz.READERS = (Reader("deadly", lambda: [b"alive"], _die),)
fuzz.main()
"""


def _refuse(content: bytes, folder: Path) -> None:
    raise DataError("damaged")


def test_a_loop_and_an_exception_are_findings_and_a_refusal_is_none(tmp_path: Path) -> None:
    stop_slow_inputs()
    for read, said in ((_loop, "TooSlow"), (_crash, "IndexError: no 3"), (_refuse, "")):
        reader = Reader("mine", lambda: [b"abc"], read, seconds=0.2)
        tally, start = Tally("mine", "mutations"), time.process_time()
        assert try_input(reader, b"abc", tmp_path, tally)[: len(said) or None] == said
        assert (tally.inputs, tally.refused) == (1, int(read is _refuse))
        assert time.process_time() - start < 2


def test_each_reader_runs_in_a_process_of_its_own_and_reports(tmp_path: Path) -> None:
    reader = READERS[READER_NAMES.index("idx")]
    tally = fuzz(reader, 40, 0, "mutations", tmp_path)
    assert (tally.inputs, tally.findings) == (40, {})
    assert tally.accepted + tally.refused == 40
    assert accepts(reader, reader.seeds()[0], tmp_path)


def test_a_process_that_dies_leaves_the_input_that_it_died_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader("deadly", lambda: [b"alive"], _die)
    monkeypatch.setattr("tests.hardening.fuzz.COMMAND", [sys.executable, "-c", DEADLY])
    tally = fuzz(reader, 1, 0, "mutations", tmp_path)
    ((name, said),) = tally.findings.items()
    assert said.startswith("the process ended with -6")
    assert (tmp_path / "deadly-mutations" / name).read_bytes() == mutated([b"alive"], random.Random("0 0"))
