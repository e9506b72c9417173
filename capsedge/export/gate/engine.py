"""The gate for a TensorRT engine, which can run only on a GPU that it was built for."""

from pathlib import Path

import msgspec

from capsedge.contract import Contract, EngineManifest, Input, Verdict
from capsedge.data import Dataset
from capsedge.errors import GateRejected, ModelError
from capsedge.export.gate.judge import failed, judge, not_executed
from capsedge.export.gate.reference import reference, warning_of
from capsedge.export.gate.report import Rejection
from capsedge.export.gate.tolerance import tolerance_of
from capsedge.export.tensorrt import save_manifest
from capsedge.files import write_atomically
from capsedge.runtime.integrity import check_engine
from capsedge.runtime.open import open_session
from capsedge.runtime.tensorrt.manifest import cannot_run_here, manifest_path, read_manifest
from capsedge.training import Run


def gate_engine(engine: Path, run: Run, *, max_error_increase: float | None = None) -> EngineManifest:
    """Execute an engine, compare it with its run, and write the verdict into its manifest.

    Args:
        engine: The engine, with its manifest beside it.
        run: The run whose network it must match.
        max_error_increase: See `tolerance_of`.

    Returns:
        The manifest with the verdict in its contract. If this machine cannot execute the engine, the verdict says so
        and names the machine that can, and the file of the manifest is not changed.

    Raises:
        GateRejected: The engine does not compute what the network computes. It is kept as `<engine>.rejected`, with
            its manifest in the report beside it.
        ModelError: The manifest or the run is missing or damaged, or the engine does not load.
        DataError: The run's data is missing.
    """
    manifest = read_manifest(engine)
    tolerance = tolerance_of(manifest.contract.precision, max_error_increase=max_error_increase)
    for check in check_engine(engine, manifest):
        if check.holds is False and engine.is_file():
            raise ModelError(f"'{engine}' was damaged or replaced: {check.said}", "copy it again or rebuild it")
    if reason := cannot_run_here(engine):
        return _with(manifest, not_executed(f"{needed(manifest)}: {reason}"))
    with open_session(engine) as session:
        dataset = run.load_dataset()
        promised = _promised(run, dataset, manifest.contract)
        expected = reference(run.load_best(), promised, dataset.validation, warning=warning_of(run))
        try:
            judgement = judge(session, expected, tolerance)
        except ModelError as error:
            judgement = failed(str(error), dataset.validation.images)
    executed = _with(manifest, judgement.verdict)
    if judgement.verdict.status == "rejected":
        raise GateRejected(_set_aside(engine, Rejection(verdict=judgement.verdict, manifest=executed)))
    save_manifest(engine, executed)
    return executed


def needed(manifest: EngineManifest) -> str:
    """Describe the machine that an engine needs."""
    targets = " or ".join(manifest.targets) or "sm80 or later"
    package = f"{manifest.package} {manifest.package_version}".strip()
    return f"it needs a machine with an NVIDIA GPU of {targets} and {package}"


def _with(manifest: EngineManifest, verdict: Verdict) -> EngineManifest:
    """The manifest with another verdict."""
    contract = msgspec.structs.replace(manifest.contract, verdict=verdict)
    return msgspec.structs.replace(manifest, contract=contract)


def _promised(run: Run, dataset: Dataset, contract: Contract) -> Contract:
    """The contract with the run's values, to compare the engine's contract with."""
    record = run.read_record()
    height, width, channels = record.shape
    return msgspec.structs.replace(
        contract,
        classes=record.classes,
        labels=dataset.labels_per_image,
        input=Input(height=height, width=width, channels=3 if channels == 3 else 1),
        fit=record.fit,
    )


def _set_aside(engine: Path, found: Rejection) -> str:
    """Keep a rejected engine under a name that no command loads; returns the error's text."""
    kept = engine.with_name(engine.name + ".rejected")
    report = manifest_path(kept)
    write_atomically(report, found.to_json())
    engine.replace(kept)
    manifest_path(engine).unlink()
    return f"the gate rejected '{engine}': {found.text}; kept as '{kept}', report in '{report}'"
