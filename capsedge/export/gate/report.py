"""The report of a rejection, which is kept beside the rejected file, and the error's text."""

from collections.abc import Sequence

import msgspec
import onnx

from capsedge.contract import EngineManifest, Verdict
from capsedge.export.gate.judge import Judgement
from capsedge.export.gate.localize import Trace, localize
from capsedge.export.gate.tolerance import TOLERANCES, Tolerance


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `<file>.rejected.json`.

    Attributes:
        verdict: The measured differences and the limits that were exceeded.
        trace: The difference node by node; None for an engine, whose nodes cannot be read.
        manifest: An engine's manifest, kept here so that no command loads the rejected engine.
    """

    verdict: Verdict
    trace: Trace | None = None
    manifest: EngineManifest | None = None

    @property
    def text(self) -> str:
        """The reasons and where the difference starts, as one clause of the error."""
        if self.trace is None or not self.trace.starts_at:
            return "; ".join(self.verdict.reasons)
        start = "where the difference starts" if self.trace.outcome == "untraceable" else "the difference starts at"
        return "; ".join((*self.verdict.reasons, f"{start} {self.trace.starts_at}"))

    def to_json(self) -> bytes:
        """The report as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self))


def explained(
    judgement: Judgement, own_graphs: Sequence[onnx.ModelProto], file_model: onnx.ModelProto, tolerance: Tolerance
) -> Rejection:
    """The report of a rejected ONNX file, with the node where its difference starts; see `localize`.

    Args:
        judgement: The judgement of the file.
        own_graphs: The network's graphs to compare the file with, the most similar first: one in the file's precision
            separates a fault from the effect of the precision. The next is used if the file equals the first.
        file_model: The file's graph.
        tolerance: The limits of its precision.
    """
    # A wrong contract, or a result of another processor, starts at no node.
    trace = Trace(outcome="not-traced", starts_at="", images=0)
    for graph in own_graphs if judgement.computes_wrong else ():
        same_types = len(own_graphs) > 1 and graph is own_graphs[0]
        limit = TOLERANCES["fp32"] if same_types else tolerance
        trace = localize(graph, file_model, judgement.telling, limit)
        if trace.outcome == "node":
            break
    verdict = msgspec.structs.replace(judgement.verdict, starts_at=trace.starts_at)
    return Rejection(verdict=verdict, trace=trace)
