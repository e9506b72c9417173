"""The paper's results (Yang, Li and Yu, Table II and section IV.B.2), for comparison."""

from collections.abc import Mapping
from types import MappingProxyType

# Test error in percent, by data set and method. For MultiMNIST the paper gives one value for its own routing and does
# not say whether it is L2's or L1's, so both rows have it.
PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "mnist": {"dr": 0.34, "l2": 0.35, "l1": 0.32, "l2-fc": 0.35, "l1-fc": 0.44},
        "fashion-mnist": {"dr": 7.21, "l2": 7.01, "l1": 6.76, "l2-fc": 6.75, "l1-fc": 6.77},
        "cifar-10": {"dr": 15.3, "l2-fc": 14.52, "l1-fc": 14.04},
        "multi-mnist": {"dr": 7.47, "l2": 7.54, "l1": 7.54},
    }
)
KIND_NOT_NAMED = "the paper gives 7.54 for its routing and does not say whether it is L2 or L1"
