"""Warnings of made-up profiles."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

from capsedge.measure.profile import warnings
from capsedge.measure.profile.report import ProfileCode, Whole
from capsedge.runtime.session import Session, SessionWarning
from capsedge.runtime.settings import Settings


def session(threads: int = 1, **facts: Any) -> Session:
    settings = Settings(provider="cuda", threads=threads)
    return cast(Session, SimpleNamespace(**({"settings": settings, "fell_back": (), "warnings": ()} | facts)))


def whole(layers_us: float, plain_us: float, profiled_us: float | None) -> Whole:
    return Whole(
        layers_us=layers_us,
        between_us=plain_us - layers_us,
        plain_us=plain_us,
        profiled_us=profiled_us,
        profiler_us=None if profiled_us is None else profiled_us - plain_us,
    )


def test_more_threads_than_cores_are_warned_of() -> None:
    (said,) = warnings.about_session(session(threads=8), 2)

    assert (said.code, said.text) == ("threads", "8 threads on 2 cores wait for each other: give it 2 or fewer")
    assert list(warnings.about_session(session(threads=2), 2)) == []


def test_what_fell_back_and_what_was_assumed_are_told() -> None:
    assumed = SessionWarning("assumed-size", "taken as 1")
    said = list(warnings.about_session(session(fell_back=("Loop", "If"), warnings=(assumed,)), 2))

    assert [(each.code, each.text) for each in said] == [
        ("fell-back", "Loop, If did not run on cuda, but on the CPU"),
        ("assumed-size", "taken as 1"),
    ]


def test_times_that_fit_together_give_no_warning() -> None:
    assert list(warnings.about_whole(whole(8.0, 10.0, 15.0))) == []


@pytest.mark.parametrize(
    ("profiled_us", "why"),
    [(25.0, "the profiler makes them longer"), (None, "layers of an engine can run")],
)
def test_layers_that_last_longer_than_a_run_are_warned_of(profiled_us: float | None, why: str) -> None:
    (said,) = warnings.about_whole(whole(20.0, 10.0, profiled_us))

    assert said.code == "layers-exceed-run"
    assert said.text.startswith(f"the layers add up to 20.0 us, and a run without the profiler takes 10.0 us: {why}")


def test_a_profiler_that_takes_less_than_nothing_is_warned_of() -> None:
    (said,) = warnings.about_whole(whole(8.0, 10.0, 9.0))

    assert said.code == "profiler-within-noise"
    assert said.text.startswith("the profiled runs were faster than those without")


def test_a_network_without_nodes_says_so() -> None:
    (said,) = warnings.about_layers([], whole(0.0, 5.0, 6.0))

    assert (said.code, said.text) == ("no-nodes", "no node ran: the outputs are constant")


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "profile.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page[page.index("## Warnings") :], re.MULTILINE) == list(
        get_args(ProfileCode)
    )
