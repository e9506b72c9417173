"""Which batches a file is run in, and what is noticed there."""

from collections.abc import Callable

import numpy as np
import pytest

from capsedge.data import Split
from capsedge.errors import ModelError
from capsedge.export.gate import TOLERANCES, Judgement, Reference, judge, reference
from capsedge.models import CapsNet
from capsedge.runtime.session import Outputs
from tests.export.sessions import FakeSession, Images, lax

FP32 = TOLERANCES["fp32"]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lengths_that_change_with_the_batch_are_found_where_each_is_within_its_limit(
    size: int, judged: Callable[..., Judgement]
) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        if len(images) == size:
            outputs.lengths[-1] += 0.05

    verdict = judged(lie, lax(batch=0.02)).verdict
    assert verdict.reasons == (
        f"a length of one image differs by 0.05 between batches of {size} and of 250, more than 0.02",
    )
    assert verdict.difference_between_batches == pytest.approx(0.05, abs=1e-5)


def test_a_batch_axis_that_was_baked_in_is_found(judged: Callable[..., Judgement]) -> None:
    """Each image of a batch gets the answer of the first, as when a graph knows one image only."""

    def lie(_: Images, outputs: Outputs) -> None:
        outputs.lengths[:] = outputs.lengths[0]
        outputs.poses[:] = outputs.poses[0]

    verdict = judged(lie, TOLERANCES["int8"]).verdict
    assert verdict.status == "rejected"
    assert any("between batches of" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (None, {250, 7, 2, 1}),
        ((1, 64), {64, 7, 2, 1}),
        ((1, 1), {1}),
        ((2, 5), {5, 2}),
        ((8, 16), {16, 8}),
        ((1, 1000), {1000, 7, 2, 1}),
    ],
)
def test_only_batches_that_the_file_takes_are_run_and_every_one_is_full(
    limits: tuple[int, int] | None, sizes: set[int], network: CapsNet, expected: Reference
) -> None:
    session = FakeSession(network, expected.contract, batch_limits=limits)
    assert judge(session, expected, FP32).verdict.status == "accepted"
    assert set(session.batches) == sizes
    assert session.batches.count(max(sizes)) >= -(-400 // max(sizes)) + 1  # every image, and the blank ones


def test_poses_of_another_shape_are_one_line(judged: Callable[..., Judgement], network: CapsNet) -> None:
    class Flat(FakeSession):
        def run(self, images: Images) -> Outputs:
            outputs = super().run(images)
            return Outputs(outputs.lengths, outputs.poses[:, :, :3])

    session = Flat(network, None)
    with pytest.raises(ModelError, match=r"'fake' must give poses of \[250, 10, 4\], it gave \[250, 10, 3\]"):
        judge(session, reference_of_one(network), FP32)


def reference_of_one(network: CapsNet) -> Reference:
    split = Split(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int64))
    return reference(network, None, split)  # type: ignore[arg-type]  # it is not read here
