"""What is kept of a rejection: the report beside the file that was set aside, and the line on the screen."""

import msgspec
import onnx

from capsedge.contract import EngineManifest, Verdict
from capsedge.export.gate.judge import Judgement
from capsedge.export.gate.localize import UNTRACEABLE, Trace, localize
from capsedge.export.gate.tolerance import Tolerance


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
        start = self.verdict.starts_at
        if start.startswith(UNTRACEABLE):
            start = f"where the difference starts {start}"
        elif start:
            start = f"the difference starts at {start}"
        return "; ".join((*self.verdict.reasons, start) if start else self.verdict.reasons)

    def to_json(self) -> bytes:
        """The report's text."""
        return msgspec.json.format(msgspec.json.encode(self))


def explained(
    judgement: Judgement, network_model: onnx.ModelProto, file_model: onnx.ModelProto, tolerance: Tolerance
) -> Rejection:
    """What is kept of a rejected ONNX file, with the node where its difference starts; see `localize`."""
    if judgement.computes_wrong:
        trace = localize(network_model, file_model, judgement.telling, tolerance)
    else:
        trace = Trace(starts_at="no node: its contract alone is wrong", images=0)
    verdict = msgspec.structs.replace(judgement.verdict, starts_at=trace.starts_at)
    return Rejection(verdict=verdict, trace=trace)
