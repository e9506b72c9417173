"""Model repositories for NVIDIA's Triton Inference Server, to serve an accepted file to many clients.

The format follows Triton's documentation and sources; docs/serving.md lists what was run and what was not.
"""

from capsedge.export.triton.config import Serving
from capsedge.export.triton.repository import write_repository

__all__ = ["Serving", "write_repository"]
