"""TensorRT engines, without a GPU: on stand-ins with the recorded names of five releases, and on the real libraries.

Nothing here proves that an engine runs on hardware; the guide to checking that on a GPU is capsedge verify.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from capsedge.contract import Contract
from capsedge.errors import ModelError, ProviderError, WrongUse
from capsedge.runtime.open import open_session
from capsedge.runtime.tensorrt import manifest as manifest_module
from capsedge.runtime.tensorrt import session as session_module
from capsedge.runtime.tensorrt.log import layer_profiler
from capsedge.runtime.tensorrt.session import EngineSession
from capsedge.runtime.verify import verify
from tests.runtime.capsule_model import evaluate, images
from tests.runtime.engines import DEFERRED, RTX, Build, Install, build, contract, install
from tests.runtime.fake_tensorrt import RELEASES, HostCuda

__all__ = ["build", "contract", "install"]


@pytest.mark.parametrize("release", RELEASES)
def test_an_engine_runs_with_the_names_of_every_release(
    release: str, good: Path, build: Build, install: Install
) -> None:
    cuda = install(release)
    lengths, poses = evaluate(good, images(3, seed=5))

    with open_session(build(release)) as session:
        outputs = session.run(images(3, seed=5))
        assert session.provider == f"{release.replace('-', ' ')} on Stand-in"
        assert session.batch_limits == (1, 16)

    np.testing.assert_array_equal(outputs.lengths, lengths)
    np.testing.assert_array_equal(outputs.poses, poses)
    assert cuda.memory == cuda.pinned == {}


def test_the_input_is_copied_before_the_run_and_the_outputs_after_it(build: Build, install: Install) -> None:
    cuda = install()
    with open_session(build()) as session:
        cuda.calls.clear()
        session.run(images(1))

    run = cuda.calls[: cuda.calls.index("cudaStreamSynchronize") + 1]
    assert run == ["cudaMemcpyAsync 1", "execute", "cudaMemcpyAsync 2", "cudaMemcpyAsync 2", "cudaStreamSynchronize"]


def test_made_up_inputs_have_the_batch_that_is_asked_for(build: Build, install: Install) -> None:
    install()
    with open_session(build()) as session:
        assert session.feeds(4)["image"].shape == (4, 28, 28, 1)
        assert session.run_raw(session.feeds(4))["poses"].shape == (4, 10, 16)


def test_outputs_stay_what_they_were_when_the_engine_runs_again(build: Build, install: Install) -> None:
    install()
    with open_session(build()) as session:
        first = session.run(images(2, seed=1))
        kept = first.lengths.copy()
        session.run(images(2, seed=2))
    np.testing.assert_array_equal(first.lengths, kept)


def test_inputs_may_lie_in_memory_in_any_order(good: Path, build: Build, install: Install) -> None:
    install()
    batch = images(4)[::2]
    with open_session(build()) as session:
        np.testing.assert_array_equal(session.run(batch).lengths, evaluate(good, batch.copy())[0])


def test_loading_an_engine_takes_its_reading_too_and_not_the_imports(
    build: Build, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    for module, step in ((manifest_module, 30_000_000), (session_module, 4_000_000)):
        clock = itertools.count(0, step)
        monkeypatch.setattr(module, "perf_counter_ns", lambda clock=clock: next(clock))
    with open_session(build()) as session:
        assert session.load_ms == 30 + 4


def test_the_parts_of_a_run_are_timed_by_events_and_what_the_host_copies_belongs_to_them(
    build: Build, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU's clock counts calls: an event and one copy in, an event and the run, two copies out.

    The host's jumps: filling the page-locked memory takes 10 ms, and taking the outputs out of it 20.
    """
    cuda = install("tensorrt-11.4.0")
    with open_session(build("tensorrt-11.4.0")) as session:
        for _ in range(3):
            session.run(images(1))  # recorded, and yet the parts are apart
        clock = iter([0, 10_000_000, 50_000_000, 70_000_000])
        monkeypatch.setattr(session_module, "perf_counter_ns", lambda: next(clock))
        split = session.run_with_breakdown(session.feeds(2))

    assert (split.copy_in_ms, split.compute_ms, split.copy_out_ms) == (10 + 2, 2, 3 + 20)
    assert cuda.events == {}


@pytest.mark.parametrize("release", ["tensorrt-10.3.0", RTX])
def test_the_time_of_each_layer_is_the_mean_of_the_measured_runs(
    release: str, good: Path, build: Build, install: Install
) -> None:
    """In run n of the stand-ins conv1 takes 2.5 n in two parts, and classes n; the first run is not measured."""
    install(release)
    with open_session(build(release)) as session:
        assert isinstance(session, EngineSession)
        session.run(images(1))
        times = session.layer_times(session.feeds(3), runs=3)
        np.testing.assert_array_equal(session.run(images(2)).lengths, evaluate(good, images(2))[0])

    assert times == [("conv1", 2.5 * (2 + 3 + 4) / 3), ("classes", 3.0)]


