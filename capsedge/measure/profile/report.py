"""What a profile found: the records of `capsedge profile`, and the JSON that they are."""

from typing import Literal

import msgspec

from capsedge.measure.machine import Machine
from capsedge.measure.profile.roofline import Roofs
from capsedge.runtime.settings import Settings

SCHEMA_VERSION = 2


ProfileCode = Literal[
    "busy",
    "threads",
    "fell-back",
    "session",
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
    """What makes figures weaker than they look.

    Attributes:
        code: What it is, for programs; docs/profile.md lists them all.
        text: What it is, for people.
    """

    code: ProfileCode
    text: str


class LayerTime(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the graph that ran, or a layer of an engine.

    Attributes:
        name: As the runtime calls it.
        layer: The layer of the contract that it computes, or "".
        op: Its operator; "" in an engine, which does not tell.
        stage: The part of the capsule network (`stages.Stage`); a foreign model's operator.
        provider: Where it ran.
        time_us: `recorded_us` without the profiler's own part (`Whole.probe_us`), at least 0.
        recorded_us: Mean of its recorded times between their quartiles: a slow run is no part of it.
        median_us: Median of its recorded times over all runs.
        share: Of the time of all layers, 0 to 1.
        kind: The type it computes in, or None.
        flops: Operations for the batch; None where they are not known. So are the following.
        weight_bytes: Constants that it reads.
        activation_bytes: What else it reads and writes, each once.
        gflops: Operations that it reached, in 10^9 a second; an operation of int8 counts as one of fp32. None where
            its time is shorter than a tick of the profiler's clock; so is `of_roof`.
        intensity: Operations for each byte.
        bound: What bounds it at best: `compute`, or the name of a `roofline.Level`.
        attainable_us: Its time at the roof.
        of_roof: `attainable_us` over `time_us`: 1 is at the roof.
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
        layers: How many.
        time_us: Sum of theirs.
        share: Of the time of all layers, 0 to 1.
        flops: Sum of those that are known; None where none is.
        size_bytes: Sum of the least traffic; None as above.
        gflops: Operations reached, in 10^9 a second.
        of_roof: The sum of the attainable times over that of the layers that have one; None where none has.
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
    """The run as a whole, means between the quartiles, in microseconds.

    Attributes:
        layers_us: Sum of the layers, without the profiler's part.
        between_us: What the layers do not explain of a run: hand-over between the nodes, and the call. The profiler
            can make it negative, and so can layers of an engine that run side by side: `Profile.warnings` tell it.
        plain_us: A run of the model without the profiler, measured in turns with the profiled ones, call to return.
        profiled_us: A profiled run, call to return; None of an engine.
        profiler_us: What profiling adds, the difference of the two; negative by noise, and a warning then.
        probe_us: What the profiler adds to the recorded time of each layer: what it records of nodes that do nothing
            (a Reshape names the axes anew). 0 where there is no such node.
    """

    layers_us: float
    between_us: float
    plain_us: float
    profiled_us: float | None = None
    profiler_us: float | None = None
    probe_us: float = 0.0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of a model goes.

    Attributes:
        kind: Tells this file from others.
        schema: Version of these records.
        capsedge: Version of capsedge.
        created: Date and time in UTC, ISO 8601.
        model: The model's name for people.
        precision: `Contract.precision`; None without a contract.
        provider: Where it ran.
        settings: What it was opened with.
        batch: Images in a run.
        iterations: Timed iterations, and as many without the profiler.
        warmup_iterations: Iterations before and between them that are not counted.
        machine: Where it was measured.
        whole: The run as a whole.
        roofs: The machine's roofs, or None where they were not measured.
        stages: By stage, in the order of the network.
        layers: In the order in which they ran; a node that holds graphs (If, Loop, Scan) is one layer.
        warnings: What makes the figures weaker than they look.
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
