"""Running a model with ONNX Runtime's profiler, alternating with the same model without it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from capsedge.errors import CapsedgeError, ModelError
from capsedge.measure.bench import clock
from capsedge.measure.bench.clock import no_garbage_collection
from capsedge.measure.bench.loop import LEAD_IN_MS
from capsedge.measure.profile.ort_events import RunTime, read_profile
from capsedge.onnx_lite.graph import Graph, read_graph
from capsedge.onnx_lite.tensor import Tensor
from capsedge.runtime.ort.placement import open_on, reason
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.ort.wheels import load_onnxruntime

WARM_UP_SECONDS = 1.0
WARM_UP_RUNS = 10
FEWEST_RUNS = 50
SECONDS = 1.0  # duration of the profiled runs, where no number is given
MOST_RUNS = 1000

# ONNX Runtime keeps 2.5 kB in memory for each event until the profile ends, and writes half a kilobyte: 125 MB.
MOST_EVENTS = 50_000
_OWN_EVENTS = 2  # events of a run, in addition to its nodes

# A turn has about ten runs, or twice the lead-in if that is more, so that about a third of the runs are discarded.
_TURN_RUNS = 10
_FEWEST_TURNS = 6


@dataclass(frozen=True)
class Recording:
    """The measured runs of a session.

    Attributes:
        runs: The timed runs with the profiler.
        profiled_us: Times of the same runs from call to return.
        plain_us: Times of as many runs without the profiler.
        warmup_runs: Profiled runs that are not counted.
        graph: The optimized graph, or None where ONNX Runtime cannot write it.
        inputs: Type and shape of the inputs.
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
        session: The model, opened without the profiler; a second session is opened with the same settings.
        batch: Images in a run.
        runs: Timed runs; None for those of `SECONDS`, at least `FEWEST_RUNS`, and at most `MOST_RUNS` and as many as
            `MOST_EVENTS` allows.
        progress: Called between turns with the completed share, 0 to 1.

    Raises:
        ModelError: The model does not take the batch, or fails, or its profile cannot be read.
    """
    feeds = session.feeds(batch)
    with TemporaryDirectory(prefix="capsedge-profile-") as name:
        folder = Path(name)
        opened, graph_file = _open_profiled(session, folder)
        graph = None if graph_file is None else read_graph(graph_file)
        most = MOST_EVENTS // (_OWN_EVENTS + len((graph or read_graph(session.file)).nodes))
        profiled = _Timed(lambda: opened.run(None, feeds))
        plain = _Timed(lambda: session.run_raw(feeds))
        with _one_line_errors(session.name):
            with no_garbage_collection():
                _alternate(profiled, plain, runs, most, progress)
            timed = read_profile(Path(opened.end_profiling()), keep=profiled.timed)
    return Recording(
        runs=timed,
        profiled_us=profiled.samples_us,
        plain_us=plain.samples_us,
        warmup_runs=len(profiled.timed) - sum(profiled.timed),
        graph=graph,
        inputs={name: Tensor(_kind(array.dtype.name), array.shape) for name, array in feeds.items()},
    )


class _Timed:
    """A session with the times of its runs."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.timed: list[bool] = []
        self.samples_us: list[float] = []
        self.median_us = 0.0

    @property
    def lead_in(self) -> int:
        """Runs at the start of a turn that are not counted, because the other session's turn emptied the caches."""
        return ceil(LEAD_IN_MS * 1e3 / self.median_us)

    def warm_up(self, runs: int, seconds: float = 0.0) -> None:
        """Run without counting, and measure the median time of a run."""
        start = clock.now_ns()
        samples_us: list[float] = []
        while len(samples_us) < runs or clock.seconds_since(start) < seconds:
            samples_us.append(self._run_once(counts=False))
        self.median_us = max(median(samples_us), 1.0)

    def turn(self, runs: int) -> None:
        """Run a turn: a lead-in of fixed length that is not counted, as in `bench.loop`, then the counted runs."""
        for _ in range(self.lead_in):
            self._run_once(counts=False)
        self.samples_us += [self._run_once(counts=True) for _ in range(runs)]

    def _run_once(self, *, counts: bool) -> float:
        start = clock.now_ns()
        self._run()
        taken_us = (clock.now_ns() - start) / 1e3
        self.timed.append(counts)
        return taken_us


