"""A model's folder is there whole or not at all, and what was not written here is not lost."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from capsedge.errors import WrongUse
from capsedge.export.triton import Serving, repository, write_repository
from capsedge.files import write_atomically
from tests.export.triton.conftest import parsed
from tests.export.triton.folders import served_file, tree
from tests.export.triton.test_source import rewrite
from tests.runtime.capsule_model import graph


def test_a_folder_that_was_written_here_is_replaced_and_nothing_is_left_beside_it(
    accepted: Path, tmp_path: Path
) -> None:
    folder = write_repository(tmp_path / "models", accepted, serving=Serving(max_batch=8))
    model = graph()
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Abs"
    rewrite(accepted, model)
    write_repository(tmp_path / "models", accepted)

    assert parsed(folder).max_batch_size == 64
    assert served_file(folder).read_bytes() == accepted.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["models", "run"]
    assert [each.name for each in (tmp_path / "models").iterdir()] == ["small-capsules"]


def test_the_same_model_gives_the_same_bytes(accepted: Path, tmp_path: Path) -> None:
    one, two = (tree(write_repository(tmp_path / name, accepted)) for name in ("one", "two"))

    assert one == two


def edited(folder: Path) -> None:
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace("count: 1", "count: 4"))


def another_version(folder: Path) -> None:
    (folder / "1").rename(folder / "2")


def somebody_elses(folder: Path) -> None:
    (folder / "config.pbtxt").write_text('name: "small-capsules"\nbackend: "python"\n')


def no_model(folder: Path) -> None:
    for file in tree(folder):
        (folder / file).rename(folder / "1" / hashlib.sha256(file.encode()).hexdigest())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edited, r"config\.pbtxt' was edited since capsedge wrote it"),
        (another_version, "small-capsules' also has '2'"),
        (somebody_elses, "small-capsules' exists and was not written by capsedge"),
        (no_model, "small-capsules' exists and was not written by capsedge"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_was_not_written_here_is_not_lost(change: Any, reason: str, accepted: Path, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", accepted)
    change(folder)
    before = tree(tmp_path)

    with pytest.raises(WrongUse, match=f"{reason}: move it away, or give another folder"):
        write_repository(tmp_path / "models", accepted)
    assert tree(tmp_path) == before


def test_the_model_of_another_run_of_that_name_is_not_replaced(accepted: Path, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", accepted)
    config = folder / "config.pbtxt"
    rewrite(accepted, graph(), data="Photos: 3 training, 1 validation, 1 test images")
    before = tree(tmp_path)

    with pytest.raises(WrongUse, match="small-capsules' is of another network, with other classes or images: move"):
        write_repository(tmp_path / "models", accepted)
    assert tree(tmp_path) == before

    config.write_text(re.sub("of [0-9a-f]{12}, ", "", config.read_text()))  # an earlier capsedge did not write it
    assert write_repository(tmp_path / "models", accepted) == folder


def test_an_empty_folder_is_taken_and_a_file_is_not(accepted: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "empty").mkdir(parents=True)
    (tmp_path / "models" / "file").write_text("mine")

    assert parsed(write_repository(tmp_path / "models", accepted, name="empty")).name == "empty"
    with pytest.raises(WrongUse, match="file' exists and was not written by capsedge"):
        write_repository(tmp_path / "models", accepted, name="file")
    assert (tmp_path / "models" / "file").read_text() == "mine"


def test_a_repository_that_is_a_file_is_refused(accepted: Path) -> None:
    with pytest.raises(WrongUse, match=r"expected a folder, got the file '.*model\.onnx': choose another name"):
        write_repository(accepted, accepted)


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs a mount that is always there")
def test_a_repository_that_is_a_mount_is_refused(accepted: Path) -> None:
    with pytest.raises(WrongUse, match=r"'/proc' is a mount point.*give a folder inside of it"):
        write_repository(Path("/proc"), accepted)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, bytes]]:
    """What a server would see in the repository before each file is written."""
    seen: list[dict[str, bytes]] = []

    def watch(path: Path, content: bytes | str) -> None:
        seen.append(tree(tmp_path / "models"))
        assert {each.name for each in (tmp_path / "models").iterdir()} <= {"small-capsules"}
        write_atomically(path, content)

    monkeypatch.setattr(repository, "write_atomically", watch)
    return seen


def test_a_repository_may_be_the_folder_one_stands_in(
    accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: list[dict[str, bytes]]
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path / "models")

    assert write_repository(Path(), accepted) == Path("small-capsules")
    assert watched == [{}] * 3


def test_until_all_is_written_a_server_sees_nothing_and_then_the_old_model(
    accepted: Path, tmp_path: Path, watched: list[dict[str, bytes]]
) -> None:
    """Not even a hidden folder: Triton takes each for a model."""
    write_repository(tmp_path / "models", accepted)
    assert watched == [{}] * 3
    old = tree(tmp_path / "models")
    watched.clear()
    write_repository(tmp_path / "models", accepted, serving=Serving(max_batch=8))

    assert watched == [old] * 3
    assert tree(tmp_path / "models") != old


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_failure_in_mid_write_leaves_the_old_model_and_nothing_else(
    nth: int, accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repository(tmp_path / "models", accepted)
    before = tree(tmp_path)
    written = []

    def full_disk(path: Path, content: bytes | str) -> None:
        written.append(path)
        if len(written) > nth:
            raise OSError(28, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr(repository, "write_atomically", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_repository(tmp_path / "models", accepted, serving=Serving(max_batch=8))
    assert tree(tmp_path) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["models", "run"]


def test_where_the_new_model_cannot_take_its_place_the_old_one_comes_back(
    accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_repository(tmp_path / "models", accepted)
    before = tree(tmp_path)
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="Input/output error"):
        write_repository(tmp_path / "models", accepted, serving=Serving(max_batch=8))
    assert tree(tmp_path) == before
    assert folder.is_dir()
