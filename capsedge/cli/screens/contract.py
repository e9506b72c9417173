"""A contract as rows of a name and a value, for `capsedge inspect` and `capsedge gate`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from capsedge.cli.console import percent
from capsedge.cli.tables import Row
from capsedge.contract import PAIR_LIMIT, Contract, EngineManifest, Verdict
from capsedge.plural import number_of
from capsedge.processor import in_words
from capsedge.runtime.inspection import Inspection
from capsedge.statistics import Difference

_MEANINGS = {
    "lengths": "how strongly each class is present, 0 to 1",
    "poses": "the class capsules",
    "reconstruction": "the decoder's image of the longest capsules, 0 to 1",
}
_VERDICTS = {"accepted": "green", "rejected": "bold red", "not executed here": "yellow"}
_CHECKS = {True: "green", False: "bold red", None: "yellow"}
_SHARES = ("top1_agreement", "error")
_FIGURES = {"top1_agreement": "same answer", "error_change": "change of the error, points"}


def heading(found: Inspection) -> str:
    """The name of a model: that of the built-in model, of its run, or of its file."""
    if found.model != found.file:
        return found.model
    return Path(found.file).name if found.promises is None else found.promises.name


def the_file(found: Inspection) -> Iterator[Row]:
    """Rows about the file, and the main facts of its contract."""
    contract = found.promises
    for problem in found.problems:
        yield Row("ALTERED", problem, "bold red")
    yield Row("file", found.file, whole=True)
    yield Row("size", "not built yet" if found.size_bytes is None else in_bytes(found.size_bytes))
    if found.beside:
        yield Row("same folder", ", ".join(found.beside))
    if contract is None:
        outside = f", some of them in {', '.join(found.external)}" if found.external else ""
        yield Row("weights", f"{len(found.weights_bytes)}, {in_bytes(sum(found.weights_bytes.values()))}{outside}")
        yield from its_int8(found)
        yield Row("contract", "none: the file was not made by capsedge export", "yellow")
        yield Row("missing", "class names, image size, meaning of the outputs, scores, golden sample, hashes")
        return
    verdict = contract.verdict
    yield (
        Row("gate", verdict.status, _VERDICTS[verdict.status]) if verdict else Row("gate", "not checked", "yellow")
    )
    yield Row("precision", precision(contract))
    yield from its_int8(found)
    yield Row("cost", f"{rounded(contract.flops)}FLOPs for one image")
    yield Row(
        "parameters", f"{contract.parameters:,} in {number_of(len(contract.layers), 'layer')}, biases not counted"
    )


def its_int8(found: Inspection) -> Iterator[Row]:
    """Row about whether int8 layers give the same results on every processor."""
    pairs = found.int8_pairs
    if pairs is None:
        return
    sums = (
        f"the largest sum of two products is {pairs.largest:,}, and x86 without VNNI adds them in 16 bits (up to "
        f"{PAIR_LIMIT:,})"
    )
    if pairs.fit:
        yield Row("int8", f"the same on every processor: {sums}")
    else:
        yield Row("int8", f"saturates on some processors: {sums} ({pairs.weight})", "yellow")


def its_use(contract: Contract) -> Iterator[Row]:
    """Rows about the model's input, outputs and routing."""
    given = contract.input
    colours = "RGB" if given.channels == 3 else "grey"
    batch = contract.batch or "batch"
    yield Row("input", f"{given.name}, uint8 [{batch}, {_listed(given.shape)}], {colours} of 0 to 255")
    yield Row("fitting", f"images of other sizes are {contract.fit.text}")
    for name in contract.outputs:
        meaning = _MEANINGS.get(name, "unknown to this capsedge")
        yield Row("output", f"{name}, float32 [{batch}, {_listed(_axes(contract, name))}]: {meaning}")
    yield Row(f"{len(contract.classes)} classes", ", ".join(contract.classes))
    several = f"the classes of the {contract.labels} longest capsules"
    yield Row("answer", "the class of the longest capsule" if contract.labels == 1 else several)
    way = "collapsed into constant weights" if contract.collapsed else "computed for each image"
    yield Row("routing", f"{contract.routing}, {way}")
    if contract.calibration:
        yield Row("calibration", contract.calibration.text)


