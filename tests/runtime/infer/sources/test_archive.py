"""Zip archives, whole and broken."""

import io
import struct
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from capsedge.errors import DataError
from capsedge.runtime.infer.sources import Unreadable
from capsedge.runtime.infer.sources import archive as module
from capsedge.runtime.infer.sources.archive import images_in


def packed(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def the_error(path: Path) -> str:
    (source,) = images_in(path)
    with pytest.raises(DataError) as caught:
        source.read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_images_of_an_archive_are_read_sorted_and_named_by_both_paths(tmp_path: Path) -> None:
    names = ["b/2.png", "a.JPG", "__MACOSX/b/._2.png", "notes.txt", "b/", "b/1.png", ".hidden.png"]
    path = packed(tmp_path / "set.zip", {name: b"" if name.endswith("/") else name.encode() for name in names})

    sources = list(images_in(path))

    assert [source.name for source in sources] == [f"{path}/{name}" for name in ("a.JPG", "b/1.png", "b/2.png")]
    assert [source.read() for source in sources] == [b"a.JPG", b"b/1.png", b"b/2.png"]
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "File is not a zip file"),
        (b"", "File is not a zip file"),
        (None, "Permission denied|Is a directory"),
    ],
)
def test_what_is_no_archive_is_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "x.zip"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    (source,) = images_in(path)
    assert isinstance(source, Unreadable)
    with pytest.raises(DataError, match=rf"x\.zip' cannot be read as a zip archive: {said}"):
        source.read()


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("inner.zip", zipfile.ZIP_DEFLATED, "inner.zip' is an archive in an archive: unpack"),
        ("a.txt", zipfile.ZIP_DEFLATED, "holds no images (.png, "),
        ("a.png", zipfile.ZIP_BZIP2, "is neither stored nor deflated"),  # its size cannot be bounded
        ("a.png", zipfile.ZIP_LZMA, "is neither stored nor deflated"),
    ],
)
def test_an_archive_without_readable_images_says_why(tmp_path: Path, name: str, method: int, said: str) -> None:
    assert said in the_error(packed(tmp_path / "x.zip", {name: b"a"}, method))


def test_a_member_without_a_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"a")
    assert the_error(path) == f"'{path}' has a member without a name: pack it again"


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a.png": b"a"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption in the central directory
    path.write_bytes(content)
    assert the_error(path) == f"'{path}/a.png' is encrypted: unpack the archive first"


def test_damaged_bytes_are_told_and_leave_the_other_members_alone(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a.png": bytes(range(256)), "b.png": b"b"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(256))) + 9] ^= 1
    path.write_bytes(content)
    first, second = images_in(path)
    with pytest.raises(DataError, match=r"a\.png' cannot be unpacked: Bad CRC-32.*: pack it again"):
        first.read()
    assert second.read() == b"b"


def test_a_bomb_is_refused_by_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "x.zip", {"a.png": bytes(2 << 20)})
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    assert "would be 2 MiB, and at most 1 MiB are unpacked into memory" in the_error(path)


def test_a_bomb_that_lies_about_its_size_is_cut_where_it_said(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a.png": bytes(1 << 20)})
    content = bytearray(path.read_bytes())
    for header, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", content, content.index(header) + place, 100)
    path.write_bytes(content)
    assert "cannot be unpacked: Bad CRC-32" in the_error(path)


def test_a_link_is_no_image(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    assert "a.png' is a link, not an image" in the_error(tmp_path / "x.zip")


def test_no_two_threads_unpack_from_one_archive_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile counts the readers of its file without a lock, and closes it when the count comes to nothing."""
    both, real = threading.Barrier(2), zipfile.ZipFile.open
    met = []

    def opened(*arguments: Any, **options: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.1)  # for another thread, which must not come
            met.append(True)
        return real(*arguments, **options)

    path = packed(tmp_path / "set.zip", {"a.png": b"a", "b.png": b"b"})
    monkeypatch.setattr(zipfile.ZipFile, "open", opened)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda source: source.read(), images_in(path))) == [b"a", b"b"]
    assert met == []
