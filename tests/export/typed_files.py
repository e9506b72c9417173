"""The accepted files of an exported run, and what their contracts say."""

from pathlib import Path

from capsedge.contract import Contract, Precision, Verdict, contract_of
from capsedge.export.pipeline import file_name
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.training import Run


def typed_file(run: Run, precision: Precision) -> Path:
    """The run's accepted file of a precision."""
    return run.path / file_name(precision)


def contract_in(file: Path) -> Contract:
    """The contract of an ONNX file."""
    contract = contract_of(read_onnx_file(file), source=str(file))
    assert contract is not None
    return contract


def verdict_in(contract: Contract) -> Verdict:
    """The verdict of a contract."""
    assert contract.verdict is not None
    return contract.verdict