def test_layers_are_timed_in_one_run_or_more(build: Build, install: Install) -> None:
    install()
    with open_session(build()) as session:
        assert isinstance(session, EngineSession)
        with pytest.raises(WrongUse, match="runs: expected 1 or more, got 0"):
            session.layer_times(session.feeds(1), runs=0)


def test_closing_twice_frees_once(build: Build, install: Install) -> None:
    cuda = install()
    session = open_session(build())
    session.close()
    session.close()

    assert cuda.calls.count("cudaFree") == cuda.calls.count("cudaFreeHost") == 3
    assert cuda.calls.count("cudaStreamDestroy") == 1


def test_a_closed_engine_touches_no_memory_and_says_that_it_is_closed(build: Build, install: Install) -> None:
    cuda = install()
    with open_session(build()) as session:
        feeds = session.feeds(1)
    assert isinstance(session, EngineSession)
    cuda.calls.clear()
    uses: list[Callable[[], object]] = [
        lambda: session.feeds(1),
        lambda: session.run_raw(feeds),
        lambda: session.run_with_breakdown(feeds),
        lambda: session.layer_times(feeds, 1),
    ]
    for use in uses:
        with pytest.raises(ModelError, match=r"^'.*model.engine' was closed: open it again$"):
            use()
    assert cuda.calls == []


def test_timing_layers_again_and_again_keeps_no_more_of_tensorrts_objects(build: Build, install: Install) -> None:
    install()
    with open_session(build()) as session:
        assert isinstance(session, EngineSession)
        for _ in range(3):
            session.layer_times(session.feeds(1), runs=1)
        assert len(sys.modules["tensorrt_rtx"].configs) == 2  # with graphs and without them


def test_other_inputs_than_the_engines_are_refused_before_they_reach_the_gpu(build: Build, install: Install) -> None:
    cuda = install()
    with open_session(build()) as session:
        cuda.calls.clear()
        with pytest.raises(ModelError, match=r"expected 'image' as uint8 \[16, 28, 28, 1\], got 'x' as float32"):
            session.run_raw({"x": np.zeros((1, 28, 28, 1), np.float32)})
        with pytest.raises(ModelError, match="expected a batch of 1 to 16, got 17"):
            session.run(images(17))
        assert cuda.calls == []


def test_a_run_that_tensorrt_refuses_is_an_error(build: Build, install: Install) -> None:
    install()
    with open_session(build()) as session, pytest.raises(ModelError, match="failed to run: TensorRT says nothing"):
        session.run(images(13))


def test_an_engine_that_does_not_load_says_what_tensorrt_says(build: Build, install: Install) -> None:
    install(loads=False)

    with pytest.raises(
        ModelError,
        match=r"does not load on Stand-in \(sm87\): TensorRT says: Serialization assertion failed\.: build it again "
        r"for this GPU and this release with: capsedge export .* --trt-target sm87 --trt-batch 1,1,16$",
    ):
        open_session(build())


def test_an_engine_says_where_it_was_built_if_that_was_another_gpu(build: Build, install: Install) -> None:
    install("tensorrt-11.4.0")
    with open_session(build("tensorrt-11.4.0", gpu="Orin NX")) as session:
        assert session.provider == "tensorrt 11.4.0 on Stand-in (built on Orin NX)"


@pytest.mark.parametrize("release", [release for release in RELEASES if release != RTX])
def test_an_engine_that_somebody_else_built_runs_and_says_so(
    release: str, good: Path, build: Build, install: Install
) -> None:
    install(release)
    file = build(release, **DEFERRED)
    file.write_bytes(b"built on the board by trtexec")

    with open_session(file) as session:
        assert session.provider == (
            f"{release.replace('-', ' ')} on Stand-in (engine not built by capsedge: its hash and release are not "
            "recorded)"
        )
        np.testing.assert_array_equal(session.run(images(2)).lengths, evaluate(good, images(2))[0])
        assert verify(session).ok


