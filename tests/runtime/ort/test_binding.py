"""Bound inputs and outputs, on the CPU provider, against the session that binds nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from capsedge.errors import ModelError, ProviderError
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import binding as binding_module
from capsedge.runtime.ort import session as ort_module
from capsedge.runtime.ort.binding import Binding
from capsedge.runtime.settings import Settings
from tests.runtime.capsule_model import images

BOUND = Settings(io_binding=True)


def test_a_bound_session_computes_what_an_unbound_one_computes_whatever_the_batch(good: Path) -> None:
    with open_session(good) as plain, open_session(good, BOUND) as bound:
        answers = []
        for seed, count in enumerate([2, 2, 5, 1, 2, 5]):
            feeds = {"image": images(count, seed=seed)}
            answers.append((bound.run_raw(feeds), plain.run_raw(feeds)))
    for found, wanted in answers:  # after all runs: none has written over another's outputs
        assert found.keys() == wanted.keys() == {"lengths", "poses"}
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


def test_a_model_of_several_types_is_bound_as_well(models: Path) -> None:
    with open_session(models / "foreign.onnx") as plain, open_session(models / "foreign.onnx", BOUND) as bound:
        feeds = plain.feeds(3)
        other: Arrays = {**feeds, "gate": np.array(False), "noise": feeds["noise"].repeat(2, 1)}
        other["tokens"] = feeds["tokens"].repeat(2, 1)
        for each in (feeds, other, feeds):
            np.testing.assert_array_equal(bound.run_raw(each)["answer"], plain.run_raw(each)["answer"])


def test_an_array_in_any_order_of_memory_is_read_right_and_never_written(good: Path) -> None:
    batch = images(6)[::2].transpose(0, 2, 1, 3)
    before = batch.copy()
    with open_session(good) as plain, open_session(good, BOUND) as bound:
        found = bound.run_raw({"image": batch})
        bound.run_raw({"image": images(3, seed=9)})
        np.testing.assert_array_equal(found["lengths"], plain.run_raw({"image": before})["lengths"])
    np.testing.assert_array_equal(batch, before)


def test_threads_that_share_a_bound_session_get_their_own_answers(good: Path) -> None:
    """Without a lock the process crashes: all write into one set of buffers."""
    batches = [images(1 + seed % 3, seed=seed) for seed in range(8)]
    with open_session(good) as plain, open_session(good, BOUND) as bound, ThreadPoolExecutor(8) as pool:
        wanted = [plain.run_raw({"image": batch})["lengths"] for batch in batches]
        for _ in range(20):
            found = pool.map(lambda batch: bound.run_raw({"image": batch})["lengths"], batches)
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(one, other)


def test_an_input_that_is_not_given_is_missing_though_it_was_given_before(models: Path) -> None:
    with open_session(models / "foreign.onnx", BOUND) as session:
        feeds = session.feeds(1)
        session.run_raw(feeds)
        with pytest.raises(ModelError, match=r"^'.*' failed to run: [^\n]*$"):
            session.run_raw({name: array for name, array in feeds.items() if name != "gate"})
        np.testing.assert_array_equal(session.run_raw(feeds)["answer"].shape, (1, 1, 3))


def test_a_run_is_parted_where_there_are_copies_and_whole_where_there_are_none(good: Path) -> None:
    with open_session(good, BOUND) as bound, open_session(good) as plain:
        parts, whole = bound.run_with_breakdown(bound.feeds(2)), plain.run_with_breakdown(plain.feeds(2))

    assert parts.copy_in_ms is not None
    assert parts.copy_out_ms is not None
    assert min(parts.copy_in_ms, parts.compute_ms, parts.copy_out_ms) > 0
    assert (whole.copy_in_ms, whole.copy_out_ms) == (None, None)
    assert whole.compute_ms > 0


@pytest.mark.parametrize(("asked", "used"), [(None, False), (False, False), (True, True)])
def test_on_the_cpu_nothing_is_bound_unless_it_is_asked_for(good: Path, asked: bool | None, used: bool) -> None:
    with open_session(good, Settings(io_binding=asked)) as session:
        assert session.settings.io_binding is used


class NoMemory(SimpleNamespace):
    """The module onnxruntime, whose device gives no memory."""

    OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=lambda *_: 1 / 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)


def test_a_device_without_memory_to_bind_to_is_an_error_only_where_binding_was_asked_for(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort_module, "load_onnxruntime", lambda extra: NoMemory())
    with pytest.raises(
        ProviderError, match=r"gives no memory to bind to \(division by zero\): choose --no-io-binding"
    ):
        open_session(good, BOUND)

    # By default it goes on unbound, and says so: here the CPU stands for a GPU.
    monkeypatch.setattr(ort_module, "_on_cpu", lambda settings: False)
    with open_session(good) as session:
        assert session.settings.io_binding is False
        assert session.run(images(1)).lengths.shape == (1, 10)


class Device:
    """The module onnxruntime and a session of it, on a device with a clock that only its work moves on."""

    def __init__(self) -> None:
        self.clock_ms, self.queued_ms = 0, 0
        self.made: list[Any] = []
        self.OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=self._new)

    def io_binding(self) -> Any:
        return SimpleNamespace(
            clear_binding_inputs=lambda: None,
            bind_ortvalue_input=lambda name, value: None,
            bind_output=lambda name, device: None,
            synchronize_inputs=self._wait,
            synchronize_outputs=self._wait,
            copy_outputs_to_cpu=self._copied_out,
        )

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="answer")]

    def run_with_iobinding(self, binding: Any) -> None:
        self._queue(500)  # as on a GPU: it comes back before the work is done

    def _new(self, shape: Any, kind: Any, device: str, index: int) -> Any:
        value = SimpleNamespace(shape=tuple(shape), kind=np.dtype(kind), update_inplace=lambda array: self._queue(70))
        self.made.append(value)
        return value

    def _copied_out(self) -> list[Any]:
        self._queue(30)
        self._wait()
        return [np.zeros(1)]

    def _queue(self, work_ms: int) -> None:
        self.queued_ms += work_ms

    def _wait(self) -> None:
        self.clock_ms, self.queued_ms = self.clock_ms + self.queued_ms, 0


def test_each_part_of_a_run_waits_for_its_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    monkeypatch.setattr(binding_module, "perf_counter_ns", lambda: device.clock_ms * 1_000_000)
    split = Binding(device, device, "cuda").split({"image": np.zeros(2)})
    assert (split.copy_in_ms, split.compute_ms, split.copy_out_ms) == (70, 500, 30)


def test_an_input_keeps_its_buffer_while_its_shape_and_its_type_stay() -> None:
    device = Device()
    bound = Binding(device, device, "cuda")
    for kind, count in [("u1", 2), ("u1", 2), ("i1", 2), ("i1", 3), ("i1", 3)]:
        bound.run({"image": np.zeros(count, kind)})
    _first, *made = device.made  # the first shows that memory can be had
    assert [(each.kind.str[1:], each.shape) for each in made] == [("u1", (2,)), ("i1", (2,)), ("i1", (3,))]
