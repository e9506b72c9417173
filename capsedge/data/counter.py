"""Random numbers and random orders as functions of a position: stateless, so any part can be computed first."""

import numpy as np
from numpy.typing import NDArray

# splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", with the constants of
# Vigna's splitmix64.c). Its n-th word is a hash of seed + n * _STEP, so it needs no state.
SPLITMIX64 = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # the step, and two factors of the hash
_STEP, _FIRST, _SECOND = map(np.uint64, SPLITMIX64)
_ROUNDS = 4  # of a Feistel network whose round functions are random: Luby and Rackoff 1988


def words(key: int, positions: NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The words of splitmix64 at the given positions.

    Args:
        key: Its seed, 64 bits.
        positions: [n], from 0.
    """
    word = np.uint64(key) + (positions.astype(np.uint64) + np.uint64(1)) * _STEP
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


def key_of(*parts: int) -> int:
    """Combine several numbers of at most 64 bits, such as a seed and a purpose, into one key."""
    key = 0
    for part in parts:
        key = int(words(key, np.array([part], dtype=np.uint64))[0])
    return key


def below(limit: int | NDArray[np.int64], key: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Random integers from 0 to limit - 1, one for each position.

    Args:
        limit: At most 2**32, one for all positions or one for each; the numbers' probabilities differ by less than
            limit / 2**32.
        key: Another key gives other numbers.
        positions: [n], from 0.
    """
    high = words(key, positions) >> np.uint64(32)
    return (high * np.asarray(limit, dtype=np.uint64) >> np.uint64(32)).astype(np.int64)


def permuted(positions: NDArray[np.int64], length: int, key: int) -> NDArray[np.int64]:
    """The numbers at the given positions of a random order of 0 to length - 1.

    A Feistel network is a one-to-one map of the numbers of 2k bits. While its result is `length` or more, it is
    applied again (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        positions: [n], from 0 to length - 1.
        length: Number of elements in the order.
        key: Another key gives another order.
    """
    half = max(1, ((length - 1).bit_length() + 1) // 2)
    values = _feistel(positions.astype(np.uint64), half, key)
    while (outside := values >= np.uint64(length)).any():
        values[outside] = _feistel(values[outside], half, key)
    return values.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half: int, key: int) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = values >> shift, values & mask
    for turn in range(_ROUNDS):
        left, right = right, left ^ (words(key_of(key, turn), right) & mask)
    return left << shift | right
