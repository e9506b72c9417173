"""Profiling a model: the nodes that ran, grouped by stage, with their cost and distance from the roof."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from capsedge.errors import WrongUse
from capsedge.measure.bench.warnings import about_load
from capsedge.measure.machine import conditions, this_machine
from capsedge.measure.profile import warnings
from capsedge.measure.profile.engine_layers import engine_layers, engine_times
from capsedge.measure.profile.grouping import stage_times, typical, under, with_shares
from capsedge.measure.profile.layers import layers_of, probe_of
from capsedge.measure.profile.ort_events import RunTime
from capsedge.measure.profile.recording import FEWEST_RUNS, Recording, record
from capsedge.measure.profile.report import LayerTime, Profile, ProfileWarning, Whole
from capsedge.measure.profile.roofline import Roofs, measure_roofs
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.session import Session
from capsedge.runtime.settings import DEFAULTS, Settings
from capsedge.runtime.tensorrt.session import EngineSession
from capsedge.version import __version__


@dataclass(frozen=True)
class RecordedProfile:
    """A profile and the runs behind it.

    Attributes:
        profile: The profile.
        runs: Every timed run, for a trace; empty for an engine.
    """

    profile: Profile
    runs: list[RunTime]


def profile_model(
    model: str | Path,
    settings: Settings = DEFAULTS,
    *,
    batch: int = 1,
    iterations: int | None = None,
    roofline: bool = True,
    progress: Callable[[float], None] = lambda _: None,
) -> RecordedProfile:
    """Profile a model.

    Args:
        model: An `.onnx` file, an `.engine` file, or the folder of a run.
        settings: Provider and other options.
        batch: Images in a query.
        iterations: Timed iterations; None for at least 50 and 1 s.
        roofline: Whether to measure the machine's roofline too, on the CPU.
        progress: Called with the completed share, 0 to 1.

    Raises:
        WrongUse: There are fewer iterations than a profile needs.
        ModelError: The model cannot be opened, does not take the batch, or fails.
        ProviderError: The requested hardware or library is not available.
        MissingExtra: No ONNX Runtime is installed.
    """
    check_iterations(iterations)
    settings = msgspec.structs.replace(settings, batch=batch)
    cores = this_machine().cores
    load = about_load(conditions().load_average, cores)
    busy = tuple(ProfileWarning(code="busy", text=warning.text) for warning in load)
    with open_session(model, settings) as session:
        if isinstance(session, OrtSession):
            measured = _of_onnx(session, batch, iterations, roofline=roofline, progress=progress)
        elif isinstance(session, EngineSession):
            measured = _of_engine(session, batch, iterations or FEWEST_RUNS)
        else:
            raise WrongUse(
                f"a profile comes from ONNX Runtime or TensorRT, not from {settings.provider}", "leave out --provider"
            )
        known = (*busy, *warnings.about_session(session, cores))
    profile = msgspec.structs.replace(measured.profile, warnings=known + measured.profile.warnings)
    return RecordedProfile(profile, measured.runs)


def check_iterations(iterations: int | None) -> None:
    """Refuse fewer iterations than a profile needs.

    Raises:
        WrongUse: There are fewer.
    """
    if iterations is not None and iterations < FEWEST_RUNS:
        raise WrongUse(
            f"expected {FEWEST_RUNS} iterations or more, got {iterations}", f"use --iterations {FEWEST_RUNS}"
        )


def _of_onnx(
    session: OrtSession,
    batch: int,
    runs: int | None,
    *,
    roofline: bool,
    progress: Callable[[float], None],
) -> RecordedProfile:
    recording = record(session, batch=batch, runs=runs, progress=progress)
    layers = with_shares(layers_of(recording, session.contract, session.file))
    whole = _whole(recording, layers)
    on_cpu = session.settings.provider in (None, "cpu")
    roofs = None
    if roofline and on_cpu:
        roofs = measure_roofs({layer.kind for layer in layers if layer.kind}, session.settings)
        layers = under(roofs, layers)
    return RecordedProfile(
        _profile(
            session,
            batch=batch,
            iterations=len(recording.runs),
            warmup_iterations=recording.warmup_runs,
            whole=whole,
            roofs=roofs,
            layers=layers,
            found=(
                *warnings.about_recording(recording, on_cpu=on_cpu),
                *warnings.about_whole(whole),
                *warnings.about_layers(layers, whole),
            ),
        ),
        recording.runs,
    )


def _of_engine(session: EngineSession, batch: int, runs: int) -> RecordedProfile:
    """Not run on a GPU yet."""
    times = engine_times(session, batch, runs)
    layers = with_shares(engine_layers(session.file, session.contract, times.layers, batch=batch))
    return RecordedProfile(
        _profile(
            session,
            batch=batch,
            iterations=runs,
            warmup_iterations=times.warmup_runs,
            whole=times.whole,
            roofs=None,
            layers=layers,
            found=(*warnings.about_engine(), *warnings.about_whole(times.whole)),
        ),
        [],
    )


def _profile(
    session: Session,
    *,
    batch: int,
    iterations: int,
    warmup_iterations: int,
    whole: Whole,
    roofs: Roofs | None,
    layers: Sequence[LayerTime],
    found: tuple[ProfileWarning, ...],
) -> Profile:
    contract = session.contract
    return Profile(
        capsedge=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=session.name,
        precision=contract.precision if contract and contract.layers else None,
        provider=session.provider,
        settings=session.settings,
        batch=batch,
        iterations=iterations,
        warmup_iterations=warmup_iterations,
        machine=this_machine(),
        whole=whole,
        roofs=roofs,
        stages=tuple(stage_times(layers)),
        layers=tuple(layers),
        warnings=found,
    )


def _whole(recording: Recording, layers: Sequence[LayerTime]) -> Whole:
    layers_us = sum(layer.time_us for layer in layers)
    profiled_us, plain_us = typical(recording.profiled_us), typical(recording.plain_us)
    return Whole(
        layers_us=layers_us,
        between_us=plain_us - layers_us,
        plain_us=plain_us,
        profiled_us=profiled_us,
        profiler_us=profiled_us - plain_us,
        probe_us=probe_of(recording),
    )
