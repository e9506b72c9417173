"""From the name of a data set, or a folder, to its images in memory."""

from pathlib import Path

from capsedge.data.dataset import Dataset, assemble
from capsedge.data.folder import load_folder
from capsedge.data.idx import idx_files, load_idx
from capsedge.data.known import KNOWN, SHIPPED_SUBSET, SUBSET, cache_folder, find, known
from capsedge.errors import DataError, WrongUse


def load_dataset(source: str, *, size: int = 0) -> Dataset:
    """Load a data set; nothing is ever downloaded here (`download` does that when it is asked to).

    A known name is looked for in $CAPSEDGE_DATA, in /usr/share/datasets and in the cache folder. Where
    `fashion-mnist` is in none of them, the real subset that ships with capsedge stands in, under its own name.

    Args:
        source: `fashion-mnist`, `mnist`, `fashion-mnist-subset`, or a folder: with the four IDX files (and perhaps
            a `classes.txt`), or with `train/<class>/*` and `test/<class>/*` images. A folder with a known name is
            given as `./mnist`.
        size: Side in pixels that the images are fitted to; 0 keeps the size of IDX images, and of the first image
            of a folder.

    Raises:
        WrongUse: There is no such name or folder, or the size is negative.
        DataError: The data is not on this machine, is damaged or is of another format.
    """
    if size < 0:
        raise WrongUse(f"data.size wants a number of pixels, or 0 for the images' own size, and was given {size}")
    folder = Path(source).expanduser()
    try:
        if source in KNOWN or not folder.exists():
            return _load_known(source, size)
        return _load_folder(folder, size)
    except OSError as error:
        raise DataError(f"data set '{source}' cannot be read: {error}") from error


def _load_known(name: str, size: int) -> Dataset:
    known(name)
    folder = find(name)
    if folder is None and name == "fashion-mnist":
        name, folder = SUBSET, SHIPPED_SUBSET
    if folder is None:
        raise DataError(
            f"data set '{name}' is not on this machine: add --download to fetch it, "
            f"or put its four IDX files into '{cache_folder() / name}'"
        )
    entry = known(name)
    classes, train, test = load_idx(folder, size=size, classes=entry.classes)
    return assemble(train, test, name=name, title=entry.title, classes=classes, location=str(folder), source=name)


def _load_folder(folder: Path, size: int) -> Dataset:
    if not folder.is_dir():
        raise DataError(
            f"'{folder}' is a file; a data set is a folder with IDX files, or with train/ and test/ images"
        )
    if idx_files(folder):
        classes, train, test = load_idx(folder, size=size)
    elif (folder / "train").is_dir() or (folder / "test").is_dir():
        classes, train, test = load_folder(folder, size=size)
    else:
        raise DataError(
            f"'{folder}' holds no data set: wanted are IDX files (train-images-idx3-ubyte and so on), "
            "or images in train/<class>/ and test/<class>/"
        )
    name = folder.resolve().name or "data"
    source = str(folder.resolve())
    return assemble(train, test, name=name, title=name, classes=classes, location=str(folder), source=source)
