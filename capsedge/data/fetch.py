"""Downloading a known data set into the cache folder, verified by its published checksums."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from capsedge.data.known import KNOWN, Known, cache_folder, find, known, place_of
from capsedge.errors import DataError, WrongUse, require

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30
_CHUNK_BYTES = 1 << 16


def download(name: str) -> Path:
    """Download a known data set if it is not on this machine; shows a progress bar if stderr is a terminal.

    Files in the cache folder with the right checksum are kept. Others are downloaded under a temporary name and
    renamed when their checksum is right.

    Args:
        name: `fashion-mnist`, `mnist` or `cifar-10`; the subset that ships with capsedge needs no download.

    Returns:
        The folder of the data set.

    Raises:
        WrongUse: There is no data set of that name.
        DataError: No mirror gave a file with the published checksum, or the cache folder cannot be written.
        MissingExtra: The package pooch is not installed.
    """
    if name not in KNOWN and (place := place_of(name)).exists():
        raise WrongUse(
            f"'{name}' is a {'folder' if place.is_dir() else 'file'}",
            f"name one of {', '.join(KNOWN)}",
        )
    entry = known(name)
    folder = cache_folder() / name
    present = find(name)
    if present is not None and present != folder:
        return present
    _fetch(name, entry, folder)
    return folder


def _fetch(name: str, entry: Known, folder: Path) -> None:
    pooch = require("pooch", extra="train")
    pooch.get_logger().setLevel("WARNING")  # its messages would mix with our progress bar
    with _progress() as progress:
        for file in entry.sha256:
            target = folder / file
            try:
                _fetch_file(pooch, name, entry, target, progress)
            except OSError as error:
                raise DataError(f"cannot write '{target}': {error.strerror or error}") from error


def _fetch_file(pooch: ModuleType, name: str, entry: Known, target: Path, progress: "Progress") -> None:
    requests = require("requests", extra="train")
    bar = _Bar(progress, target.name)
    failures = []
    for mirror in entry.mirrors:
        try:
            # Keeps a file with the right checksum; renames a new file only if its checksum is right.
            pooch.retrieve(
                mirror + target.name,
                known_hash=entry.sha256[target.name],
                fname=target.name,
                path=target.parent,
                downloader=pooch.HTTPDownloader(
                    progressbar=bar, chunk_size=_CHUNK_BYTES, timeout=(CONNECT_SECONDS, ANSWER_SECONDS)
                ),
            )
        except requests.RequestException as error:
            failures.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
        except ValueError:
            failures.append(f"{urlsplit(mirror).netloc}: wrong checksum")
        else:
            return
    raise DataError(
        f"cannot download '{target.name}' of '{name}' ({'; '.join(failures)})",
        f"check the network, or put {entry.wanted} into '{target.parent}' (from {entry.home})",
    )


def _reason(error: Exception) -> str:
    """Short reason why a request failed; the library's own text is several lines long."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    kinds = {type_.__name__ for type_ in type(error).__mro__}
    if "Timeout" in kinds:
        return "no answer in time"
    if "ChunkedEncodingError" in kinds:
        return "the transfer broke off"
    return "no connection" if "ConnectionError" in kinds else type(error).__name__


@contextmanager
def _progress() -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

    from capsedge.bar import FittingProgress

    console = Console(stderr=True)
    name, bar, size, left = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    columns, order = (name, bar, size, TextColumn("left"), left), (bar, name, size)
    off = not console.is_terminal
    with FittingProgress(*columns, order=order, console=console, transient=True, disable=off) as progress:
        yield progress


class _Bar:
    """A progress bar with the interface that pooch expects, drawn by rich."""

    def __init__(self, progress: "Progress", name: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(name, total=None)

    @property
    def total(self) -> int:
        """Bytes to download; pooch sets it when the server has answered."""
        return int(self._progress.tasks[self._task].total or 0)

    @total.setter
    def total(self, size_bytes: int) -> None:
        self._progress.reset(self._task, total=size_bytes)

    def update(self, size_bytes: int) -> None:
        """Advance the bar by `size_bytes`."""
        self._progress.advance(self._task, size_bytes)

    def reset(self) -> None:
        """Set the bar to 0."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Do nothing: rich closes all bars together."""
