"""Routing-guided compression: b and W say what each capsule contributes; what nothing needs any more is dropped.

`rounds.compress` is the pipeline: `wiring` says which layers hang together, `scores` what each item contributes,
`choice` what to drop first, `surgery` makes the smaller network, `latency` measures it, and a training with the
uncompressed network as its teacher mends it.
"""

from capsedge.compress.record import Compression
from capsedge.compress.rounds import Keep, MaxErrorIncrease, MaxLatency, Options, Target, compress

__all__ = ["Compression", "Keep", "MaxErrorIncrease", "MaxLatency", "Options", "Target", "compress"]
