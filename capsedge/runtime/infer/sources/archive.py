"""The images of a zip archive, read without unpacking it to disk."""

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from capsedge.data.images import IMAGE_SUFFIXES, is_hidden
from capsedge.errors import DataError
from capsedge.runtime.infer.sources.source import ImageSource, Unreadable, shown
from capsedge.runtime.infer.sources.walk import ZIP_SUFFIX

MOST_BYTES = 1 << 27

_ENCRYPTED = 0x1
# Their decompressors stop at a given size; those of bzip2 and LZMA unpack a whole block, however large it is.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """An open zip archive; it is closed when its last member is freed.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Read the list of its members.

        Raises:
            DataError: The file cannot be read, or is not a zip archive.
        """
        self.path = path
        self._lock = threading.Lock()  # zipfile does not count the readers of its file for several threads
        try:
            self._file = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(f"'{path}' cannot be read as a zip archive: {_reason(error)}") from error

    def images(self) -> Iterator[ImageSource]:
        """The images at any depth, sorted; hidden ones, such as those in `__MACOSX/`, are skipped."""
        for info in sorted(self._file.infolist(), key=lambda info: PurePosixPath(info.filename).parts):
            inner = PurePosixPath(info.filename)
            if not info.filename:
                yield Unreadable(self.path, f"'{self.path}' has a member without a name: pack it again")
                continue
            if info.is_dir() or is_hidden(Path(inner)):
                continue
            if inner.suffix.lower() == ZIP_SUFFIX:
                place = self.path / inner
                yield Unreadable(place, f"'{place}' is an archive in an archive: unpack the outer one first")
            elif inner.suffix.lower() in IMAGE_SUFFIXES:
                yield Member(self, info)

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack one member into memory.

        Raises:
            DataError: It is encrypted, too large, compressed by an unsupported method, a link, or damaged.
        """
        called = f"'{self.path / info.filename}'"
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"{called} is encrypted", "unpack the archive first")
        if info.compress_type not in _BOUNDED:
            raise DataError(f"{called} is neither stored nor deflated", "unpack the archive first")
        if info.file_size > MOST_BYTES:
            raise DataError(
                f"{called} would be {info.file_size / 2**20:,.0f} MiB, and at most {MOST_BYTES >> 20} MiB are "
                "unpacked into memory",
                "unpack the archive first",
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{called} is a link, not an image", "unpack the archive first")
        try:
            with self._lock, self._file.open(info) as member:
                return member.read(MOST_BYTES)
        except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{called} cannot be unpacked: {_reason(error)}", "pack it again") from error


class Member(msgspec.Struct, frozen=True, eq=False):
    """One image in an archive."""

    archive: Archive
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """The archive's path followed by the member's path in it."""
        return f"{shown(self.archive.path)}/{shown(self.info.filename)}"

    def read(self) -> bytes:
        """See `ImageSource.read`.

        Raises:
            DataError: See `Archive.read`.
        """
        return self.archive.read(self.info)


def images_in(path: Path) -> Iterator[ImageSource]:
    """The images of a zip archive; one that cannot be opened or has no images gives one `Unreadable` source."""
    try:
        archive = Archive(path)
    except DataError as error:
        yield Unreadable(path, str(error))
        return
    found = False
    for source in archive.images():
        found = True
        yield source
    if not found:
        yield Unreadable(path, f"the archive '{path}' holds no images ({', '.join(IMAGE_SUFFIXES)})")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or f"its bytes are damaged ({type(error).__name__})"
