"""Routing-guided compression: capsule types and channels that contribute least, by b and W, are pruned.

`rounds.compress` is the pipeline: `wiring` has the layers that share a number of channels, `scores` the contribution
of each item, `choice` the order of pruning; `surgery` builds the smaller network, `latency` measures it, and `tuning`
fine-tunes it with the uncompressed network as the teacher.

Names are imported on first use, so that a wrong option is refused without torch.
"""

from typing import TYPE_CHECKING

from capsedge.lazy import looked_up

if TYPE_CHECKING:
    from capsedge.compress.record import Compression
    from capsedge.compress.rounds import Keep, MaxErrorIncrease, MaxLatency, Target, compress
    from capsedge.compress.tuning import Options

__all__ = ["Compression", "Keep", "MaxErrorIncrease", "MaxLatency", "Options", "Target", "compress"]

__getattr__ = looked_up(
    __name__,
    {
        "Compression": "record",
        "Keep": "rounds",
        "MaxErrorIncrease": "rounds",
        "MaxLatency": "rounds",
        "Options": "tuning",
        "Target": "rounds",
        "compress": "rounds",
    },
)