@pytest.mark.parametrize(
    ("changes", "profile", "reason"),
    [
        ({}, (1, 1, 8), r"it takes batches of \(1, 1, 8\) .* not \(1, 1, 16\) of \(28, 28, 1\)"),
        ({"height": 32}, (1, 1, 16), r".* of images of \(28, 28, 1\), not \(1, 1, 16\) of \(32, 28, 1\)"),
        ({"name": "photo"}, (1, 1, 16), r"it takes image and gives lengths, poses, not photo and lengths, poses"),
    ],
)
def test_an_engine_that_somebody_else_built_must_have_the_manifests_tensors(
    changes: dict[str, Any],
    profile: tuple[int, int, int],
    reason: str,
    build: Build,
    contract: Contract,
    install: Install,
) -> None:
    cuda = install("tensorrt-10.3.0", profile=profile)
    other = msgspec.structs.replace(contract, input=msgspec.structs.replace(contract.input, **changes))

    with pytest.raises(ModelError, match=rf"is not the engine that .* describes: {reason}: build it with: trtexec "):
        open_session(build("tensorrt-10.3.0", **DEFERRED, contract=other))
    assert cuda.memory == {}


def test_an_engine_without_a_promised_output_is_refused(build: Build, contract: Contract, install: Install) -> None:
    install()
    drawing = msgspec.structs.replace(contract, outputs=("lengths", "poses", "reconstruction"))

    with pytest.raises(ModelError, match="gives lengths, poses, not image and lengths, poses, reconstruction"):
        open_session(build(contract=drawing))


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ({"memory_for": 0}, "the GPU has no memory left to run it: free some and try again"),
        ({"fail": "cudaMalloc"}, "CUDA failed with cudaError2"),
    ],
)
def test_loading_that_fails_is_one_line_and_frees_what_was_allocated(
    fault: dict[str, Any], line: str, build: Build, install: Install
) -> None:
    cuda = install(**fault)

    with pytest.raises(ProviderError, match=line):
        open_session(build())
    assert cuda.pinned == {}
    assert (cuda.calls[-1] == "cudaStreamDestroy") == ("fail" in fault)


def test_the_real_cuda_runtime_takes_what_the_engine_gives_it() -> None:
    """Without a GPU every call answers with a status, so a wrong name or argument would show as an exception."""
    cuda = pytest.importorskip("cuda.bindings.runtime")
    kind = cuda.cudaMemcpyKind
    host = np.zeros(4, np.uint8)
    stream = cuda.cudaStreamCreate()[1] or cuda.cudaStream_t(0)

    graph, executable, event = cuda.cudaGraph_t(0), cuda.cudaGraphExec_t(0), cuda.cudaEvent_t(0)
    answers = [
        cuda.cudaStreamBeginCapture(stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
        cuda.cudaStreamEndCapture(stream),
        cuda.cudaGraphInstantiate(graph, 0),
        cuda.cudaGraphLaunch(executable, stream),
        cuda.cudaGraphDestroy(graph),
        cuda.cudaGraphExecDestroy(executable),
        cuda.cudaEventCreate(),
        cuda.cudaEventRecord(event, stream),
        cuda.cudaEventElapsedTime(event, event),
        cuda.cudaEventDestroy(event),
        cuda.cudaMallocHost(0),
        cuda.cudaFreeHost(0),
        cuda.cudaGetLastError(),
        cuda.cudaMemcpyAsync(0, host.ctypes.data, 0, kind.cudaMemcpyHostToDevice, stream),
        cuda.cudaMemcpyAsync(host.ctypes.data, 0, 0, kind.cudaMemcpyDeviceToHost, stream),
        cuda.cudaStreamSynchronize(stream),
        cuda.cudaFree(0),
        cuda.cudaGetDeviceCount(),
        cuda.cudaMalloc(0),
    ]

    assert all(isinstance(answer[0].name, str) and int(answer[0]) >= 0 for answer in answers)
    assert isinstance(int(stream), int)
    assert {"name", "major", "minor"} <= set(dir(cuda.cudaDeviceProp))
    stand_ins = {name for name in vars(HostCuda) if name.startswith("cuda")}
    assert stand_ins <= set(dir(cuda))


def test_the_real_tensorrt_gives_its_reason_to_our_logger(
    build: Build, install: Install, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real library as far as it goes without a GPU: the bytes are no engine, and it says so."""
    real = pytest.importorskip("tensorrt_rtx")
    install()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", real)

    with pytest.raises(ModelError, match=r"does not load on Stand-in .*TensorRT says: .+"):
        open_session(build(package_version=real.__version__))
    assert capfd.readouterr() == ("", "")


def test_the_real_tensorrt_maps_its_types_and_severities_as_the_engine_expects() -> None:
    real = pytest.importorskip("tensorrt_rtx")

    assert issubclass(real.Logger, real.ILogger)
    assert layer_profiler(real).times_ms == {}  # a class of ours that the library takes as a profiler
    assert real.nptype(real.DataType.UINT8) is np.uint8
    assert real.nptype(real.DataType.FLOAT) is np.float32
    assert real.ILogger.ERROR <= real.ILogger.WARNING
