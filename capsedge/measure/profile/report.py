"""The records of `capsedge profile`, which are also its JSON."""

from typing import Literal

import msgspec

from capsedge.measure.machine import Machine
from capsedge.measure.profile.roofline import Roofs
from capsedge.runtime.session import SessionCode
from capsedge.runtime.settings import Settings

SCHEMA_VERSION = 3


ProfileCode = Literal[
    "busy",
    "threads",
    "fell-back",
    SessionCode,
    "no-graph",
    "launch-times",
    "no-roofline",
    "inner-graphs",
    "no-cuda-graph",
    "layers-exceed-run",
    "profiler-within-noise",
    "short-layers",
    "probe",
    "no-probe",
    "no-nodes",
    "uncounted",
    "above-roof",
]


class ProfileWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A reason why figures are less reliable than they look.

    Attributes:
        code: For programs; docs/profile.md lists all codes.
        text: For people.
    """

    code: ProfileCode
    text: str


class LayerTime(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the graph that ran, or a layer of an engine.

    Attributes:
        name: Its name in the runtime.
        layer: Name of the contract's layer that it computes, or "".
        op: Its operator; "" for an engine, whose layers have none.
        stage: The part of the capsule network (`stages.Stage`); for a model without a contract the operator.
        provider: The execution provider that ran it.
        time_us: `recorded_us` less the profiler's overhead (`Whole.probe_us`), at least 0.
        recorded_us: Mean of its recorded times between their quartiles, which excludes slow runs.
        median_us: Median of its recorded times over all runs.
        share: Share of the time of all layers, 0 to 1.
        kind: The type it computes in, or None.
        flops: Operations for the batch. None where not known, as are all following fields.
        weight_bytes: Bytes of constant inputs.
        activation_bytes: Bytes of other inputs and outputs, each counted once.
        gflops: 10^9 operations per second that it reached; an int8 operation counts as one fp32 operation. This and
            `of_roof` are None where its time is shorter than a tick of the profiler's clock.
        intensity: Operations per byte.
        bound: What limits it at the roof: `compute`, or the name of a `roofline.Level`.
        attainable_us: Its time at the roof.
        of_roof: `attainable_us` over `time_us`; 1 is at the roof.
    """

    name: str
    layer: str = ""
    op: str = ""
    stage: str
    provider: str = ""
    time_us: float
    recorded_us: float
    median_us: float
    share: float
    kind: str | None = None
    flops: int | None = None
    weight_bytes: int | None = None
    activation_bytes: int | None = None
    gflops: float | None = None
    intensity: float | None = None
    bound: str | None = None
    attainable_us: float | None = None
    of_roof: float | None = None


class StageTime(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of one stage together.

    Attributes:
        stage: Its name.
        layers: Number of layers.
        time_us: Sum of their times.
        share: Share of the time of all layers, 0 to 1.
        flops: Sum of the known operations; None where none are known.
        size_bytes: Sum of the minimum traffic; None as above.
        gflops: 10^9 operations per second reached.
        of_roof: Sum of the attainable times over the times of the layers that have one; None where none has.
    """

    stage: str
    layers: int
    time_us: float
    share: float
    flops: int | None
    size_bytes: int | None
    gflops: float | None
    of_roof: float | None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the whole run in microseconds, as means between the quartiles.

    Attributes:
        layers_us: Sum of the layers' times, without the profiler's overhead.
        between_us: Time of a run outside its layers: hand-over between the nodes, and the call. It can be negative
            through the profiler, or where layers of an engine run in parallel; `Profile.warnings` say so.
        plain_us: A run without the profiler from call to return, measured in turns with the profiled ones.
        profiled_us: A profiled run from call to return; None for an engine.
        profiler_us: Time that profiling adds, the difference of the two; noise can make it negative, with a warning.
        probe_us: The profiler's overhead in the recorded time of each layer: the time it records for nodes that do no
            work, such as a Reshape. 0 where there is no such node.
    """

    layers_us: float
    between_us: float
    plain_us: float
    profiled_us: float | None = None
    profiler_us: float | None = None
    probe_us: float = 0.0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The profile of a model.

    Attributes:
        kind: Identifies this type of record.
        schema: Version of these records.
        capsedge: Version of capsedge.
        created: Date and time in UTC, ISO 8601.
        model: The model's name for people.
        precision: `Contract.precision`; None without a contract.
        provider: The execution providers that ran it.
        settings: The settings it was opened with.
        batch: Images in a run.
        iterations: Timed iterations with the profiler, and as many without it.
        warmup_iterations: Iterations before and between them that are not counted.
        machine: The machine of the measurement.
        whole: Times of the whole run.
        roofs: The machine's roofline, or None where it was not measured.
        stages: In the order of the network.
        layers: In the order of execution; a node with subgraphs (If, Loop, Scan) is one layer.
        warnings: Reasons why figures are less reliable than they look.
    """

    kind: Literal["capsedge profile"] = "capsedge profile"
    schema: int = SCHEMA_VERSION
    capsedge: str
    created: str
    model: str
    precision: str | None
    provider: str
    settings: Settings
    batch: int
    iterations: int
    warmup_iterations: int
    machine: Machine
    whole: Whole
    roofs: Roofs | None
    stages: tuple[StageTime, ...]
    layers: tuple[LayerTime, ...]
    warnings: tuple[ProfileWarning, ...] = ()
