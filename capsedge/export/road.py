"""The road from a run to an accepted file: collapse, ONNX, contract, gate; each step is one function."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from capsedge.contract import Contract, Score, Verdict, contract_of
from capsedge.data import Dataset, Split
from capsedge.errors import GateRejected, ModelError
from capsedge.export.collapse import deployable
from capsedge.export.contract import build_contract
from capsedge.export.gate import TOLERANCES, Judgement, judge, reference
from capsedge.export.onnx import save_with_contract, to_onnx
from capsedge.files import write_atomically
from capsedge.models import CapsNet
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.engine import manifest_path, read_manifest
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from capsedge.scoring import wrong_answers
from capsedge.training import Run


@dataclass(frozen=True)
class Exported:
    """An accepted file and its contract."""

    path: Path
    contract: Contract


def export_run(run: Run, output: Path | None = None) -> Exported:
    """Export a run's best network to ONNX and gate it.

    Args:
        run: A run with at least one finished epoch.
        output: Where the accepted file goes; None for `model.onnx` in the run's folder.

    Raises:
        GateRejected: The file does not compute what the network computes. It is kept as `<output>.rejected`, with
            a report beside it; there is no accepted file then, not even an older one.
        ModelError: The run cannot be read.
        DataError: The run's data is no longer here.
    """
    output = output or run.path / "model.onnx"
    network, dataset = run.load_best(), run.load_dataset()
    model = to_onnx(deployable(network), dataset.shape)
    # A dot file beside the output: the gate runs what lies on this very disk.
    candidate = output.with_name(f".candidate-{output.name}")
    try:
        write_atomically(candidate, model.SerializeToString(deterministic=True))
        contract = build_contract(run, candidate, network, dataset)
        save_with_contract(model, contract, candidate)
        return Exported(output, _gate(candidate, output, network, dataset, contract))
    finally:
        candidate.unlink(missing_ok=True)


def gate_model(model: Path, run: Run) -> Contract:
    """Gate a file that lies on the disk against its run, in place.

    An accepted file gets the contract of its run anew: nothing is taken over from the old one, which must agree.

    Raises:
        GateRejected: See `export_run`.
        ModelError: The file or the run is missing, or the file is damaged or has no contract.
    """
    if contract_of(read_onnx_file(model), source=str(model)) is None:
        raise ModelError(f"'{model}' carries no contract, so there is nothing to hold it to: use capsedge export")
    network, dataset = run.load_best(), run.load_dataset()
    return _gate(model, model, network, dataset, build_contract(run, model, network, dataset))


def _gate(candidate: Path, output: Path, network: CapsNet, dataset: Dataset, contract: Contract) -> Contract:
    """Judge a file; copy it to `output` with the contract and its verdict, or set it aside as rejected."""
    try:
        with open_session(candidate) as session:
            judgement = judge(session, reference(network, contract, dataset.validation), TOLERANCES["fp32"])
            accepted = judgement.verdict.status == "accepted"
            test_error = _error(session, dataset.test) if accepted else 1.0
    except ModelError as error:  # it does not run, or gives outputs of another shape
        judgement, accepted = Judgement(Verdict("rejected", reasons=(str(error),)), 1.0), False
    if not accepted:
        raise GateRejected(_set_aside(candidate, output, judgement.verdict))
    scores = (
        *contract.scores,
        Score("onnx", "validation", judgement.verdict.images, judgement.error),
        Score("onnx", "test", len(dataset.test), test_error),
    )
    contract = msgspec.structs.replace(contract, verdict=judgement.verdict, scores=scores)
    save_with_contract(onnx.load_model(str(candidate)), contract, output)
    _clear_up(output, contract)
    return contract


def _error(session: Session, split: Split, batch: int = 250) -> float:
    lengths = [session.run(split.images[i : i + batch]).lengths for i in range(0, len(split), batch)]
    return float(wrong_answers(np.concatenate(lengths), split.labels).mean())


def _set_aside(candidate: Path, output: Path, verdict: Verdict) -> str:
    """Keep a rejected file for study, under a name that no command takes for a model; gives the error's text."""
    kept, report = _rejected(output)
    candidate.replace(kept)
    output.unlink(missing_ok=True)
    write_atomically(report, msgspec.json.format(msgspec.json.encode(verdict)))
    return f"the gate rejected '{output}': {'; '.join(verdict.reasons)}; kept as '{kept}', report in '{report}'"


def _clear_up(output: Path, contract: Contract) -> None:
    """Remove what an earlier export left beside the file and no longer belongs to it."""
    for old in _rejected(output):
        old.unlink(missing_ok=True)
    engine = output.with_suffix(".engine")
    if manifest_path(engine).exists() and not _built_from(engine, contract):
        engine.unlink(missing_ok=True)
        manifest_path(engine).unlink()


def _built_from(engine: Path, contract: Contract) -> bool:
    try:
        return read_manifest(engine).contract.graph_sha256 == contract.graph_sha256
    except ModelError:
        return False


def _rejected(output: Path) -> tuple[Path, Path]:
    """Names of a rejected file and of its report."""
    kept = output.with_name(output.name + ".rejected")
    return kept, kept.with_name(kept.name + ".json")
