"""Judging a file on another provider than the one that its own gate ran on."""

from pathlib import Path

import msgspec

from capsedge.contract import Verdict
from capsedge.errors import ModelError
from capsedge.export.gate import failed, judge, reference, tolerance_of, warning_of
from capsedge.export.origin import alterations, check_origin
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.open import open_session
from capsedge.runtime.providers import Provider
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings
from capsedge.training import Run


def gate_on(model: Path, run: Run, provider: Provider, *, max_error_increase: float | None = None) -> Verdict:
    """Judge a file against its run on another provider; the file stays as it is, with the verdict of its own gate.

    As in `RunExport.gate`, a file that was altered since its export gets a remark.

    Args:
        model: A file with a contract.
        run: Its run.
        provider: The provider, such as `openvino`.
        max_error_increase: Largest accepted increase of the error; None for the limit of the precision.

    Raises:
        ModelError: The file is missing or damaged, or has no contract.
        WrongUse: The file was exported from another run.
        ProviderError: The provider is not available.
        MissingExtra: Its package is not installed.
    """
    with open_session(model, Settings(provider=provider)) as session:
        contract = contract_needed(session)
        check_origin(model, contract, run)
        tolerance = tolerance_of(contract.precision, max_error_increase=max_error_increase)
        expected = reference(run.load_best(), contract, run.load_dataset().validation, warning=warning_of(run))
        try:
            verdict = judge(session, expected, tolerance).verdict
        except ModelError as error:  # it does not run, or its outputs have other shapes
            verdict = failed(str(error), expected.validation.images).verdict
    altered = alterations(read_onnx_file(model), contract)
    return msgspec.structs.replace(verdict, remarks=(*altered, *verdict.remarks))
