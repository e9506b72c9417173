"""Export: files in each precision, with the decoder and of dynamic routing, accepted by the gate on the CPU."""

import msgspec
import pytest

from tests.gpu.artifacts import Artifacts, contract_in, described, precision_of
from tests.gpu.conftest import Saw

pytestmark = pytest.mark.gpu


def test_a_file_is_exported_and_accepted(artifacts: Artifacts, saw: Saw, label: str) -> None:
    file = artifacts.file(label)
    contract = contract_in(file)
    verdict = contract.verdict
    assert verdict is not None
    assert contract.precision == precision_of(label)
    size_mb = file.stat().st_size / 1e6
    saw(
        f"{size_mb:.2f} MB, {described(verdict)}",
        size_mb=size_mb,
        verdict=msgspec.to_builtins(verdict),
        flops_in={kind: share.flops for kind, share in contract.shares.items()},
        calibration=msgspec.to_builtins(contract.calibration),
        scores=msgspec.to_builtins(contract.scores),
    )
    if verdict.status == "not executed here":
        pytest.skip("; ".join(verdict.remarks))
    assert verdict.status == "accepted"
