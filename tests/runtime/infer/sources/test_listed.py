"""Lists of paths."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from capsedge.runtime.infer.sources.listed import open_list, paths_in


class Chunks:
    """A stream that gives what it was given, in the same pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)

    def read(self, size: int, /) -> bytes:
        return next(self.pieces, b"")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"a.png\nb c.png\n", ["a.png", "b c.png"]),
        (b"a.png\r\nb.png", ["a.png", "b.png"]),
        (b"\n\na.png\n\n", ["a.png"]),
        (b"b.png\0a\nc.png\0", ["b.png", "a\nc.png"]),
        (b" *.png \n-\n", [" *.png ", "-"]),
        (b"only.png", ["only.png"]),
        (b"\xef\xbb\xbfa.png\nb.png", ["a.png", "b.png"]),
        (b"\xef\xbb\xbfonly.png", ["only.png"]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_paths_come_one_a_line_or_between_nuls_however_they_arrive(text: bytes, names: list[str], step: int) -> None:
    stream = Chunks(text[start : start + step] for start in range(0, len(text), step))
    assert list(paths_in(stream)) == [Path(name) for name in names]


def test_a_path_is_given_as_soon_as_its_line_has_ended() -> None:
    given = []

    def arriving() -> Iterator[bytes]:
        for piece in (b"a.png\nb", b".png\n"):
            given.append(piece)
            yield piece

    paths = paths_in(Chunks(arriving()))
    assert next(paths) == Path("a.png")
    assert given == [b"a.png\nb"]


def test_names_that_are_not_utf_8_find_their_files(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.png"
    try:
        Path(os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (tmp_path / "list.txt").write_bytes(name + b"\n")
    with open_list(str(tmp_path / "list.txt")) as stream:
        (path,) = paths_in(stream)
    assert path.is_file()
