"""Dropout that does not depend on where a training was interrupted, nor on how many devices share a batch."""

import pytest
import torch
from torch import Tensor

from capsedge.training.dropout import SharedDropout


def masks(step: int, *, p: float = 0.3, seed: int = 1, rank: int = 0, ranks: int = 1, total: int = 64) -> Tensor:
    """What is left of ones: [images of the rank, channels]."""
    dropout = SharedDropout(p, seed=seed, rank=rank, ranks=ranks)
    dropout.begin(step, total)
    maps = dropout(torch.ones(len(range(rank, total, ranks)), 50, 2, 3))
    assert torch.equal(maps, maps[:, :, :1, :1].expand_as(maps)), "whole channels"
    left: Tensor = maps[:, :, 0, 0]
    return left


def test_a_share_of_the_channels_is_left_out_and_the_others_keep_the_mean() -> None:
    left = masks(0, total=2000)
    assert sorted(set(left.flatten().tolist())) == pytest.approx([0.0, 1 / 0.7])
    # 100,000 draws: a standard error of 0.0014
    assert (left == 0).float().mean().item() == pytest.approx(0.3, abs=0.006)


def test_the_masks_follow_from_seed_and_step_alone() -> None:
    first = masks(5)
    torch.manual_seed(9)
    assert torch.equal(masks(5), first)
    assert not torch.equal(masks(6), first)
    assert not torch.equal(masks(5, seed=2), first)


@pytest.mark.parametrize("ranks", [2, 3, 100])
def test_ranks_together_leave_out_what_one_would(ranks: int) -> None:
    whole = masks(7, total=23)
    for rank in range(ranks):
        assert torch.equal(masks(7, total=23, rank=rank, ranks=ranks), whole[rank::ranks])


def test_evaluation_and_torchs_random_numbers_are_left_alone() -> None:
    state = torch.get_rng_state()
    masks(0)
    assert torch.equal(torch.get_rng_state(), state)
    dropout = SharedDropout(0.5, seed=1, rank=0, ranks=1).eval()
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(dropout(images), images)
