"""The cores that this process may use, as the system and its container tell."""

import os
from pathlib import Path

import pytest

from capsedge import cores as module
from capsedge.cores import cgroup_quota, usable_cores
from capsedge.measure.machine import here
from capsedge.runtime.infer import prefetch
from capsedge.runtime.ort import threads


def group(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),  # a container with a namespace of its own
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 2.0),  # no more than the one above
        ({"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 0.5),
        ({}, "0::/a", None),
        ({"a/cpu.max": "garbage"}, "0::/a", None),
        (
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/x",
            3.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/\n0::/", None),
        # Version 1 within a container names the host's path, and shows its own group at the top.
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/docker/1f", 1.0),
        ({"memory/cpu.max": "100000 100000"}, "9:memory:/", None),
    ],
)
def test_the_quota_is_the_smallest_of_the_groups_that_hold_the_process(
    tmp_path: Path, files: dict[str, str], own: str, quota: float | None
) -> None:
    for name, text in files.items():
        group(tmp_path / "groups", name, text)
    (tmp_path / "own").write_text(f"{own}\n")

    assert cgroup_quota(tmp_path / "own", tmp_path / "groups") == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "own", tmp_path) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (3.9, 3), (0.5, 1), (64.0, 8)])
def test_no_more_cores_are_used_than_the_process_is_bound_to_and_has_time_for(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(module, "cgroup_quota", lambda own, root: quota)
    assert usable_cores() == cores


def test_everything_that_shares_work_among_threads_counts_the_same_cores() -> None:
    assert {each.usable_cores for each in (prefetch, here, threads)} == {usable_cores}
