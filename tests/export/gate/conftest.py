"""A network, what the gate expects of its files, and a session that lies."""

from collections.abc import Callable
from typing import Any

import pytest

from capsedge.export.gate import TOLERANCES, Judgement, Reference, Tolerance, judge, reference
from capsedge.models import CapsNet
from capsedge.training import Run
from tests.export.sessions import FakeSession, Lie, no_lie
from tests.export.typed_files import contract_in


@pytest.fixture(scope="module")
def network(exported_once: Run) -> CapsNet:
    return exported_once.load_best()


@pytest.fixture(scope="module")
def expected(exported_once: Run, network: CapsNet) -> Reference:
    contract = contract_in(exported_once.path / "model.onnx")
    return reference(network, contract, exported_once.load_dataset().validation)


@pytest.fixture
def judged(network: CapsNet, expected: Reference) -> Callable[..., Judgement]:
    """Judge the network with a lie."""

    def by(lie: Lie = no_lie, tolerance: Tolerance = TOLERANCES["fp32"], **options: Any) -> Judgement:
        emulated = options.pop("emulated", "")
        return judge(FakeSession(network, expected.contract, lie, **options), expected, tolerance, emulated=emulated)

    return by
