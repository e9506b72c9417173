"""Reports with realistic samples: a main mode, a second mode, and rare slow iterations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchReport, Breakdown, Case, Group, Warmup
from capsedge.measure.bench.stats import percentiles, ratio
from capsedge.measure.machine import Conditions, Machine
from capsedge.runtime.settings import Settings

ROUNDS = 20
MACHINE = Machine(
    cpu="Cortex-A78AE",
    cores=6,
    system="Linux aarch64",
    python="3.11.7",
    onnxruntime={"onnxruntime": "1.31.1"},
    versions={"numpy": "2.4.6"},
)


def rounds_of(
    typical_ms: float, *, rounds: int = ROUNDS, iterations: int = 8, seed: int = 0
) -> tuple[tuple[float, ...], ...]:
    """Timed iterations by rounds; a round is a little faster or slower as a whole."""
    generator = np.random.default_rng(seed)
    times = (
        typical_ms * generator.lognormal(0, 0.02, (rounds, 1)) * generator.lognormal(0, 0.03, (rounds, iterations))
    )
    times[generator.random((rounds, iterations)) < 0.1] *= 2.5
    times[rounds // 2, 0] = 12 * typical_ms
    return tuple(tuple(round(float(time), 6) for time in turn) for turn in times)


def case(label: str = "runs/a", samples_ms: Sequence[Sequence[float]] | None = None, **fields: Any) -> Case:
    """A case whose figures are those of its samples."""
    turns = tuple(map(tuple, rounds_of(2.0) if samples_ms is None else samples_ms))
    samples = [sample for turn in turns for sample in turn]
    made = Case(
        label=label,
        model=label,
        file=label,
        network="a",
        precision="fp32",
        routing="l2, collapsed",
        error=0.0712,
        error_on="test",
        provider="CPUExecutionProvider",
        device="cpu",
        settings=Settings(threads=2),
        warmup=Warmup(iterations=400, seconds=1.2, settled=True),
        iterations=len(samples),
        mean_ms=float(np.mean(samples)),
        min_ms=min(samples),
        max_ms=max(samples),
        percentiles=percentiles(samples),
        images_per_second=1000 / float(np.mean(samples)),
        breakdown=Breakdown(load_ms=31.5, first_inference_ms=4.25, decode_ms=0.2, compute_ms=1.9),
        energy_mj="unavailable",
        ratio=None,
        samples_ms=turns,
    )
    return replace(made, **fields)


def group(*cases: Case, **fields: Any) -> Group:
    """Cases side by side; those after the first get their ratios."""
    first = cases[0]
    compared = tuple(
        each if each is first else replace(each, ratio=ratio(each.samples_ms, first.samples_ms)) for each in cases
    )
    made = Group(
        scenario="single-stream",
        batch=1,
        interval_ms=0.0,
        quick=False,
        rounds=len(first.samples_ms),
        before=Conditions(load_average=0.25, governor="performance"),
        after=Conditions(load_average=1.0, governor="performance"),
        warnings=(),
        cases=compared,
    )
    return replace(made, **fields)


def report(*groups: Group, **fields: Any) -> BenchReport:
    """A whole report; without groups one of two cases."""
    made = BenchReport(
        capsedge="0.1.0",
        created="2026-11-22T20:15:00+00:00",
        command=("capsedge", "bench", "runs/a", "runs/a b/model.int8.onnx"),
        plan=Plan(),
        machine=MACHINE,
        groups=groups
        or (group(case(), case("runs/a int8", rounds_of(0.7, seed=1), precision="int8", error=0.0745)),),
    )
    return replace(made, **fields)
