"""The arithmetic of the roofline on given numbers, the products that it times, and the measurement as such."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from capsedge.measure.profile import roofline
from capsedge.measure.profile.caches import Caches
from capsedge.measure.profile.costs import NodeCost
from capsedge.measure.profile.roofline import Level, Roofs, bound_of, measure_roofs, product_file
from capsedge.runtime.feeds import random_array
from capsedge.runtime.settings import Settings

LEVELS = (
    Level(name="L2 cache", capacity_bytes=1_000, copied_bytes=500, gb_per_s=100.0),
    Level(name="memory", capacity_bytes=None, copied_bytes=10**8, gb_per_s=10.0),
)
ROOFS = Roofs(threads=1, product_sides=(8,), gflops={"fp32": 200.0, "int8": 800.0}, levels=LEVELS)


@pytest.mark.parametrize(
    ("cost", "model_bytes", "wanted"),
    [
        (NodeCost("fp32", 400_000, 100, 100), 100, (2.0, "compute")),  # 4e5 / 200e9 s
        (NodeCost("int8", 400_000, 100, 100), 100, (0.5, "compute")),
        (NodeCost("fp32", 100, 800, 400), 900, (0.012, "L2 cache")),  # 800 and 400 bytes at 100 GB/s
        (NodeCost("fp32", 100, 800, 400), 1_100, (0.084, "memory")),  # the model is too large: 800 bytes at 10 GB/s
        (NodeCost("fp64", 10**9, 0, 1_000), 0, (0.01, "L2 cache")),  # a type without a roof
        (NodeCost(None, 0, 0, 0), 0, None),
    ],
)
def test_a_layer_is_bound_by_computing_or_by_the_level_of_its_bytes(
    cost: NodeCost, model_bytes: int, wanted: tuple[float, str] | None
) -> None:
    found = bound_of(cost, ROOFS, model_bytes=model_bytes)
    assert (found and found.bound) == (wanted and wanted[1])
    assert (found and found.attainable_us) == pytest.approx(wanted and wanted[0])


def test_the_roofs_of_this_machine_are_ordered_as_memories_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SIDES", (64,))
    monkeypatch.setattr(roofline, "_LARGEST_COPY", 1 << 20)
    found = measure_roofs({"fp32", "int8", "fp64"}, Settings(threads=1), seconds=0.0)

    assert set(found.gflops) == {"fp32", "int8"}
    assert min(found.gflops.values()) > 0
    assert found.threads == 1
    assert found.levels[-1].name == "memory"
    assert found.levels[-1].capacity_bytes is None
    capacities = [level.capacity_bytes or 10**18 for level in found.levels]
    assert capacities == sorted(capacities)
    assert all(level.gb_per_s > 0 for level in found.levels)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_copy_counts_what_is_read_and_what_is_written(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_shortest", lambda work, seconds: (work(), 0.5)[1])

    rate = roofline._copy_rate(2 * 3 * 8 << 20, threads, 0.0)

    assert rate == pytest.approx(2 * (2 * 3 * 8 << 20) / 0.5 / 1e9)


def test_a_product_of_two_squares_takes_twice_its_side_cubed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SIDES", (32, 64))
    monkeypatch.setattr(roofline, "_shortest", lambda work, seconds: (work(), 1e-3)[1])

    assert measure_roofs({"fp32"}, Settings(threads=1)).gflops == {"fp32": pytest.approx(2 * 64**3 / 1e-3 / 1e9)}


def test_a_roof_is_the_fastest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 28.0])
    monkeypatch.setattr(roofline, "perf_counter", lambda: next(clock))

    assert roofline._shortest(lambda: None, 5.0) == 1.0


@pytest.mark.parametrize(
    ("number", "threads", "used", "sharing"),
    [(8, 1, 1, 1), (8, 4, 4, 1), (1, 4, 1, 4), (2, 4, 2, 2), (2, 1, 1, 1)],
)
def test_the_second_caches_count_once_each_however_many_threads_share_them(
    number: int, threads: int, used: int, sharing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "caches", lambda level: Caches(1 << 20, number) if level == 2 else Caches())
    copied: list[tuple[int, int]] = []

    def copy_rate(size_bytes: int, threads: int, seconds: float) -> float:
        copied.append((size_bytes, threads))
        return 7.0

    monkeypatch.setattr(roofline, "_copy_rate", copy_rate)
    near, memory = roofline._levels(threads, 0.0)

    assert (near.name, near.capacity_bytes, near.copied_bytes) == ("L2 cache", used << 20, used << 19)
    assert copied[0] == (1 << 18, sharing)  # source and target take half of one cache
    assert near.gb_per_s == 7.0 * used
    assert (memory.capacity_bytes, memory.gb_per_s) == (None, 7.0)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_a_product_is_a_sound_file_that_computes_it(kind: str) -> None:
    model = onnx.load_from_string(content := product_file(kind, 150))
    onnx.checker.check_model(model, full_check=True)
    a = random_array((150, 150), {"fp32": np.float32, "fp16": np.float16, "int8": np.uint8}[kind])

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": a})

    wide = np.int64 if kind == "int8" else np.float64
    expected = a.astype(wide) @ numpy_helper.to_array(model.graph.initializer[0]).astype(wide)
    np.testing.assert_allclose(product, expected, rtol=1e-2 if kind == "fp16" else 1e-5)
