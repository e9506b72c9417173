"""What is kept of a rejection: the report beside the file that was set aside, and the line on the screen."""

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
        verdict: What was measured, and which limits it broke.
        trace: The difference node by node; None for an engine, whose nodes cannot be read.
        manifest: An engine's manifest, which is kept here because the engine is no longer to be loaded.
    """

    verdict: Verdict
    trace: Trace | None = None
    manifest: EngineManifest | None = None

    @property
    def text(self) -> str:
        """The reasons and where the difference starts, as one clause of an error's line."""
        if self.trace is None or not self.trace.starts_at:
            return "; ".join(self.verdict.reasons)
        start = "where the difference starts" if self.trace.outcome == "untraceable" else "the difference starts at"
        return "; ".join((*self.verdict.reasons, f"{start} {self.trace.starts_at}"))

    def to_json(self) -> bytes:
        """The report's text."""
        return msgspec.json.format(msgspec.json.encode(self))


def explained(
    judgement: Judgement, own_graphs: Sequence[onnx.ModelProto], file_model: onnx.ModelProto, tolerance: Tolerance
) -> Rejection:
    """What is kept of a rejected ONNX file, with the node where its difference starts; see `localize`.

    Args:
        judgement: What was found.
        own_graphs: The network's own graphs to hold the file against, the nearest first: one in the file's precision
            tells a fault from what the precision costs. The next is asked where a file is no different from it.
        file_model: The file.
        tolerance: The limits of its precision.
    """
    trace = Trace(
        outcome="not-traced", starts_at="", images=0
    )  # a promise of its contract, or what another processor would compute
    for graph in own_graphs if judgement.computes_wrong else ():
        same_types = len(own_graphs) > 1 and graph is own_graphs[0]
        limit = TOLERANCES["fp32"] if same_types else tolerance
        trace = localize(graph, file_model, judgement.telling, limit)
        if trace.outcome == "node":
            break
    verdict = msgspec.structs.replace(judgement.verdict, starts_at=trace.starts_at)
    return Rejection(verdict=verdict, trace=trace)
