"""Damaged copies of real files: the same seed gives the same bytes on every machine."""

import random
from collections.abc import Callable, Sequence

_INTEGERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TEXTS = (
    b"", b"null", b"NaN", b"-1", b"0", b"1e999", b"9" * 400, b"true", b"[]", b"{}", b'""', b"[" * 2000,
    b'{"a":' * 2000, b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\x00", b"\x1b[2J", b"\xe2\x80\xae",
    b"\xef\xbb\xbf", b"..", b"/", b"=1+1", b"\r\n", b"%s%n", b"${HOME}",
)  # fmt: skip


def mutated(seeds: Sequence[bytes], random: random.Random) -> bytes:
    """One of the seeds with one to six changes.

    Args:
        seeds: Contents of whole files.
        random: Decides everything.
    """
    content = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        random.choice(_CHANGES)(content, random, seeds)
    return bytes(content)


def _place(content: bytearray, random: random.Random) -> int:
    """A position, more often near the beginning, where headers are."""
    end = len(content) if random.random() < 0.6 else min(len(content), 128)
    return random.randrange(end + 1)


def _span(content: bytearray, random: random.Random) -> slice:
    start = _place(content, random)
    return slice(start, start + random.choice((1, 2, 4, 8, 64, 1024)))


def _flip(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    for _bit in range(random.choice((1, 1, 1, 8))):
        if content:
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _integer(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    size, value = random.choice((1, 2, 4, 8)), random.choice(_INTEGERS)
    at = _place(content, random)
    written = (value % 2 ** (8 * size)).to_bytes(size, "little")
    content[at : at + size] = written if random.random() < 0.5 else written[::-1]


def _random_bytes(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    content[_span(content, random)] = random.randbytes(random.choice((1, 2, 4, 8, 64)))


def _delete(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    del content[_span(content, random)]


def _repeat(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    where = _span(content, random)
    content[where.start : where.start] = bytes(content[where]) * random.choice((1, 2, 16, 256))


def _cut(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    del content[_place(content, random) :]


def _splice(content: bytearray, random: random.Random, seeds: Sequence[bytes]) -> None:
    other = random.choice(seeds)
    start = random.randrange(len(other) + 1)
    content[_span(content, random)] = other[start : start + random.choice((4, 32, 256, 4096))]


def _text(content: bytearray, random: random.Random, _: Sequence[bytes]) -> None:
    """Replace a word or a number of a text, as a person or another program would write it wrongly."""
    at = _place(content, random)
    word = bytearray(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+_")
    start, end = at, at
    while start > 0 and content[start - 1] in word and at - start < 40:
        start -= 1
    while end < len(content) and content[end] in word and end - at < 40:
        end += 1
    content[start:end] = random.choice(_TEXTS)


_CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    _flip, _integer, _random_bytes, _delete, _repeat, _cut, _splice, _text,
)  # fmt: skip
