"""The data sets with a name: where they are looked for, and their published checksums."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from capsedge.data.known import KNOWN, SUBSET, cache_folder, find, known
from capsedge.errors import WrongUse

IdxFolder = Callable[..., Path]

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
# https://github.com/zalandoresearch/fashion-mnist, README, "Get the Data"; the times stand in the files' headers.
PUBLISHED_MD5 = {
    "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
    "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
    "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", 1504176627),
    "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
}


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.parametrize("file", list(PUBLISHED_MD5))
def test_our_checksums_of_fashion_mnist_belong_to_the_files_with_the_published_md5(file: str) -> None:
    md5, made_at = PUBLISHED_MD5[file]
    # Debian strips the name and sets another time; with both put back (RFC 1952) the file is the published one.
    body = (DEBIAN / f"{file}.gz").read_bytes()[10:]
    content = b"\x1f\x8b\x08\x08" + struct.pack("<I", made_at) + b"\0\x03" + file.encode() + b"\0" + body
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
    assert hashlib.sha256(content).hexdigest() == KNOWN["fashion-mnist"].sha256[f"{file}.gz"]
    assert len(gzip.decompress(content)) > len(body) / 2


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_what_can_be_fetched_has_four_files_ten_classes_and_several_mirrors(name: str) -> None:
    entry = known(name)
    assert set(entry.sha256) == {f"{file}.gz" for file in PUBLISHED_MD5}
    assert all(len(sum_) == 64 and int(sum_, 16) for sum_ in entry.sha256.values())
    assert len(set(entry.sha256.values())) == 4
    assert len(entry.classes) == 10
    assert len(entry.mirrors) >= 2
    assert all(mirror.endswith("/") for mirror in entry.mirrors)


def test_cifar_10_is_fetched_as_the_published_archive() -> None:
    entry = known("cifar-10")
    # Independent projects give this SHA-256 for the archive whose MD5 CIFAR-10's page publishes.
    assert dict(entry.sha256) == {
        "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    }
    assert len(entry.classes) == 10
    assert all(mirror.endswith("/") for mirror in entry.mirrors)


@pytest.mark.parametrize("packed", [True, False])
def test_cifar_10_is_found_in_the_cache_only_when_it_is_whole(
    empty_machine: Path, cifar_folder: Callable[..., Path], packed: bool
) -> None:
    folder = cifar_folder(empty_machine / "cifar-10", "binary", packed=packed)
    assert find("cifar-10") == folder
    (folder / ("cifar-10-binary.tar.gz" if packed else "test_batch.bin")).unlink()
    assert find("cifar-10") is None


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(WrongUse, match=r"unknown data set 'fashon-mnist', .* did you mean 'fashion-mnist'\?"):
        known("fashon-mnist")


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(
        WrongUse,
        match="there is no folder of that name: there are: fashion-mnist, mnist, cifar-10, fashion-mnist-subset",
    ):
        known("imagenet1k")


def test_nothing_is_found_on_an_empty_machine(empty_machine: Path) -> None:
    assert find("mnist") is None
    assert find("fashion-mnist") is None


def test_the_users_folder_comes_before_the_systems_and_that_before_the_cache(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = idx_folder(empty_machine / "mnist", train_labels=[0], test_labels=[0])
    assert find("mnist") == cached
    systems = idx_folder(tmp_path / "system" / "mnist", train_labels=[0], test_labels=[0])
    assert find("mnist") == systems
    own = idx_folder(tmp_path / "own" / "mnist", train_labels=[0], test_labels=[0])
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    assert find("mnist") == own
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "elsewhere"))
    assert find("mnist") == systems


def test_half_a_download_in_the_cache_is_passed_over(empty_machine: Path, idx_folder: IdxFolder) -> None:
    (idx_folder(empty_machine / "mnist", train_labels=[0], test_labels=[0]) / "t10k-labels-idx1-ubyte").unlink()
    assert find("mnist") is None


def test_what_the_user_points_to_is_taken_though_incomplete(
    empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "mnist").mkdir(parents=True)
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "own"))
    assert find("mnist") == tmp_path / "own" / "mnist"


def test_the_subset_is_always_there(empty_machine: Path) -> None:
    folder = find(SUBSET)
    assert folder is not None
    assert (folder / "train-images-idx3-ubyte.gz").is_file()


def test_the_cache_is_where_the_user_or_linux_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "capsedge"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere" / "capsedge"
