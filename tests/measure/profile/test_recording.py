"""How profiled and plain runs take turns, on a clock that a test holds."""

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from capsedge.measure.bench import clock
from capsedge.measure.profile import recording
from capsedge.measure.profile.recording import record
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.settings import Settings


class Machine:
    """Two sessions on a clock that only their runs move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plain_ms: float, profiled_ms: float) -> None:
        self.now = 0
        self.ran = ""
        self.held_up = 0.0
        monkeypatch.setattr(clock, "now_ns", lambda: self.now)
        self.plain = recording._Timed(lambda: self._run("p", plain_ms))
        self.profiled = recording._Timed(lambda: self._run("P", profiled_ms))

    def _run(self, name: str, ms: float) -> None:
        self.ran += name
        self.now += int((ms + self.held_up) * 1e6)

    def alternate(self, runs: int | None = None, most: int = 10**6) -> None:
        recording._alternate(self.profiled, self.plain, runs, most, lambda _: None)

    def turns(self) -> list[str]:
        """The sessions in the order of their turns, the warm-up left out."""
        words = self.ran[self.ran.index("P") + recording.WARM_UP_RUNS :]
        return words.replace("pP", "p P").replace("Pp", "P p").split()


def test_each_of_the_two_goes_first_in_every_other_round(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 1.0, 2.0)
    machine.alternate(runs=60)

    # 10 runs in a turn, and lead-ins of 5 ms; what goes last in one round goes first in the next
    p, q = "p" * 15, "P" * 13
    assert machine.turns() == [p, 2 * q, 2 * p, 2 * q, 2 * p, 2 * q, p]
    assert machine.profiled.samples_us == [2000.0] * 60
    assert machine.plain.samples_us == [1000.0] * 60
    assert sum(machine.profiled.timed) == 60


def test_a_lead_in_is_not_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it were, a run that another program held up would be the last one before those that count."""
    machine = Machine(monkeypatch, 1.0, 1.0)
    machine.plain.warm_up(10)
    machine.held_up = 50.0
    machine.plain.turn(4)

    assert machine.plain.timed == [False] * (10 + 5) + [True] * 4


def test_a_tiny_network_throws_away_no_more_than_half_of_what_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.05, 0.1)
    machine.alternate()

    counted = len(machine.profiled.samples_us)
    assert counted == recording.MOST_RUNS
    assert len(machine.profiled.timed) - counted - recording.WARM_UP_RUNS <= counted / 2


@pytest.mark.parametrize("most", [400, 1000, 1500])
@pytest.mark.parametrize("ms", [0.1, 0.3, 2.0])
def test_what_is_profiled_is_bounded(ms: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, ms, ms)
    machine.alternate(most=most)

    assert len(machine.profiled.samples_us) >= recording.FEWEST_RUNS
    assert len(machine.profiled.timed) <= most


def test_a_slow_network_makes_the_fewest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 300.0, 310.0)
    machine.alternate()

    assert len(machine.profiled.samples_us) == recording.FEWEST_RUNS


def test_a_run_of_many_nodes_is_recorded_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [helper.make_node("Neg" if i % 2 else "Exp", [f"t{i}"], [f"t{i + 1}"]) for i in range(48)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("t0", "t48")]
    graph = helper.make_graph(nodes, "many", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx"
    )
    seen = SimpleNamespace(most=0)

    def alternate(profiled: recording._Timed, plain: recording._Timed, _: object, most: int, __: object) -> None:
        seen.most = most
        profiled.warm_up(1)
        profiled.turn(1)
        plain.warm_up(1)
        plain.turn(1)

    monkeypatch.setattr(recording, "_alternate", alternate)
    with open_session(tmp_path / "m.onnx", Settings(threads=1)) as session:
        assert isinstance(session, OrtSession)
        found = record(session, batch=4)

    assert seen.most == recording.MOST_EVENTS // 50  # 48 nodes, the run, and its executor
    assert [len(run.nodes) for run in found.runs] == [48]