def its_engine(manifest: EngineManifest) -> Iterator[Row]:
    """Rows about an engine's build and its target."""
    if manifest.deferred:
        yield Row("build it with", manifest.deferred, "yellow", whole=True)
    yield Row("built by", f"{manifest.package} {manifest.package_version}".rstrip())
    yield Row("for", ", ".join(manifest.targets) or "the default GPUs of the package")
    if manifest.gpu or manifest.platform:
        yield Row("on", ", ".join(filter(None, (manifest.gpu, manifest.platform))))
    if manifest.hardware_compatible:
        yield Row("compatible", "with all GPUs from sm80 on")
    smallest, optimal, largest = manifest.batch
    yield Row("batch", f"{smallest} to {largest}, optimal {optimal}")
    if manifest.workspace_mb is not None:
        yield Row("workspace", f"{manifest.workspace_mb} MiB")
    if not manifest.deferred:
        yield Row("build time", f"{manifest.build_seconds:.1f} s")
        types = Counter(manifest.precision.values()).most_common()
        yield Row("layers", ", ".join(f"{count} {kind}" for kind, count in types))
    for warning in manifest.warnings:
        yield Row("note", warning, "yellow")


def its_verdict(verdict: Verdict) -> Iterator[Row]:
    """Rows about the gate's verdict."""
    where = f" on {verdict.provider}" if verdict.provider else ""
    images = f", {number_of(verdict.images, 'validation image')}" if verdict.images else ""
    yield Row("verdict", f"{verdict.status}{where}{images}", _VERDICTS[verdict.status])
    if verdict.processor is not None:
        yield Row("processor", in_words(verdict.processor))
    for reason in verdict.reasons:
        yield Row("reason", reason, "red")
    if verdict.starts_at:
        yield Row("first difference", verdict.starts_at)
    for remark in verdict.notes:
        yield Row("note", remark)


def its_figures(verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    """Each figure of a verdict: its name, the measured value, and its limit."""
    measured = {name: _measured(name, getattr(verdict, name)) for name in verdict.__struct_fields__}
    for name in dict.fromkeys((*measured, *verdict.limits)):
        limit = _limit(name, verdict.limits[name]) if name in verdict.limits else ""
        if measured.get(name) or limit:
            yield _FIGURES.get(name, name.replace("_", " ")), measured.get(name, ""), limit


def its_origin(contract: Contract) -> Iterator[Row]:
    """Rows about a model's origin."""
    golden = contract.golden
    yield Row("run", contract.name)
    yield Row("recipe", contract.recipe)
    yield Row("trained on", contract.data)
    yield Row("golden sample", f"{number_of(len(golden.labels), 'image')}, lengths within {golden.tolerance:g}")
    yield Row("made with", ", ".join(f"{name} {version}" for name, version in contract.versions.items()))


def its_hashes(found: Inspection) -> Iterator[Row]:
    """Rows about the checked hashes, and the SHA-256 of the graph."""
    for check in found.checks:
        yield Row(check.what, check.said, _CHECKS[check.holds])
    if found.promises is not None:
        yield Row("graph SHA-256", found.promises.graph_sha256, whole=True)


def precision(contract: Contract) -> str:
    """The types in which the layers compute, with their shares."""
    count = len(contract.layers)
    if not contract.layers:
        return "unknown: the contract names no layer"
    return "; ".join(
        f"{kind}: {round(share.layers * count)} of {number_of(count, 'layer')}, {share_of(share.flops)} of the FLOPs"
        for kind, share in contract.shares.items()
    )


def share_of(share: float) -> str:
    """A share of 0 to 1 as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def in_bytes(size: int) -> str:
    """A size in bytes with a unit, such as 27.2 MB."""
    return f"{rounded(size)}B" if size >= 1000 else f"{size} bytes"


def rounded(count: int) -> str:
    """A large number with three digits and an SI prefix, to be followed by its unit."""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= factor:
            digits = count / factor
            return f"{digits:.{2 if digits < 10 else 1 if digits < 100 else 0}f} {unit}"
    return f"{count} "


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def _axes(contract: Contract, name: str) -> tuple[object, ...]:
    """An output's axes after the batch axis, with names where the contract does not hold the sizes."""
    if name in contract.shapes:
        return contract.shapes[name]
    classes = len(contract.classes)
    return {"lengths": (classes,), "poses": (classes, "dim")}.get(name, ("...",))


def _measured(name: str, value: object) -> str:
    """A figure of a verdict as text; "" for a field that is no figure or was not measured."""
    if isinstance(value, Difference):
        return f"{_points(value.mean)} ({_points(value.low)} to {_points(value.high)})"
    if not isinstance(value, float):
        return ""
    return percent(value) if name in _SHARES else f"{value:.2g}"


def _limit(name: str, limit: float) -> str:
    if name == "error_change":
        return f"at most {_points(limit)}"
    return f"at least {percent(limit)}" if name == "top1_agreement" else f"at most {limit:g}"


def _points(change: float) -> str:
    """A change of an error in percentage points, with its sign."""
    return f"{100 * change:+.2f}"
