"""Lint: lists the nodes of an ONNX file that TensorRT refuses, with reasons, from rules and from its parser.

It also lists int8 weights that some x86 processors compute wrongly.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from capsedge.errors import MissingExtra, ModelError
from capsedge.export.graph import named_graphs
from capsedge.export.tensorrt.options import BuildOptions, Package, choose_package
from capsedge.export.tensorrt.process import run_worker
from capsedge.export.tensorrt.rules import QUANTIZERS, LintFinding, Severity, apply_rules, node_name
from capsedge.export.tensorrt.worker import Parse, Parsed, Refusal
from capsedge.onnx_lite.file import read_metadata
from capsedge.runtime.int8_pairs import damaged_graph, in_words, int8_pairs
from capsedge.runtime.models import title
from capsedge.runtime.tensorrt.targets import check_names


class Lint(msgspec.Struct, frozen=True, kw_only=True):
    """The result of linting a file.

    Attributes:
        model: The model's name.
        file: Its file.
        parser: The parser and its release; "" if only the rules were applied.
        no_parser: The reason why no parser ran; "" if one did.
        targets: GPUs that the types were checked against.
        findings: The findings, refused nodes first.
    """

    model: str
    file: str
    parser: str
    no_parser: str
    targets: tuple[str, ...]
    findings: tuple[LintFinding, ...]

    @property
    def refused(self) -> tuple[LintFinding, ...]:
        """Findings that prevent an engine or make it wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "refused")

    @property
    def unchecked(self) -> tuple[LintFinding, ...]:
        """Findings that could not be checked against the targets."""
        return tuple(finding for finding in self.findings if finding.severity == "unchecked")


def lint(model: Path, targets: Sequence[str] = ()) -> Lint:
    """List everything in an ONNX file, from capsedge or another tool, that TensorRT refuses.

    Args:
        model: The file.
        targets: GPUs such as `sm86` that the engine must run on; TensorRT-RTX only.

    Raises:
        ModelError: The file is missing or is not an ONNX file.
        WrongUse: A target is not a valid name.
    """
    check_names(targets)
    graph = _load(model)
    package, parsed = _parse(model, targets)
    parser = f"{package} {parsed.version}".strip() if not parsed.errors else ""
    by_rules = [*apply_rules(graph, targets, package), *_may_saturate(model)]
    findings = [*by_rules, *_of_parser(graph, parsed, parser, by_rules)] if parser else by_rules
    order = get_args(Severity)
    return Lint(
        model=title(model),
        file=str(model),
        parser=parser,
        no_parser="; ".join(parsed.errors),
        targets=tuple(targets),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
    )


def _parse(model: Path, targets: Sequence[str]) -> tuple[Package, Parsed]:
    """The result of the installed parser; if it crashes, a refusal of the whole graph."""
    try:
        package = choose_package(BuildOptions(targets=tuple(targets)))
    except MissingExtra as error:
        return "tensorrt_rtx", Parsed(errors=(str(error),))
    try:
        return package, run_worker(Parse(package=package, onnx=str(model)), Parsed)
    except ModelError as error:
        return package, Parsed(refusals=(Refusal(node=-1, reason=str(error)),))


def _load(path: Path) -> onnx.ModelProto:
    read_metadata(path)  # a missing or cut file gives the same error as in all other commands
    try:
        # External weights are large, and the rules do not need them.
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises several errors for bytes that are no message
        raise ModelError(f"'{path}' is not an ONNX file ({' '.join(str(error).split())[:120]})") from error
    if not model.graph.node:
        raise ModelError(f"'{path}' is not an ONNX file: it holds no graph")
    for named in named_graphs(model):
        for position, node in enumerate(named.nodes):
            texts = (node.name, node.op_type, node.domain, *node.input, *node.output)
            if any(isinstance(text, bytes) for text in texts):  # how protobuf gives a text that is not UTF-8
                raise damaged_graph(path, f"a name or the operator of node {position} is not UTF-8")
    _load_zero_points(path, model)
    _check_quantizers(path, model)
    return model


def _load_zero_points(path: Path, model: onnx.ModelProto) -> None:
    """Load the external zero-points, which the rules read, from the file's folder."""
    for named in named_graphs(model):
        for node in named.nodes:
            zero = named.constants.get(node.input[2]) if len(node.input) > 2 else None
            if zero is not None and node.op_type in QUANTIZERS and uses_external_data(zero):
                try:
                    load_external_data_for_tensor(zero, str(path.parent))
                except Exception as error:  # a missing file, a path outside of the folder, too few bytes
                    reason = " ".join(str(error).split())[:120]
                    raise ModelError(
                        f"'{path}' has values in another file that cannot be read ({reason})",
                        "copy that file beside the model",
                    ) from error
                zero.data_location = onnx.TensorProto.DEFAULT


def _check_quantizers(path: Path, model: onnx.ModelProto) -> None:
    """Refuse quantizing nodes that the rules cannot read."""
    for named in named_graphs(model):
        for position, node in enumerate(named.nodes):
            if node.op_type not in QUANTIZERS:
                continue
            what = f"{node.op_type} '{node_name(node, position)}'"
            if not node.input:
                raise damaged_graph(path, f"{what} has no inputs")
            zero = named.constants.get(node.input[2]) if len(node.input) > 2 else None
            if zero is not None and zero.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
                try:
                    onnx.numpy_helper.to_array(zero)
                except (TypeError, ValueError) as error:
                    raise damaged_graph(path, f"the zero-point of {what}: {error}") from error


def _may_saturate(model: Path) -> Iterator[LintFinding]:
    """Int8 weights that every runtime accepts, but that x86 processors without VNNI compute wrongly."""
    pairs = int8_pairs(model)
    if pairs is not None and not pairs.fit:
        yield LintFinding(
            node=pairs.weight,
            operator="",
            severity="warning",
            reason=f"{in_words(pairs)}: ONNX Runtime gives different answers there",
            advice="quantize to weights of 7 bits (reduce_range in ONNX Runtime); capsedge uses exact kernels there",
        )


def _of_parser(
    model: onnx.ModelProto, parsed: Parsed, parser: str, by_rules: Sequence[LintFinding]
) -> list[LintFinding]:
    """The parser's findings, without the nodes that a rule already explains."""
    nodes = list(model.graph.node)
    explained = {finding.node for finding in by_rules if finding.severity == "refused"}
    reasons = {refusal.node: refusal.reason for refusal in parsed.refusals}
    unknown = {refusal.node for refusal in parsed.refusals if refusal.unknown_operator}
    if not parsed.supported and -1 not in reasons:
        silent = set(range(len(nodes))) - set(parsed.taken) - reasons.keys()
        reasons |= dict.fromkeys(sorted(silent), "the parser refuses it without a reason")
        reasons = reasons or {-1: "the parser refuses this graph without naming a node"}
    found = []
    for position, reason in sorted(reasons.items()):
        node = nodes[position] if position >= 0 else None
        name = node_name(node, position) if node is not None else "(the graph)"
        if name not in explained:
            advice = "replace it by operators that TensorRT has" if position in unknown else "change the graph here"
            operator = node.op_type if node is not None else ""
            found.append(
                LintFinding(
                    node=name, operator=operator, severity="refused", reason=reason, advice=advice, source=parser
                )
            )
    return found + [_warned(warning, parser) for warning in parsed.warnings]


def _warned(warning: str, parser: str) -> LintFinding:
    return LintFinding(
        node="(the graph)",
        operator="",
        severity="warning",
        reason=f"the parser warns: {warning}",
        advice="check what it means for the result",
        source=parser,
    )
