"""From a name or a folder to a data set."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capsedge.data import Overlaid, Split, download, load_dataset
from capsedge.errors import DataError, WrongUse

IdxFolder = Callable[..., Path]
ImageFolder = Callable[..., Path]
CifarFolder = Callable[..., Path]

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_has_its_published_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPSEDGE_DATA", raising=False)
    dataset = load_dataset("fashion-mnist")
    assert (dataset.name, dataset.classes, dataset.shape) == ("fashion-mnist", GARMENTS, (28, 28, 1))
    assert dataset.description == "Fashion-MNIST: 55,000 training, 5,000 validation, 10,000 test images"
    assert dataset.location == str(DEBIAN)
    assert isinstance(dataset.train, Split)
    for split, each in ((dataset.train, 5500), (dataset.validation, 500), (dataset.test, 1000)):
        assert np.bincount(split.labels).tolist() == [each] * 10
    # Mean and standard deviation of the 60,000 images as everybody's code for Fashion-MNIST has them.
    images = np.concatenate([dataset.train.images, dataset.validation.images]) / np.float32(255)
    assert images.mean() == pytest.approx(0.2860, abs=5e-5)
    assert images.std() == pytest.approx(0.3530, abs=5e-5)


def test_without_fashion_mnist_the_subset_stands_in_under_its_own_name(empty_machine: Path) -> None:
    dataset = load_dataset("fashion-mnist")
    assert (dataset.name, dataset.classes, dataset.shape) == ("fashion-mnist-subset", GARMENTS, (28, 28, 1))
    assert dataset.description == "Fashion-MNIST subset: 1,600 training, 400 validation, 1,000 test images"
    assert isinstance(dataset.train, Split)
    for split, each in ((dataset.train, 160), (dataset.validation, 40), (dataset.test, 100)):
        assert np.bincount(split.labels).tolist() == [each] * 10


def test_two_loads_have_the_same_validation_images() -> None:
    first, second = (load_dataset("fashion-mnist-subset").validation.images for _ in range(2))
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(second.tobytes()).digest()


def test_an_absent_mnist_says_how_to_get_it_and_fetches_nothing(empty_machine: Path) -> None:
    with pytest.raises(
        DataError, match=r"'mnist' is not on this machine: capsedge data mnist --download fetches it, or put"
    ) as caught:
        load_dataset("mnist")
    assert str(empty_machine / "mnist") in str(caught.value)
    assert not empty_machine.exists()


def test_a_name_is_found_in_the_folder_that_the_user_names(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = list(range(10)) * 2
    idx_folder(tmp_path / "own" / "mnist", train_labels=labels, test_labels=[3])
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    dataset = load_dataset("mnist")
    assert dataset.classes == tuple("0123456789")
    assert dataset.description == "MNIST: 10 training, 10 validation, 1 test image"


def test_a_name_with_missing_files_in_the_users_folder_is_an_error_not_the_subset(
    empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "fashion-mnist").mkdir(parents=True)
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    with pytest.raises(DataError, match="has no file 'train-images-idx3-ubyte'"):
        load_dataset("fashion-mnist")


def test_a_folder_of_idx_files_is_a_data_set(tmp_path: Path, idx_folder: IdxFolder) -> None:
    folder = idx_folder(tmp_path / "shapes", train_labels=[0, 1, 2] * 5, test_labels=[2, 1])
    dataset = load_dataset(str(folder))
    assert (dataset.name, dataset.classes, dataset.shape) == ("shapes", ("0", "1", "2"), (4, 4, 1))
    assert dataset.description == "shapes: 12 training, 3 validation, 2 test images"


def test_a_folder_of_images_is_a_data_set(tmp_path: Path, image_folder: ImageFolder) -> None:
    images = {f"train/{name}/{i}.png": ("RGB", (5, 4), (i, 0, 0)) for name in ("left", "right") for i in range(10)}
    folder = image_folder(tmp_path / "shoes", {**images, "test/right/0.png": ("RGB", (5, 4), (99, 0, 0))})
    dataset = load_dataset(str(folder))
    assert (dataset.name, dataset.classes, dataset.shape) == ("shoes", ("left", "right"), (4, 5, 3))
    assert dataset.description == "shoes: 16 training, 4 validation, 1 test image"


def test_the_size_reaches_both_formats(tmp_path: Path, idx_folder: IdxFolder, image_folder: ImageFolder) -> None:
    idx = idx_folder(tmp_path / "idx", train_labels=[0, 1] * 3, test_labels=[1])
    images = image_folder(
        tmp_path / "images",
        {f"{part}/{name}/{i}.png": ("L", (5, 4), i) for part in ("train", "test") for name in "ab" for i in range(2)},
    )
    assert load_dataset(str(idx), size=9).shape == (9, 9, 1)
    assert load_dataset(str(images), size=9).shape == (9, 9, 1)


def test_a_description_holds_no_path(tmp_path: Path, idx_folder: IdxFolder) -> None:
    folder = idx_folder(tmp_path / "secret" / "shapes", train_labels=[0, 1] * 3, test_labels=[1])
    dataset = load_dataset(str(folder))
    assert "secret" not in dataset.description + dataset.name
    assert "secret" in dataset.location


def test_home_and_relative_folders_are_understood(
    tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path / "shapes", train_labels=[0, 1] * 3, test_labels=[1])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("~/shapes").name == "shapes"
    monkeypatch.chdir(tmp_path / "shapes")
    assert load_dataset(".").name == "shapes"


def test_a_known_name_beats_a_folder_of_that_name(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path / "fashion-mnist", train_labels=[0, 1] * 3, test_labels=[1])
    monkeypatch.chdir(tmp_path)
    assert load_dataset("fashion-mnist").name == "fashion-mnist-subset"
    assert len(load_dataset("./fashion-mnist").test) == 1


def test_neither_name_nor_folder_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"unknown data set 'fashion_mnist', .* did you mean 'fashion-mnist'\?"):
        load_dataset("fashion_mnist")


@pytest.mark.parametrize("size", [-1, 1, 7, 4097])
def test_a_size_at_which_nothing_can_be_told_is_wrong_use(size: int) -> None:
    with pytest.raises(
        WrongUse, match=rf"data\.size: expected 8 to 4,096 pixels, got {size}; 0 chooses it by the images$"
    ):
        load_dataset("fashion-mnist-subset", size=size)


def test_digits_of_8_pixels_are_no_mistake() -> None:
    assert load_dataset("fashion-mnist-subset", size=8).shape == (8, 8, 1)


@pytest.mark.parametrize("source", ["", "~no-such-user/x", "./photos-\udcff", "link"])
def test_a_source_that_no_run_could_load_again_is_wrong_use(
    tmp_path: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    images = {f"{name}/{i}.png": ("L", (8, 8), i) for name in "ab" for i in range(5)}
    Path("link").symlink_to(image_folder(Path("photos-\udcff"), images))
    for load in (load_dataset, download):
        with pytest.raises(WrongUse, match=r"expected a (name or a )?path|names the home folder of a user"):
            load(source)


def test_an_image_whose_name_is_not_utf_8_is_named_by_codes(tmp_path: Path, image_folder: ImageFolder) -> None:
    images = {f"{name}/{i}.png": ("L", (8, 8), 20 * i) for name in "ab" for i in range(6)}
    image_folder(tmp_path, {**images, "a/x\udcff.png": ("L", (8, 8), 99)})
    (tmp_path / "b" / "broken-\udcff.png").write_bytes(b"")
    dataset = load_dataset(str(tmp_path))
    assert sorted(name for names in dataset.names for name in names if "x" in name) == ["a/x\\udcff.png"]
    assert any("b/broken-\\udcff.png' cannot be read" in remark.text for remark in dataset.remarks)
    assert all(
        "\udcff" not in text
        for text in (*(each.text for each in dataset.remarks), *(name for part in dataset.names for name in part))
    )


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"data\.zip' is a file; a data set is a folder"):
        load_dataset(str(tmp_path / "data.zip"))


def test_a_folder_of_something_else_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no images: they are expected in <class>/"):
        load_dataset(str(tmp_path))


def test_a_folder_that_may_not_be_read_is_one_line(
    tmp_path: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    image_folder(tmp_path, {"train/a/1.png": ("L", (2, 2), 0)})
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="cannot be read: permission denied: check its permissions"):
        load_dataset(str(tmp_path))


def test_a_file_that_is_damaged_says_where_the_set_is_distributed(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = idx_folder(tmp_path / "own" / "fashion-mnist", train_labels=[0, 1] * 3, test_labels=[1])
    (own / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\5\1")
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    with pytest.raises(
        DataError, match=r"t10k-labels.* states 5 = 5 values and holds 1: .*see https://github.com/zalando"
    ):
        load_dataset("fashion-mnist")


def test_a_damaged_file_in_the_users_folder_says_what_makes_a_download_possible(
    empty_machine: Path, tmp_path: Path, cifar_folder: CifarFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = cifar_folder(tmp_path / "own" / "cifar-10", "binary", packed=True)
    (own / "cifar-10-binary.tar.gz").write_bytes(b"damaged")
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    assert download("cifar-10") == own
    with pytest.raises(DataError, match=r"is a damaged archive") as caught:
        load_dataset("cifar-10")
    told = (
        f"(replace the files there, or remove '{own}' or unset CAPSEDGE_DATA and run capsedge data cifar-10 "
        "--download; CIFAR-10: see http"
    )
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    # Both ways out lead to where a download would put it.
    own.rename(tmp_path / "own" / "elsewhere")
    with pytest.raises(DataError, match="is not on this machine: capsedge data cifar-10 --download fetches it"):
        load_dataset("cifar-10")


def test_a_damaged_file_in_the_cache_can_be_fetched_again(empty_machine: Path, idx_folder: IdxFolder) -> None:
    idx_folder(empty_machine / "mnist", train_labels=[0, 1] * 3, test_labels=[1])
    (empty_machine / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"")
    with pytest.raises(DataError, match=r"ends within its header: capsedge data mnist --download fetches it again"):
        load_dataset("mnist")


def test_cifar_10_is_found_by_its_name_with_its_classes(
    empty_machine: Path, tmp_path: Path, cifar_folder: CifarFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar_folder(tmp_path / "own" / "cifar-10", "python", packed=True)
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    dataset = load_dataset("cifar-10")
    assert dataset.description == "CIFAR-10: 40 training, 10 validation, 10 test images"
    assert dataset.classes == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    assert (dataset.shape, dataset.source) == ((32, 32, 3), "cifar-10")


@pytest.mark.parametrize("version", ["python", "binary"])
def test_a_folder_or_an_archive_of_cifar_10_is_a_data_set(
    tmp_path: Path, cifar_folder: CifarFolder, version: str
) -> None:
    folder = cifar_folder(tmp_path / "pictures", version)
    archive = cifar_folder(tmp_path / "packed", version, packed=True) / f"cifar-10-{version}.tar.gz"
    unpacked, packed = load_dataset(str(folder)), load_dataset(str(archive))
    assert unpacked.description == "pictures: 40 training, 10 validation, 10 test images"
    assert packed.source == str(archive)
    assert unpacked.sha256() == packed.sha256()
    assert load_dataset(str(folder), size=8).shape == (8, 8, 3)


def test_a_cut_cifar_10_file_says_where_to_get_it(tmp_path: Path, cifar_folder: CifarFolder) -> None:
    folder = cifar_folder(tmp_path / "pictures", "binary")
    (folder / "data_batch_1.bin").write_bytes(bytes(3 * 3073))
    with pytest.raises(DataError, match=r"data_batch_1\.bin' holds 3 images, .*see https://www\.cs\.toronto.*html"):
        load_dataset(str(folder))


def test_an_absent_cifar_10_says_how_to_get_it(empty_machine: Path) -> None:
    with pytest.raises(
        DataError, match=r"capsedge data cifar-10 --download .* or put cifar-10-binary.tar.gz or .*kriz/cifar.html"
    ):
        load_dataset("cifar-10")


def test_a_folder_named_for_cifar_10_without_its_files_says_what_is_wanted(
    empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "cifar-10").mkdir(parents=True)
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    with pytest.raises(
        DataError, match=r"cifar-10' has no file 'cifar-10-binary.tar.gz or .* see https://www.cs.tor"
    ):
        load_dataset("cifar-10")


def test_overlapping_is_done_after_loading(tmp_path: Path, idx_folder: IdxFolder) -> None:
    folder = idx_folder(tmp_path / "shapes", train_labels=[0, 1, 2] * 15, test_labels=[1, 0, 2])
    dataset = load_dataset(str(folder), overlap=3, evaluation_images=7)
    assert isinstance(dataset.train, Overlaid)
    assert (dataset.shape, dataset.labels_per_image, dataset.source) == ((10, 10, 1), 2, str(folder))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (36_000, 7, 3)
    assert dataset.name == "overlapped-shapes"
    assert dataset.description == (
        "overlapped shapes, two images each shifted by up to 3 pixels: 36,000 virtual training images of 36 single "
        "ones, 7 validation images of 9, 3 test images of 3"
    )


def test_only_overlapped_mnist_is_called_multi_mnist(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = idx_folder(tmp_path / "own" / "mnist", train_labels=list(range(10)) * 4, test_labels=[3, 4, 5])
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    assert load_dataset("mnist", overlap=4).description.startswith("MultiMNIST (overlapped MNIST), two images each")
    assert load_dataset("mnist", overlap=2).description.startswith(
        "overlapped MNIST, two images each shifted by up t"
    )
    assert load_dataset(str(folder), overlap=4).description.startswith("overlapped mnist, two")
    # Nobody knows what a person's folder holds, whatever its name.
    other = load_dataset(str(folder.rename(tmp_path / "MNIST")), overlap=4)
    assert (other.name, other.description[:20]) == ("overlapped-MNIST", "overlapped MNIST, tw")
    stand_in = load_dataset("fashion-mnist", overlap=4)
    assert stand_in.description.startswith("overlapped Fashion-MNIST subset, two images")
    assert stand_in.name == "overlapped-fashion-mnist-subset"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [({"overlap": -1}, "overlap: expected"), ({"evaluation_images": 0}, "evaluation_images: expected 1")],
)
def test_numbers_out_of_their_range_are_wrong_use(numbers: dict[str, int], text: str) -> None:
    with pytest.raises(WrongUse, match=rf"data\.{text}"):
        load_dataset("fashion-mnist-subset", **numbers)  # type: ignore[arg-type]
