"""A model that ONNX Runtime profiles, run in turns with the same model without the profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, perf_counter_ns
from typing import Any

from capsedge.errors import CapsedgeError, ModelError
from capsedge.runtime.ort.placement import open_on, reason
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.profile.graph import Graph, Tensor, read_graph
from capsedge.runtime.profile.ort_events import RunTime, read_profile

WARM_UP_SECONDS = 1.0
WARM_UP_RUNS = 10
FEWEST_RUNS = 50
SECONDS = 1.0  # of profiled runs, where no number is given
MOST_RUNS = 1000  # ONNX Runtime writes 1 kB for each node of each run
_TURN_RUNS = 10
_LEAD_IN_SECONDS = 0.005  # the other session's turn emptied the caches, and its idle threads may still be awake


@dataclass(frozen=True)
class Recording:
    """What was measured of a session.

    Attributes:
        runs: The timed runs that were profiled.
        profiled_us: The same runs, from call to return.
        plain_us: As many runs without the profiler.
        warmup_runs: Profiled runs that were not counted.
        graph: The graph that ran, or None where ONNX Runtime does not give it.
        inputs: Type and shape of what went in.
    """

    runs: list[RunTime]
    profiled_us: list[float]
    plain_us: list[float]
    warmup_runs: int
    graph: Graph | None
    inputs: dict[str, Tensor]


def record(
    session: OrtSession,
    *,
    batch: int,
    runs: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Recording:
    """Profile a model.

    Args:
        session: The model, opened without the profiler; the other one is opened with the same settings.
        batch: Images in a run.
        runs: Timed runs; None is at least `FEWEST_RUNS` and `SECONDS`, and at most `MOST_RUNS`.
        progress: Called between turns with the share done, 0 to 1.

    Raises:
        ModelError: The model does not take the batch, or fails, or its profile cannot be read.
    """
    feeds = session.feeds(batch)
    with TemporaryDirectory(prefix="capsedge-profile-") as name:
        folder = Path(name)
        opened, graph_file = _open_profiled(session, folder)
        profiled = _Lane(lambda: opened.run(None, feeds))
        plain = _Lane(lambda: session.run_raw(feeds))
        with _own_words(session.name):
            _alternate(profiled, plain, runs, progress)
            content = Path(opened.end_profiling()).read_bytes()
        graph = None if graph_file is None else read_graph(graph_file)
    return Recording(
        runs=read_profile(content, keep=profiled.timed),
        profiled_us=profiled.samples_us,
        plain_us=plain.samples_us,
        warmup_runs=len(profiled.timed) - sum(profiled.timed),
        graph=graph,
        inputs={name: Tensor(_kind(array.dtype.name), array.shape) for name, array in feeds.items()},
    )


class _Lane:
    """A session that runs, and what is known of each of its runs."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.timed: list[bool] = []
        self.samples_us: list[float] = []

    def warm_up(self, seconds: float, runs: int) -> None:
        """Run without counting."""
        start, done = perf_counter(), 0
        while done < runs or perf_counter() - start < seconds:
            self._run()
            self.timed.append(False)
            done += 1

    def turn(self, runs: int) -> None:
        """Run, and count."""
        self.warm_up(_LEAD_IN_SECONDS, 1)
        for _ in range(runs):
            start = perf_counter_ns()
            self._run()
            self.samples_us.append((perf_counter_ns() - start) / 1e3)
            self.timed.append(True)


def _alternate(profiled: _Lane, plain: _Lane, runs: int | None, progress: Callable[[float], None]) -> None:
    """Warm both up, and let them run in turns, so that whatever else the machine does hits both alike."""
    warm_up_seconds, warm_up_runs = (WARM_UP_SECONDS, WARM_UP_RUNS) if runs is None else (0.0, WARM_UP_RUNS)
    for lane in (plain, profiled):
        lane.warm_up(warm_up_seconds / 2, warm_up_runs)
    while (left := _left(profiled.samples_us, runs)) > 0:
        for lane in (plain, profiled):
            lane.turn(min(left, _TURN_RUNS))
        progress(len(profiled.samples_us) / (len(profiled.samples_us) + left))


def _left(samples_us: list[float], runs: int | None) -> int:
    """Runs that are still to be made, as far as one can tell."""
    done = len(samples_us)
    if runs is not None:
        return runs - done
    if done < FEWEST_RUNS:
        return FEWEST_RUNS - done
    seconds = sum(samples_us) / 1e6
    return 0 if seconds >= SECONDS else min(MOST_RUNS - done, max(1, int(done * (SECONDS / seconds - 1))))


def _open_profiled(session: OrtSession, folder: Path) -> tuple[Any, Path | None]:
    """Open a session that records itself, and name the file of the graph that it made of the model's.

    A provider that compiles parts of a graph, as TensorRT does, has no graph to give: ONNX Runtime refuses then.
    """
    settings = session.settings
    ort = load_onnxruntime("gpu" if settings.provider in ("cuda", "tensorrt") else "cpu")
    graph = folder / "graph.onnx"
    try:
        return open_on(_Profiling(ort, folder, graph), session.file, settings, session.contract), graph
    except CapsedgeError:
        return open_on(_Profiling(ort, folder, None), session.file, settings, session.contract), None


class _Profiling:
    """The module onnxruntime, whose sessions record themselves: the profiler is added to the options of `open_on`."""

    def __init__(self, ort: Any, folder: Path, graph: Path | None) -> None:
        self._ort = ort
        self._folder = folder
        self._graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ort, name)

    def SessionOptions(self) -> Any:  # noqa: N802 (ONNX Runtime's name)
        """Options as ever, with the profiler on."""
        options = self._ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(self._folder / "profile")
        if self._graph is not None:
            options.optimized_model_filepath = str(self._graph)
        return options


@contextmanager
def _own_words(name: str) -> Iterator[None]:
    """Say in one line what ONNX Runtime's own errors say."""
    try:
        yield
    except CapsedgeError:
        raise
    except OSError as error:
        raise ModelError(f"the profile of '{name}' cannot be written or read: {error.strerror}") from error
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ModelError(f"'{name}' failed to run: {reason(error)}") from error


def _kind(dtype: str) -> str:
    """The profiler's name of a type of numpy's."""
    return {"float32": "float", "float64": "double"}.get(dtype, dtype)
