"""The gate: a file is accepted only if, run here on real images, it computes what the trained network computes."""

from capsedge.export.gate.engine import gate_engine
from capsedge.export.gate.judge import Judgement, failed, judge, not_executed
from capsedge.export.gate.localize import NodeDifference, Trace, localize
from capsedge.export.gate.reference import Answers, Reference, answers_of, reference, warning_of
from capsedge.export.gate.report import Rejection, explained
from capsedge.export.gate.tolerance import TOLERANCES, Tolerance, tolerance_of

__all__ = [
    "TOLERANCES",
    "Answers",
    "Judgement",
    "NodeDifference",
    "Reference",
    "Rejection",
    "Tolerance",
    "Trace",
    "answers_of",
    "explained",
    "failed",
    "gate_engine",
    "judge",
    "localize",
    "not_executed",
    "reference",
    "tolerance_of",
    "warning_of",
]
