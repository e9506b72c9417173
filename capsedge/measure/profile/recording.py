"""A model that ONNX Runtime profiles, run in turns with the same model without the profiler."""

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
SECONDS = 1.0  # of profiled runs, where no number is given
MOST_RUNS = 1000

# ONNX Runtime holds 2.5 kB in memory for each event until the profile ends, and writes half a kilobyte: 125 MB.
MOST_EVENTS = 50_000
_OWN_EVENTS = 2  # of a run, beside its nodes

# A turn has ten runs, or twice the lead-in: at most a third of what is profiled is thrown away.
_TURN_RUNS = 10
_FEWEST_TURNS = 6


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
        runs: Timed runs; None is those of `SECONDS`, at least `FEWEST_RUNS`, and at most `MOST_RUNS` or what
            `MOST_EVENTS` allows.
        progress: Called between turns with the share done, 0 to 1.

    Raises:
        ModelError: The model does not take the batch, or fails, or its profile cannot be read.
    """
    feeds = session.feeds(batch)
    with TemporaryDirectory(prefix="capsedge-profile-") as name:
        folder = Path(name)
        opened, graph_file = _open_profiled(session, folder)
        graph = None if graph_file is None else read_graph(graph_file)
        most = MOST_EVENTS // (_OWN_EVENTS + len((graph or read_graph(session.file)).nodes))
        profiled = _Lane(lambda: opened.run(None, feeds))
        plain = _Lane(lambda: session.run_raw(feeds))
        with _own_words(session.name):
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


class _Lane:
    """A session that runs, and what is known of each of its runs."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.timed: list[bool] = []
        self.samples_us: list[float] = []
        self.median_us = 0.0

    @property
    def lead_in(self) -> int:
        """Runs before those of a turn that are not counted: the other session's turn emptied the caches."""
        return ceil(LEAD_IN_MS * 1e3 / self.median_us)

    def warm_up(self, runs: int, seconds: float = 0.0) -> None:
        """Run without counting, and learn how long a run takes."""
        start = clock.now_ns()
        samples_us: list[float] = []
        while len(samples_us) < runs or clock.seconds_since(start) < seconds:
            samples_us.append(self._timed(counts=False))
        self.median_us = max(median(samples_us), 1.0)

    def turn(self, runs: int) -> None:
        """Run, and count; how many runs do not count was fixed before, as in `bench.loop`."""
        for _ in range(self.lead_in):
            self._timed(counts=False)
        self.samples_us += [self._timed(counts=True) for _ in range(runs)]

    def _timed(self, *, counts: bool) -> float:
        start = clock.now_ns()
        self._run()
        taken_us = (clock.now_ns() - start) / 1e3
        self.timed.append(counts)
        return taken_us


def _alternate(profiled: _Lane, plain: _Lane, runs: int | None, most: int, progress: Callable[[float], None]) -> None:
    """Warm both up, and let them run in turns, so that whatever else the machine does hits both alike.

    Each of the two goes first in every other round. Only the plain one warms up by the clock: what the other one
    runs is kept.

    Args:
        profiled: The session that records itself.
        plain: The other one.
        runs: Timed runs of each, or None.
        most: Profiled runs, counted or not, that a profile of the usual length may hold.
        progress: Called after each round with the share done.
    """
    plain.warm_up(WARM_UP_RUNS, WARM_UP_SECONDS if runs is None else 0.0)
    profiled.warm_up(WARM_UP_RUNS)
    sizes = _turns(_wanted_runs(profiled, most) if runs is None else runs, profiled.lead_in)
    for done, size in enumerate(sizes, 1):
        for lane in (plain, profiled) if done % 2 else (profiled, plain):
            lane.turn(size)
        progress(done / len(sizes))


def _wanted_runs(profiled: _Lane, most: int) -> int:
    """Runs that take `SECONDS`, and leave room for warm-up and lead-ins; laid out before any is timed."""
    room = (most - WARM_UP_RUNS - _FEWEST_TURNS * profiled.lead_in) * 2 // 3
    return max(FEWEST_RUNS, min(ceil(SECONDS * 1e6 / profiled.median_us), MOST_RUNS, room))


def _turns(runs: int, lead_in: int) -> list[int]:
    """How many runs each turn has: an even number of turns of about the same length."""
    turns = max(_FEWEST_TURNS, 2 * ceil(runs / 2 / max(_TURN_RUNS, 2 * lead_in)))
    return [runs * (turn + 1) // turns - runs * turn // turns for turn in range(turns)]


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
