"""What the jobs are asked, and what they answer: each runs in a process of its own (`benchmarks.prove.jobs`)."""

import msgspec

from capsedge.measure.bench.plan import Plan
from capsedge.runtime.providers import Provider


class Opened(msgspec.Struct, frozen=True):
    """A file that ran.

    Attributes:
        label: For people, such as `int8 on cuda`.
        file: The file.
        provider: Where an ONNX file ran; None for an engine.
    """

    label: str
    file: str
    provider: Provider | None


class Torch(msgspec.Struct, frozen=True):
    """What torch sees.

    Attributes:
        version: Its own.
        cuda: The CUDA that it was built for; "" for none.
        devices: The names of its CUDA devices.
        tf32: Whether its convolutions compute fp32 in TF32.
    """

    version: str
    cuda: str
    devices: tuple[str, ...]
    tf32: bool


class StepsWanted(msgspec.Struct, frozen=True):
    """The first iterations of a training.

    Attributes:
        recipe: A shipped recipe.
        changes: As `capsedge train --set` takes them.
        device: `cpu` or `cuda`.
        steps: How many iterations.
    """

    recipe: str
    changes: tuple[str, ...]
    device: str
    steps: int


class Steps(msgspec.Struct, frozen=True):
    """What they gave.

    Attributes:
        device: Where they ran.
        losses: The mean loss of each minibatch.
    """

    device: str
    losses: tuple[float, ...]


class GateWanted(msgspec.Struct, frozen=True):
    """The gate on a provider that is not the CPU's; answered by a `capsedge.contract.Verdict`."""

    model: str
    run: str
    provider: Provider


class BuildWanted(msgspec.Struct, frozen=True):
    """An engine; answered by its manifest.

    Attributes:
        model: The ONNX file.
        engine: Where the engine goes.
        targets: Compute capabilities, for TensorRT-RTX.
        hardware_compatible: An engine of classic TensorRT for every GPU from Ampere on.
        trtexec: Where the engine is deferred, the command that builds it: NVIDIA's trtexec.
    """

    model: str
    engine: str
    targets: tuple[str, ...] = ()
    hardware_compatible: bool = False
    trtexec: str = ""


class BenchWanted(msgspec.Struct, frozen=True):
    """Latencies side by side; answered by a `capsedge.measure.bench.Group` for each plan, without the samples.

    Attributes:
        models: What is timed; the first is what the others are compared with.
        plans: The measurements, one after the other, of sessions that are opened once.
    """

    models: tuple[Opened, ...]
    plans: tuple[Plan, ...]


class RepositoryWanted(msgspec.Struct, frozen=True):
    """A model repository for Triton; answered by the folder of each model."""

    folder: str
    models: tuple[str, ...]
