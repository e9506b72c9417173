"""CUDA graphs of an engine, and the kernels that TensorRT-RTX keeps: faster, with the same results."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capsedge.errors import ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.session import SessionWarning
from capsedge.runtime.settings import Settings
from capsedge.runtime.tensorrt.session import MOST_GRAPHS
from tests.runtime.capsule_model import evaluate, images
from tests.runtime.engines import RTX, Build, Install, build, contract, install
from tests.runtime.fake_tensorrt import RELEASES, Status

__all__ = ["build", "contract", "install"]

CLASSIC = [release for release in RELEASES if release != RTX]


@pytest.mark.parametrize("release", CLASSIC)
def test_a_batch_that_comes_again_runs_as_one_cuda_graph_with_the_same_results(
    release: str, good: Path, build: Build, install: Install
) -> None:
    cuda = install(release)
    with open_session(build(release)) as session:
        for seed, count in enumerate([2, 3, 2, 3, 2, 3, 1, 2]):
            cuda.calls.clear()
            outputs = session.run(images(count, seed=seed))
            lengths, poses = evaluate(good, images(count, seed=seed))
            np.testing.assert_array_equal(outputs.lengths, lengths)
            np.testing.assert_array_equal(outputs.poses, poses)
            replayed = cuda.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"]
            assert replayed == (seed in (4, 5, 7))  # the third run of a batch, and those after it
        assert len(cuda.executables) == 2

    assert (cuda.executables, cuda.graphs, cuda.memory, cuda.pinned) == ({}, set(), {}, {})


def test_no_more_graphs_are_recorded_than_there_is_memory_set_aside_for(build: Build, install: Install) -> None:
    cuda = install("tensorrt-11.4.0")
    with open_session(build("tensorrt-11.4.0")) as session:
        for count in range(1, MOST_GRAPHS + 3):
            for _ in range(3):
                session.run(images(count))
        assert len(cuda.executables) == MOST_GRAPHS
        assert session.warnings == tuple(
            SessionWarning(
                "graph-limit", f"batches of {count} run without a CUDA graph: 4 other sizes have one already"
            )
            for count in (5, 6)
        )


def test_no_graph_is_recorded_where_the_settings_forbid_it(build: Build, install: Install) -> None:
    cuda = install("tensorrt-11.4.0")
    with open_session(build("tensorrt-11.4.0"), Settings(cuda_graph=False)) as session:
        for _ in range(3):
            session.run(images(1))
        assert session.settings == Settings(cuda_graph=False)
    assert "cudaStreamBeginCapture" not in cuda.calls


@pytest.mark.parametrize(
    "fails",
    [
        {"records": False},
        {"fail": "cudaStreamBeginCapture"},
        {"fail": "cudaStreamEndCapture"},
        {"fail": "cudaGraphInstantiate"},
        {"memory_for": 1},  # none for the context of a graph
    ],
    ids=str,
)
def test_an_engine_that_cannot_be_recorded_goes_on_as_it_is_and_says_so(
    fails: dict[str, Any], good: Path, build: Build, install: Install
) -> None:
    """A failed call leaves CUDA's last error behind, which the next launch takes for its own."""
    cuda = install("tensorrt-10.3.0", **fails)
    with open_session(build("tensorrt-10.3.0")) as session:
        for seed, count in enumerate([2, 2, 2, 3, 3, 3]):
            lengths, _ = evaluate(good, images(count, seed=seed))
            np.testing.assert_array_equal(session.run(images(count, seed=seed)).lengths, lengths)
        assert not session.settings.cuda_graph
        (warning,) = session.warnings
        assert warning.code == "graph-failed"
        assert warning.text.startswith("runs cannot be recorded as a CUDA graph (")

    tried = 0 if "memory_for" in fails else 1  # once, and for no other batch again
    assert cuda.calls.count("cudaStreamBeginCapture") == tried
    assert (cuda.executables, cuda.recording, cuda.memory, cuda.pinned) == ({}, None, {}, {})
    assert (cuda.graphs, cuda.last_error) == (set(), 0)
    assert "cudaGraphLaunch" not in cuda.calls


def test_what_fails_in_the_plain_run_before_a_recording_is_no_matter_of_graphs(
    build: Build, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """700 is an illegal address: nothing that the GPU computes after it can be believed."""
    cuda = install("tensorrt-11.4.0")
    statuses = iter([Status(0), Status(0), Status(700)])
    with open_session(build("tensorrt-11.4.0")) as session:
        monkeypatch.setattr(cuda, "cudaStreamSynchronize", lambda stream: (next(statuses),))
        session.run(images(1))
        with pytest.raises(ProviderError, match="CUDA failed with cudaError700"):
            session.run(images(1))


@pytest.mark.parametrize(("graphs", "strategy"), [(True, 1), (False, 0)])
def test_tensorrt_rtx_records_graphs_itself_if_it_is_told_to(
    graphs: bool, strategy: int, build: Build, install: Install
) -> None:
    cuda = install(RTX)
    with open_session(build(), Settings(cuda_graph=graphs)) as session:
        for _ in range(3):
            session.run(images(1))

    assert sys.modules["tensorrt_rtx"].contexts == [strategy]
    assert "cudaStreamBeginCapture" not in cuda.calls


def test_kernels_that_tensorrt_rtx_compiled_are_there_at_the_next_start(build: Build, install: Install) -> None:
    install(RTX)
    file = build()
    open_session(file).close()
    kernels = file.with_name("model.engine.kernels")
    assert kernels.read_bytes() == b"compiled kernels"
    written = kernels.stat().st_ino

    open_session(file).close()
    assert sys.modules["tensorrt_rtx"].loaded_kernels == [b"compiled kernels"]
    assert kernels.stat().st_ino == written  # nothing new, nothing written

    install(RTX, kernels=b"for another GPU")
    open_session(file).close()
    assert kernels.read_bytes() == b"for another GPU"


def test_a_folder_that_cannot_be_written_costs_the_kernels_and_nothing_else(build: Build, install: Install) -> None:
    install(RTX)
    file = build()
    file.with_name("model.engine.kernels").mkdir()  # neither read nor written
    with open_session(file) as session:
        session.run(images(1))


def test_classic_tensorrt_leaves_nothing_beside_the_engine(build: Build, install: Install) -> None:
    install("tensorrt-11.4.0")
    file = build("tensorrt-11.4.0")
    open_session(file).close()
    assert sorted(each.name for each in file.parent.iterdir()) == ["model.engine", "model.engine.json"]
