"""Is it slower than before? A report held against an earlier one of the same machine, case by case."""

from capsedge.measure.bench.baseline.compare import compare
from capsedge.measure.bench.baseline.limit import parse_regression
from capsedge.measure.bench.baseline.place import check_machine
from capsedge.measure.bench.baseline.record import Change, Comparison

__all__ = ["Change", "Comparison", "check_machine", "compare", "parse_regression"]
