"""How many threads a run takes: the formula against its cost model, and the cores that a container may use."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.runtime.ort import threads
from capsedge.runtime.ort.threads import (
    HAND_OFF_ASLEEP_FLOPS,
    HAND_OFF_FLOPS,
    cgroup_quota,
    threads_for,
    usable_cores,
)


def cheapest(flops: int, cores: int, hand_off: int) -> set[int]:
    """Try every number of threads; in whole numbers, times n, so that ties are ties."""
    costs = {n: (flops + hand_off * n * (n - 1)) / n for n in range(1, cores + 1)}
    least = min(costs.values())
    return {n for n, cost in costs.items() if cost <= least * (1 + 1e-12)}


@given(st.integers(0, 10**11), st.integers(1, 256), st.booleans())
def test_the_number_of_threads_is_the_cheapest_by_the_cost_model(flops: int, cores: int, spinning: bool) -> None:
    hand_off = HAND_OFF_FLOPS if spinning else HAND_OFF_ASLEEP_FLOPS
    assert threads_for(flops, cores, spinning=spinning) in cheapest(flops, cores, hand_off)


@pytest.mark.parametrize(
    ("flops", "spinning", "best"),
    [(28_800_000, True, 2), (401_700_000, True, 2), (28_800_000, False, 1), (401_700_000, False, 2)],
)
def test_on_two_cores_the_choice_is_the_one_that_was_measured_best(flops: int, spinning: bool, best: int) -> None:
    assert threads_for(flops, 2, spinning=spinning) == best


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
    monkeypatch.setattr(threads, "cgroup_quota", lambda own, root: quota)
    assert usable_cores() == cores
