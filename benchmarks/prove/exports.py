"""The steps of export: each precision, held against the network by the gate on ONNX Runtime's CPU provider."""

import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from benchmarks.prove.place import DECODER, DYNAMIC, Place
from benchmarks.prove.record import Failed, Found, NotPossible
from capsedge.contract import Contract, Precision, Verdict


class _File(msgspec.Struct, frozen=True):
    model: str
    contract: Contract


class _Exported(msgspec.Struct, frozen=True):
    """What `capsedge export --json` prints, as far as it is needed here."""

    exported: tuple[_File, ...]
    failed: tuple[dict[str, str], ...]


def collapsed(place: Place, precisions: tuple[Precision, ...]) -> Iterator[Found]:
    """Export the network in some precisions."""
    said = place.capsedge("export", place.run_of("fp32"), "--precision", ",".join(precisions), "--json")
    given = said.printed(_Exported)
    files = {file.contract.precision: file for file in given.exported}  # as each was read back
    failures = (each["text"] for each in given.failed)  # in the order of the precisions that were asked for
    for precision in precisions:
        if precision in files:
            yield _found(place, files[precision], precision, what=precision)
        else:
            reason = next(failures, f"there is no file in {precision}, but in {', '.join(files)}")
            yield Found(reason, status="failed", what=precision)


def with_decoder(place: Place) -> Iterator[Found]:
    """Export the network with its decoder, whose reconstruction is a third output."""
    run = place.run_of(DECODER)
    recipe = tomllib.loads((place.out / run / "recipe.toml").read_text(encoding="utf-8"))
    if not recipe["network"]["decoder"]:
        raise NotPossible("the network has no decoder")
    yield _one(place, DECODER, "--with-decoder", "--output", f"{run}/decoder.onnx")


def dynamic(place: Place) -> Iterator[Found]:
    """Export dynamic routing, unrolled, in fp32."""
    yield _one(place, DYNAMIC)


def _one(place: Place, label: str, *words: str) -> Found:
    given = place.capsedge("export", place.run_of(label), *words, "--json").answer(_Exported)
    return _found(place, given.exported[0], label)


def _found(place: Place, file: _File, label: str, *, what: str = "") -> Found:
    contract, verdict = file.contract, file.contract.verdict
    if verdict is None:
        raise Failed(f"'{file.model}' was not judged")
    place.files[label] = file.model
    size_mb = (place.out / file.model).stat().st_size / 1e6
    shares = {kind: share.flops for kind, share in contract.shares.items()}
    data = {**figures(verdict), "size_mb": size_mb, "flops_in": shares, "calibration": contract.calibration}
    data["scores"] = msgspec.to_builtins(contract.scores)
    if verdict.status != "accepted":  # a rejected file is no file
        return Found(f"{'; '.join(verdict.remarks)}: {described(verdict)}", data, "not possible here", what)
    return Found(f"{size_mb:.2f} MB, {described(verdict)}", data, what=what)


def figures(verdict: Verdict) -> dict[str, Any]:
    """A verdict's figures for the JSON, without what is always the same."""
    values: dict[str, Any] = msgspec.to_builtins(verdict)
    return values


def described(verdict: Verdict) -> str:
    """A verdict's figures in words."""
    parts = []
    if verdict.largest_length_difference is not None and verdict.mean_length_difference is not None:
        largest, mean = verdict.largest_length_difference, verdict.mean_length_difference
        parts.append(f"a length differs by {largest:.1e} at most, {mean:.1e} on average")
    if verdict.error is not None:
        parts.append(f"error {100 * verdict.error:.2f} %")
    if verdict.error_change is not None:
        change = verdict.error_change
        parts.append(f"{100 * change.mean:+.2f} points ({100 * change.low:+.2f} to {100 * change.high:+.2f})")
    return ", ".join(parts)
