"""Combining layers: their shares of the time, their distance from the roof, and their stages."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

import msgspec

from capsedge.measure.profile.costs import NodeCost
from capsedge.measure.profile.report import LayerTime, StageTime
from capsedge.measure.profile.roofline import Roofs, bound_of
from capsedge.measure.profile.stages import STAGES

TICK_US = 1.0  # of ONNX Runtime's profiler


def typical(values: Sequence[float]) -> float:
    """The mean of the values between the quartiles: it excludes slow runs, and averages out whole microseconds."""
    quarter = len(values) // 4
    return fmean(sorted(values)[quarter : len(values) - quarter])


def with_shares(layers: Iterable[LayerTime]) -> list[LayerTime]:
    """Add to each layer its share of the time of all layers."""
    found = list(layers)
    total = sum(layer.time_us for layer in found) or 1.0
    return [msgspec.structs.replace(layer, share=layer.time_us / total) for layer in found]


def under(roofs: Roofs, layers: Sequence[LayerTime]) -> list[LayerTime]:
    """Add to each layer its distance from the roof."""
    model_bytes = sum(layer.weight_bytes or 0 for layer in layers)
    found = []
    for layer in layers:
        cost = NodeCost(layer.kind, layer.flops, layer.weight_bytes or 0, layer.activation_bytes or 0)
        bound = bound_of(cost, roofs, model_bytes=model_bytes)
        if bound is None:
            found.append(layer)
            continue
        found.append(
            msgspec.structs.replace(
                layer,
                bound=bound.bound,
                attainable_us=bound.attainable_us,
                of_roof=bound.attainable_us / layer.time_us if layer.time_us >= TICK_US else None,
            )
        )
    return found


def stage_times(layers: Sequence[LayerTime]) -> Iterator[StageTime]:
    """By stage in the order of the network; a foreign model's operators by their time."""
    groups: dict[str, list[LayerTime]] = {}
    for layer in layers:
        groups.setdefault(layer.stage, []).append(layer)
    order: dict[str, float] = {stage: place for place, stage in enumerate(STAGES)}
    for stage in sorted(groups, key=lambda name: order.get(name, -sum(layer.time_us for layer in groups[name]))):
        yield _stage(stage, groups[stage])


def _stage(stage: str, layers: Sequence[LayerTime]) -> StageTime:
    time_us = sum(layer.time_us for layer in layers)
    flops = [layer.flops for layer in layers if layer.flops is not None]
    sizes = [(layer.weight_bytes or 0) + (layer.activation_bytes or 0) for layer in layers]
    bounded = [layer for layer in layers if layer.of_roof is not None]
    bounded_us = sum(layer.time_us for layer in bounded)
    return StageTime(
        stage=stage,
        layers=len(layers),
        time_us=time_us,
        share=sum(layer.share for layer in layers),
        flops=sum(flops) if flops else None,
        size_bytes=sum(sizes) if any(layer.activation_bytes is not None for layer in layers) else None,
        gflops=sum(flops) / time_us / 1e3 if sum(flops) and time_us >= TICK_US else None,
        of_roof=sum(layer.attainable_us or 0.0 for layer in bounded) / bounded_us if bounded_us else None,
    )
