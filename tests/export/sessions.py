"""What stands in for a file in tests of the gate: sessions whose answers a test decides."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.export.gate import Tolerance
from capsedge.models import CapsNet
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Outputs, Session, check_batch

Images = NDArray[np.uint8]
Lie = Callable[[Images, Outputs], None]  # changes the outputs in place


class LengthsOnly(Session):
    """A session that can do what the gate asks of one, `run`, and nothing else."""

    def feeds(self, batch: int) -> Arrays:
        raise AssertionError("the gate times nothing")

    def run_raw(self, feeds: Arrays) -> Arrays:
        raise AssertionError("the gate times nothing")

    def close(self) -> None:
        pass


def no_lie(images: Images, outputs: Outputs) -> None:
    pass


class FakeSession(LengthsOnly):
    """A file in name only: it says what the network says, but for a lie; `batches` are those that it was given."""

    name, file, provider = "fake", Path("fake.onnx"), "fake"

    def __init__(
        self,
        network: CapsNet,
        contract: Contract | None,
        lie: Lie = no_lie,
        *,
        batch_limits: tuple[int, int] | None = None,
        draw: Callable[[torch.Tensor, torch.Tensor], NDArray[np.float32]] | None = None,
    ) -> None:
        self.network = network
        self.contract = contract
        self.lie = lie
        self.batch_limits = batch_limits
        self.draw = draw
        self.batches: list[int] = []

    def run(self, images: Images) -> Outputs:
        check_batch(self, len(images))
        self.batches.append(len(images))
        with torch.no_grad():
            capsules = self.network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
            drawn = None if self.draw is None else self.draw(capsules.lengths, capsules.poses)
        outputs = Outputs(capsules.lengths.numpy(), capsules.poses.numpy(), drawn)
        self.lie(images, outputs)
        return outputs


def lax(**limits: float) -> Tolerance:
    """A tolerance that asks for nothing but what is named."""
    nothing = Tolerance(
        length=1, mean_length=1, pose=1, batch=1, agreement=0, error_increase=1, pixel=1, replay=1, node=1e-4
    )
    return dataclasses.replace(nothing, **limits)
