"""The road from a run to an accepted file: collapse, ONNX, contract, gate; each step is one function."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from capsedge.contract import Contract, Score, Verdict, contract_of
from capsedge.data import Dataset, Split
from capsedge.errors import GateRejected, ModelError
from capsedge.export.collapse import deployable
from capsedge.export.contract import build_contract
from capsedge.export.gate import TOLERANCES, Judgement, Reference, judge, reference
from capsedge.export.onnx import renew_contract, save_with_contract, to_onnx
from capsedge.files import write_atomically
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.session import Session, open_session
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
    output.unlink(missing_ok=True)
    network, dataset = run.load_best(), run.load_dataset()
    module, collapsed = deployable(network)
    model = to_onnx(module, dataset.shape)
    # A dot file beside the output: the gate runs what lies on this very disk.
    candidate = output.with_name(f".candidate-{output.name}")
    try:
        write_atomically(candidate, model.SerializeToString(deterministic=True))
        contract = build_contract(run, candidate, network, dataset.validation, collapsed=collapsed)
        save_with_contract(model, contract, candidate)
        contract = _gate(candidate, output, dataset, reference(network, dataset.classes, dataset.validation))
    finally:
        candidate.unlink(missing_ok=True)
    return Exported(output, contract)


def gate_model(model: Path, run: Run) -> Contract:
    """Gate a file that lies on the disk against its run, in place.

    Raises:
        GateRejected: See `export_run`; a file that cannot even be run is rejected too.
        ModelError: The file or the run is missing, or the file has no contract to renew.
    """
    network, dataset = run.load_best(), run.load_dataset()
    return _gate(model, model, dataset, reference(network, dataset.classes, dataset.validation))


def _gate(candidate: Path, output: Path, dataset: Dataset, expected: Reference) -> Contract:
    """Judge a file; copy it to `output` with its verdict and scores, or set it aside as rejected."""
    contract = contract_of(read_onnx_file(candidate), source=str(candidate))
    if contract is None:
        raise ModelError(f"'{candidate}' carries no contract, so there is nothing to hold it to: use capsedge export")
    try:
        with open_session(candidate) as session:
            judgement = judge(session, expected, TOLERANCES["fp32"])
            accepted = judgement.verdict.status == "accepted"
            test_error = _error(session, dataset.test) if accepted else 1.0
    except ModelError as error:
        judgement, accepted = Judgement(Verdict("rejected", reasons=(str(error),)), 1.0), False
    if not accepted:
        raise GateRejected(_set_aside(candidate, output, judgement.verdict))
    scores = (
        *(score for score in contract.scores if score.stage == "trained"),
        Score("onnx", "validation", judgement.verdict.images, judgement.error),
        Score("onnx", "test", len(dataset.test), test_error),
    )
    return renew_contract(candidate, contract, output, verdict=judgement.verdict, scores=scores)


def _error(session: Session, split: Split, batch: int = 250) -> float:
    first = [session.run(split.images[i : i + batch]).lengths.argmax(1) for i in range(0, len(split), batch)]
    return float((np.concatenate(first) != split.labels).mean())


def _set_aside(candidate: Path, output: Path, verdict: Verdict) -> str:
    """Keep a rejected file for study, under a name that no command takes for a model; gives the error's text."""
    kept = output.with_name(output.name + ".rejected")
    candidate.replace(kept)
    report = kept.with_name(kept.name + ".json")
    write_atomically(report, msgspec.json.format(msgspec.json.encode(verdict)))
    return f"the gate rejected '{output}': {'; '.join(verdict.reasons)}; kept as '{kept}', report in '{report}'"
