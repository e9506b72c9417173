"""A reader finds the old file or the whole new one, never a half."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from capsedge.errors import WrongUse
from capsedge.files import (
    check_folder,
    check_output,
    check_utf8,
    check_writable,
    expanded,
    refusal,
    replacing,
    sha256_of,
    write_atomically,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_new_content_takes_the_place_of_the_old_in_folders_that_are_made(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "today" / "names.txt"
    write_atomically(target, b"old and longer than the new")
    write_atomically(target, "Stiefelette, café\n")

    assert contents(target.parent) == {"names.txt": "Stiefelette, café\n".encode()}


def test_a_full_disk_is_told_with_the_file_and_no_folder_is_left(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "model.onnx"
    with pytest.raises(OSError, match="No space") as full, replacing(target):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does, which names no file
    assert full.value.filename == str(target)
    assert not contents(tmp_path)


def test_until_the_end_a_reader_sees_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")

    with replacing(target) as partial:
        partial.write_bytes(b"half of the n")
        assert target.read_bytes() == b"old"
        partial.write_bytes(b"whole new")

    assert target.read_bytes() == b"whole new"


@pytest.mark.parametrize("failure", [RuntimeError, OSError, KeyboardInterrupt, SystemExit, None])
@pytest.mark.parametrize("before", [{"model.onnx": b"old"}, {}])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, failure: type[BaseException] | None, before: dict[str, bytes]
) -> None:
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    # None stands for a writer that wrote nothing.
    with pytest.raises(failure or FileNotFoundError), replacing(tmp_path / "model.onnx") as partial:  # noqa: PT012
        if failure:
            partial.write_bytes(b"half of the n")
            raise failure

    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("check", "place", "said"),
    [
        (check_writable, "", "expected a file, got the folder"),
        (check_writable, "file/below", "cannot write '.*below': not a directory"),
        (check_writable, "n" * 256, "cannot write '.*': file name too long"),
        (check_folder, "n" * 256, "cannot write '.*': file name too long"),
        (check_folder, "file", "expected a folder, got the file"),
        (check_folder, "file/below", "cannot write '.*below': not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_and_left_as_it_was(
    tmp_path: Path, check: Callable[[Path], None], place: str, said: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    check(tmp_path / "new" / "folders")
    check_writable(tmp_path / "file")
    check_folder(tmp_path)
    with pytest.raises(WrongUse, match=said):
        check(tmp_path / place)
    assert contents(tmp_path) == {"file": b"old"}


def test_an_output_of_another_format_is_told_with_the_name_to_give(tmp_path: Path) -> None:
    check_output(tmp_path / "page.HTML", ".html")
    with pytest.raises(WrongUse, match=r"ends in .html, got '.*page.txt': give '.*page.html'$"):
        check_output(tmp_path / "page.txt", ".html")


def test_a_link_at_the_temporary_name_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    monkeypatch.setattr(os, "urandom", bytes)  # the name that no one can predict
    with replacing(tmp_path / "a") as partial:
        partial.symlink_to(tmp_path / "victim")
        with pytest.raises(FileExistsError):
            write_atomically(tmp_path / "a", b"new")
        partial.symlink_to(tmp_path / "victim")
        with pytest.raises(OSError, match="symbolic link"), replacing(tmp_path / "a"):
            pass
        partial.write_bytes(b"")
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_the_file_that_a_link_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    stored, link = tmp_path / "store" / "model.onnx", tmp_path / "models" / "model.onnx"
    link.parent.mkdir()
    link.symlink_to(Path("..", "store", "model.onnx"))
    for content in (b"first", b"second"):  # the link is dangling at first
        check_writable(link)
        write_atomically(link, content)
        assert link.is_symlink()
        assert contents(stored.parent) == {"model.onnx": content}
    assert [each.name for each in link.parent.iterdir()] == ["model.onnx"]

    link.unlink()
    link.symlink_to(link)
    write_atomically(link, b"third")
    assert contents(link.parent) == {"model.onnx": b"third"}


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX here")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "secret.json"
    target.write_bytes(b"old")
    target.chmod(mode)
    if os.geteuid() == 0:
        os.chown(target, 12, 34)
    before = target.stat()
    write_atomically(target, b"new")
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert target.read_bytes() == b"new"


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    check_writable(target)
    write_atomically(target, b"new")
    check_folder(tmp_path / ("f" * 255))
    assert contents(tmp_path) == {target.name: b"new"}


def test_no_two_temporary_names_are_alike(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.touch()
        other.touch()


def test_what_a_killed_process_left_is_removed_an_hour_later(tmp_path: Path) -> None:
    dead, alive, token = 2**30, os.getppid(), "0" * 12
    left = tmp_path / f".{dead}.{token}.part"
    kept = [
        tmp_path / name
        for name in (f".{alive}.{token}.part", f"a.{dead}.{token}.part", ".a.part", f".{dead}.{'1' * 12}.part")
    ]
    for file in (left, *kept):
        file.touch()
        if "1" * 12 not in file.name:  # else it is young
            os.utime(file, (0, 0))
    write_atomically(tmp_path / "other.json", b"")
    assert {*tmp_path.iterdir()} == {*kept, tmp_path / "other.json"}


def test_a_path_is_utf_8_and_may_begin_with_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    check_utf8(tmp_path / "größe")
    assert expanded("~/a") == tmp_path / "a"
    with pytest.raises(WrongUse, match=r"expected a path in UTF-8, got 'a\\udcff': rename"):
        check_utf8(Path("a\udcff"))
    with pytest.raises(WrongUse, match="expected a name or a path, got an empty text"):
        expanded("")
    with pytest.raises(WrongUse, match=r"'~no-such-user/x' names the home folder of a user who does not exist: give"):
        expanded("~no-such-user/x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "m.onnx"), "'m.onnx': no space left on device: free some"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "'runs': permission denied: check its perm"),
        (OSError(errno.EROFS, "Read-only file system", "runs/a"), "'runs/a': read-only file system: choose a folder"),
        (OSError("odd"), "odd"),
    ],
    ids=["full", "denied", "read-only", "unknown"],
)
def test_a_refusal_of_the_system_names_the_place_and_what_to_do(error: OSError, said: str) -> None:
    assert str(refusal(error)).startswith(said)


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 256)

    with pytest.raises(OSError, match="too long") as error:
        write_atomically(target, b"new")
    assert error.value.filename == str(target)


def test_the_hash_of_a_file_is_its_sha_256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")

    # The first example of FIPS 180-2, B.1.
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "m.onnx") as partial:
            partial.touch()
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"x")

    with pytest.raises(OSError, match="No space left") as error:
        write()
    assert error.value.filename == str(tmp_path / "m.onnx")
