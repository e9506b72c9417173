"""Is it slower than before? A report held against an earlier one of the same machine, case by case."""

from capsedge.runtime.bench.baseline.compare import compare
from capsedge.runtime.bench.baseline.limit import parse_regression
from capsedge.runtime.bench.baseline.place import check_machine
from capsedge.runtime.bench.baseline.record import Change, Comparison

__all__ = ["Change", "Comparison", "check_machine", "compare", "parse_regression"]