def _alternate(
    profiled: _Timed, plain: _Timed, runs: int | None, most: int, progress: Callable[[float], None]
) -> None:
    """Warm both up, and run them in turns, so that other work on the machine affects both alike.

    Each of the two goes first in every other round. Only the plain session warms up for a fixed time, because every
    run of the other one is recorded.

    Args:
        profiled: The session with the profiler.
        plain: The session without it.
        runs: Timed runs of each, or None.
        most: Largest number of profiled runs, counted or not, where `runs` is None.
        progress: Called after each round with the completed share.
    """
    plain.warm_up(WARM_UP_RUNS, WARM_UP_SECONDS if runs is None else 0.0)
    profiled.warm_up(WARM_UP_RUNS)
    sizes = _turns(_wanted_runs(profiled, most) if runs is None else runs, profiled.lead_in)
    for done, size in enumerate(sizes, 1):
        for session in (plain, profiled) if done % 2 else (profiled, plain):
            session.turn(size)
        progress(done / len(sizes))


def _wanted_runs(profiled: _Timed, most: int) -> int:
    """Number of runs that take `SECONDS` and leave room for warm-up and lead-ins; fixed before any is timed."""
    room = (most - WARM_UP_RUNS - _FEWEST_TURNS * profiled.lead_in) * 2 // 3
    return max(FEWEST_RUNS, min(ceil(SECONDS * 1e6 / profiled.median_us), MOST_RUNS, room))


def _turns(runs: int, lead_in: int) -> list[int]:
    """Number of runs in each turn: an even number of turns of about the same length."""
    turns = max(_FEWEST_TURNS, 2 * ceil(runs / 2 / max(_TURN_RUNS, 2 * lead_in)))
    return [runs * (turn + 1) // turns - runs * turn // turns for turn in range(turns)]


def _open_profiled(session: OrtSession, folder: Path) -> tuple[Any, Path | None]:
    """Open a session with the profiler, and give the file of its optimized graph.

    ONNX Runtime refuses to write the graph for a provider that compiles parts of it, such as TensorRT.
    """
    settings = session.settings
    ort = load_onnxruntime("gpu" if settings.provider in ("cuda", "tensorrt") else "cpu")
    graph = folder / "graph.onnx"
    try:
        return open_on(_Profiling(ort, folder, graph), session.file, settings, session.contract), graph
    except CapsedgeError:
        return open_on(_Profiling(ort, folder, None), session.file, settings, session.contract), None


class _Profiling:
    """The module onnxruntime with the profiler enabled in the session options that `open_on` uses."""

    def __init__(self, ort: Any, folder: Path, graph: Path | None) -> None:
        self._ort = ort
        self._folder = folder
        self._graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ort, name)

    def SessionOptions(self) -> Any:  # noqa: N802 (ONNX Runtime's name)
        """Session options with the profiler enabled."""
        options = self._ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(self._folder / "profile")
        if self._graph is not None:
            options.optimized_model_filepath = str(self._graph)
        return options


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Turn errors of ONNX Runtime and of files into `ModelError`."""
    try:
        yield
    except CapsedgeError:
        raise
    except OSError as error:
        raise ModelError(f"the profile of '{name}' cannot be written or read: {error.strerror}") from error
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ModelError(f"'{name}' failed to run: {reason(error)}") from error


def _kind(dtype: str) -> str:
    """The profiler's name of a NumPy type."""
    return {"float32": "float", "float64": "double"}.get(dtype, dtype)
