"""Caches of made-up machines, in the files that Linux shows."""

import os
from pathlib import Path

import pytest

from capsedge.measure.profile.caches import Caches, caches


def core(root: Path, number: int, second: str | None, third: str | None = None, size: str = "1024K") -> None:
    """A core with a first cache of each kind, and what it shares its second and third one with."""
    told = [("1", "48K", str(number)), ("1", "32K", str(number)), ("2", size, second), ("3", "32M", third)]
    for index, (level, its_size, shared) in enumerate(told):
        if shared is None:
            continue
        folder = root / f"cpu{number}" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "level").write_text(f"{level}\n")
        (folder / "size").write_text(f"{its_size}\n")
        if shared:
            (folder / "shared_cpu_list").write_text(f"{shared}\n")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a process that is bound to the cores 0 to 3."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("shared", "sizes", "wanted"),
    [
        (["0", "1", "2", "3", "4"], ["1024K"] * 5, Caches(1 << 20, 4)),  # this process is not bound to core 4
        (["0-3"] * 4, ["512K"] * 4, Caches(512 << 10, 1)),  # a cluster
        (["0,2", "1,3"] * 2, ["1024K"] * 4, Caches(1 << 20, 2)),  # two threads of a core
        (["0-1", "0-1", "2-3", "2-3"], ["512K", "512K", "2M", "2M"], Caches(512 << 10, 2)),  # the smallest counts
    ],
)
def test_cores_that_share_a_cache_have_one(shared: list[str], sizes: list[str], wanted: Caches, root: Path) -> None:
    for number, (cores, size) in enumerate(zip(shared, sizes, strict=True)):
        core(root, number, cores, "0-7", size)

    assert caches(2, root) == wanted
    assert caches(3, root) == Caches(32 << 20, 1)
    assert caches(4, root) == Caches(0, 0)
    assert [caches(2, root).used_by(threads) for threads in (1, 8)] == [1, wanted.number]


def test_a_cache_that_names_no_cores_is_private_and_a_broken_file_is_passed_over(root: Path) -> None:
    for number in range(4):
        core(root, number, "")
    (root / "cpu3" / "cache" / "index2" / "size").write_text("unknown\n")

    assert caches(2, root) == Caches(1 << 20, 3)


def test_a_system_that_tells_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    core(tmp_path, 0, "0")

    assert caches(2, tmp_path).used_by(4) == 0
