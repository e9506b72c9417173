"""Energy of the GPU for one image, by its own counter. Not run on a GPU yet."""

from capsedge.measure.bench import clock
from capsedge.measure.bench.subject import Subject
from capsedge.measure.machine import Reading, gpu_energy_mj

# The counter moves in steps of some tens of milliseconds.
SECONDS = 1.0


def energy_mj(subject: Subject) -> Reading:
    """Run a session alone for a second, at its cadence, and divide what the GPU has used by the images.

    What an idle GPU draws between the queries is part of it.

    Returns:
        Millijoules an image; "unavailable" where the session is not on an NVIDIA GPU, or that has no counter.

    Raises:
        ModelError: The model fails.
    """
    if not on_gpu(subject.session.provider) or (before := gpu_energy_mj()) == "unavailable":
        return "unavailable"
    start = clock.now_ns()
    queries = 0
    while clock.seconds_since(start) < SECONDS:
        subject.query()
        queries += 1
    after = gpu_energy_mj()
    if after == "unavailable" or after <= before:
        return "unavailable"
    return (after - before) / (queries * subject.batch)


def on_gpu(provider: str) -> bool:
    """Whether a provider, as `Session.provider` names it, runs on an NVIDIA GPU."""
    return any(name in provider.lower() for name in ("cuda", "tensorrt"))
