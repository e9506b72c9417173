"""Asks torch for its CUDA devices."""

import torch

from benchmarks.prove.asked import Torch


def work(wanted: None) -> Torch:
    """Look, without computing anything."""
    del wanted
    names = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return Torch(str(torch.__version__), torch.version.cuda or "", names, torch.backends.cudnn.allow_tf32)
