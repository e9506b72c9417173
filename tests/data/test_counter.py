"""Random numbers by position: the published generator, whole ranges, true permutations."""

import re
from pathlib import Path

import numpy as np
import pytest

import capsedge
from capsedge.data.counter import below, key_of, permuted, words


def test_the_words_are_those_of_splitmix64() -> None:
    # The first five for seed 1234567, as https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64 lists them.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert words(1234567, np.arange(5)).tolist() == expected


def word(key: int, position: int) -> int:
    """splitmix64 in Python's whole numbers."""
    value = (key + (position + 1) * 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def place(position: int, length: int, key: int) -> int:
    """A Feistel network of four rounds on the least even number of bits that holds the length, with cycle walking."""
    half = next(bits for bits in range(1, 33) if 4**bits >= length)
    left, right = divmod(position, 2**half)
    for turn in range(4):
        left, right = right, left ^ word(word(word(0, key), turn), right) % 2**half
    value = left * 2**half + right
    return value if value < length else place(value, length, key)


def test_keys_numbers_and_orders_are_those_of_a_second_computation() -> None:
    """They decide the order of the images and their variations: others would change every training."""
    assert key_of(3, 5) == word(word(0, 3), 5)
    key = key_of(7)
    assert below(1000, key, np.arange(50)).tolist() == [
        word(key, each) // 2**32 * 1000 // 2**32 for each in range(50)
    ]
    for length in (2, 10, 64, 100, 1000):
        expected = [place(each, length, key) for each in range(min(length, 30))]
        assert permuted(np.arange(min(length, 30)), length, key).tolist() == expected


def test_its_constants_are_written_once() -> None:
    files = [path.read_text(encoding="utf-8") for path in Path(capsedge.__file__).parent.rglob("*.py")]
    written = [int(each, 16) for text in files for each in re.findall(r"0x[0-9a-fA-F_]{16,}", text)]
    assert len(written) == len(set(written)) == 3


def test_a_position_has_its_word_whatever_is_asked_for_beside_it() -> None:
    whole = words(5, np.arange(1000))
    some = np.array([999, 3, 3, 0])
    assert words(5, some).tolist() == whole[some].tolist()
    assert words(5, np.array([], dtype=np.int64)).shape == (0,)


def test_keys_differ_by_each_part_and_by_their_order() -> None:
    parts = [(a, b) for a in range(20) for b in range(20)]
    assert len({key_of(*each) for each in parts}) == len(parts)
    assert key_of(2**64 - 1, 3) != key_of(2**63 - 1, 3)


def test_numbers_below_a_limit_are_all_met_equally_often() -> None:
    numbers = below(9, key_of(1, 2), np.arange(90_000))
    counts = np.bincount(numbers)
    assert len(counts) == 9
    # Chi-square with 8 degrees of freedom: 26.1 is passed once in a thousand.
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 26.1


def test_each_number_can_have_its_own_limit() -> None:
    limits = np.arange(1, 5001)
    numbers = below(limits, 7, np.arange(5000))
    assert numbers.min() >= 0
    assert (numbers < limits).all()
    assert (numbers / limits).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17, 100, 1024, 1025, 4097])
def test_a_permutation_meets_everything_once(length: int) -> None:
    order = permuted(np.arange(length), length, key_of(3))
    assert sorted(order.tolist()) == list(range(length))


def test_a_permutation_can_be_had_in_parts_and_differs_by_its_key() -> None:
    whole = permuted(np.arange(1000), 1000, key_of(0))
    assert permuted(np.array([999, 17]), 1000, key_of(0)).tolist() == whole[[999, 17]].tolist()
    others = permuted(np.arange(1000), 1000, key_of(1))
    assert (whole == others).mean() < 0.01
    assert (whole == np.arange(1000)).mean() < 0.01


def test_neighbours_lie_far_apart_in_a_permutation_of_any_length() -> None:
    length = 55_000_000
    order = permuted(np.arange(20_000), length, key_of(11))
    assert len(np.unique(order)) == 20_000
    assert order.max() < length
    # Two random positions are a third of the length apart on average; the standard error here is 0.0017.
    assert np.abs(np.diff(order)).mean() / length == pytest.approx(1 / 3, abs=0.008)
    assert np.abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03
