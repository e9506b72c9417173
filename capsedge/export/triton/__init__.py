"""Model repositories for NVIDIA's Triton Inference Server: how one accepted file serves many machines.

What Triton wants was read in its documentation and sources; docs/serving.md says what was tried and what was not.
"""

from capsedge.export.triton.config import Serving
from capsedge.export.triton.repository import write_repository

__all__ = ["Serving", "write_repository"]
