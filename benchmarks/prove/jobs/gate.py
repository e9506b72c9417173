"""The gate on an ONNX file on any provider: `capsedge gate` asks the CPU's only."""

from pathlib import Path

from benchmarks.prove.asked import GateWanted
from capsedge.contract import Verdict
from capsedge.export.gate import judge, reference, tolerance_of
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings
from capsedge.training import Run


def work(wanted: GateWanted) -> Verdict:
    """Hold the file against its run's network on all validation images; the file stays as it is."""
    run = Run(Path(wanted.run))
    with open_session(wanted.model, Settings(provider=wanted.provider)) as session:
        contract = contract_needed(session)
        expected = reference(run.load_best(), contract, run.load_dataset().validation)
        return judge(session, expected, tolerance_of(contract.precision)).verdict
