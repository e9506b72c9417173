"""Finding the images at the given paths: the paths are checked at once, the images found one after the other."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from capsedge.data.images import IMAGE_SUFFIXES
from capsedge.errors import DataError, WrongUse
from capsedge.runtime.infer.sources.listed import open_list, paths_in
from capsedge.runtime.infer.sources.source import STDIN, File, ImageSource, Stdin, Unreadable, called
from capsedge.runtime.infer.sources.walk import ZIP_SUFFIX, images_below, is_glob, matches


class Images:
    """The images of files, folders, globs, zip archives, standard input and a list of paths.

    Iterating finds them one after the other in the order given, so a million images take no memory. It raises
    DataError where a list is empty.

    Attributes:
        alone: Whether the only source is one file or standard input.
    """

    def __init__(self, paths: Sequence[Path], listed: str | None = None) -> None:
        """Check the paths.

        Args:
            paths: Files, folders (at any depth), globs, zip archives; `-` for an image on standard input.
            listed: A file with a path on each line, `-` for such a list on standard input.

        Raises:
            WrongUse: No source is given, or standard input is given twice.
            DataError: A path does not exist, a folder holds no image, or a glob matches none.
        """
        if not paths and listed is None:
            raise WrongUse(
                "expected images, got none",
                "name an image, a folder, a glob in quotes, a zip archive, - for standard input, or --list",
            )
        if listed == "-" and STDIN in paths:
            raise WrongUse("standard input cannot be both an image (-) and a list (--list -)", "name one of them")
        for path in paths:
            _check(path)
        if listed is not None and listed != "-" and (os.path.isdir(listed) or not os.access(listed, os.R_OK)):  # noqa: PTH112
            raise DataError(
                f"--list: expected a file with a path on each line, or -; '{called(listed)}' cannot be read"
            )
        self.paths, self.listed = paths, listed
        self.alone = listed is None and len(paths) == 1 and (paths[0] == STDIN or _is_single(paths[0]))

    def __iter__(self) -> Iterator[ImageSource]:
        for path in self.paths:
            yield from _sources_of(path)
        if self.listed is not None:
            yield from _listed(self.listed)

    def count(self) -> int | None:
        """Number of images, for a progress bar; None where the list of paths can be read only once.

        This walks through all folders once more.
        """
        return sum(1 for _ in self) if self.listed is None or Path(self.listed).is_file() else None


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List image files: a file as it is, a folder's images at any depth and sorted, `-` for standard input.

    Raises:
        DataError: A path does not exist, or a folder holds no image.
    """
    for path in paths:
        _check(path)
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    return [path] if path == STDIN or path.is_file() else [source.path for source in _found(path)]


def _sources_of(path: Path) -> Iterator[ImageSource]:
    if path == STDIN:
        yield Stdin()
    elif path.exists():
        yield from _at(path)
    else:
        for source in matches(path):
            yield from _at(source.path) if isinstance(source, File) else [source]


def _listed(name: str) -> Iterator[ImageSource]:
    empty = True
    with open_list(name) as stream:
        for path in paths_in(stream):
            empty = False
            yield from _at(path)
    if empty:
        raise DataError("the list is empty: expected a path on each line")


def _at(path: Path) -> Iterator[ImageSource]:
    """The images at a path; one that does not exist or cannot be accessed gives a source that raises when read."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError):
        yield File(path)
        return
    except OSError as error:  # the name is too long, or a folder denies access
        yield Unreadable(path, _refused(path, error))
        return
    if stat.S_ISDIR(mode):
        first = True
        for source in images_below(path):
            first = False
            yield source
        if first:
            yield Unreadable(path, _holds_none(path))
    elif path.suffix.lower() == ZIP_SUFFIX and stat.S_ISREG(mode):
        from capsedge.runtime.infer.sources.archive import images_in  # zipfile is loaded for an archive only

        yield from images_in(path)
    else:
        yield File(path)


def _check(path: Path) -> None:
    try:
        is_file, is_folder = path == STDIN or path.is_file(), path.is_dir()
        if not (is_file or is_folder or is_glob(path)):
            with suppress(FileNotFoundError, NotADirectoryError, ValueError):
                path.stat()  # from Python 3.14 on, is_file and is_dir hide the reason for a failure
    except OSError as error:
        raise DataError(_refused(path, error)) from error
    if is_file:
        return
    if is_folder:
        if next(images_below(path), None) is None:
            raise DataError(_holds_none(path))
    elif not is_glob(path):
        raise DataError(f"there is no image file or folder '{path}'")
    elif next(matches(path), None) is None:
        raise DataError(f"nothing matches '{path}'")


def _found(path: Path) -> Iterator[File | Unreadable]:
    return images_below(path) if path.is_dir() else matches(path)


def _refused(path: Path, error: OSError) -> str:
    return f"'{called(path)}' cannot be read: {error.strerror}"


def _holds_none(folder: Path) -> str:
    return f"the folder '{folder}' holds no images ({', '.join(IMAGE_SUFFIXES)})"


def _is_single(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() != ZIP_SUFFIX
