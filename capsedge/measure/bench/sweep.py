"""Measure a grid: each model in each precision and with each setting, at each batch."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from msgspec.structs import replace

from capsedge.contract import PRECISIONS
from capsedge.errors import WrongUse, nearest, refuse_text
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import MOST_IMAGES, Plan
from capsedge.measure.bench.report import Group
from capsedge.runtime.models import PLAIN, find_model, in_precision, is_export
from capsedge.runtime.open import model_file, open_session
from capsedge.runtime.providers import Provider
from capsedge.runtime.settings import GraphLevel, Settings

Axes = Mapping[str, tuple[Any, ...]]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Variant:
    """One model with the settings to measure it with.

    Attributes:
        label: Name in the report, unique among the variants.
        file: The file to load.
        settings: Settings to open it with, without the batch.
    """

    label: str
    file: Path
    settings: Settings


def parse_axes(texts: Sequence[str]) -> Axes:
    """Parse axes such as `batch=1,8` or `precision=fp32,int8`; values keep the order given.

    Raises:
        WrongUse: A text is not an axis, an axis does not exist or is repeated, or a value is not valid for it.
    """
    refuse_text(texts, "sweeps")
    axes: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise WrongUse(f"expected a sweep as name=value,value such as batch=1,8, got '{text}'")
        if name not in _READERS:
            raise WrongUse(f"there is no sweep over '{name}'", nearest(name, _READERS))
        if name in axes:
            raise WrongUse(f"the sweep over '{name}' was given twice", "put all its values into one")
        axes[name] = tuple(dict.fromkeys(_read(name, value) for value in values.split(",")))
    return axes


def variants(models: Sequence[str], settings: Settings, axes: Axes) -> list[Variant]:
    """Variants of a group: every model with every combination of the axes other than the batch.

    Args:
        models: Names or paths; an empty sequence is the default model.
        settings: Settings that the axes do not set.
        axes: See `parse_axes`.

    Raises:
        WrongUse: A model does not exist, or an axis has no effect on it.
        ModelError: A file, or a precision of it, is missing.
    """
    names = [name for name in axes if name != "batch"]
    found = [
        _variant(model, settings, dict(zip(names, values, strict=True)))
        for model in models or (None,)
        for values in product(*(axes[name] for name in names))
    ]
    return _with_unique_labels(found)


def sweep(
    laid_out: Sequence[Variant],
    plan: Plan,
    batches: Sequence[int],
    *,
    done: Sequence[Group] = (),
    keep: Callable[[tuple[Group, ...]], None] = lambda _: None,
    progress: Progress = lambda _: None,
) -> tuple[Group, ...]:
    """Measure the variants together, at one batch after the other.

    Args:
        laid_out: See `variants`.
        plan: The plan; its batch is replaced.
        batches: Images in a query.
        done: Groups of an interrupted command: finished ones are not measured again, an unfinished one continues.
        keep: Called with all groups so far, after each group and about every ten seconds within one; the last group
            is then unfinished.
        progress: Called with the completed share, 0 to 1.

    Raises:
        CapsedgeError: A model cannot be opened, does not accept a batch, or fails.
    """
    groups = {group.batch: group for group in done if group.batch in batches}
    todo = [batch for batch in batches if batch not in groups or groups[batch].unfinished]

    def kept(group: Group) -> None:
        groups[group.batch] = group
        keep(tuple(groups[each] for each in batches if each in groups))

    for index, batch in enumerate(todo):
        part = _part_of(progress, index, len(todo))
        kept(_group(laid_out, replace(plan, batch=batch), groups.get(batch), kept, part))
    return tuple(groups[batch] for batch in batches)


def _group(
    laid_out: Sequence[Variant], plan: Plan, earlier: Group | None, keep: Callable[[Group], None], progress: Progress
) -> Group:
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(open_session(variant.file, replace(variant.settings, batch=plan.images)))
            for variant in laid_out
        ]
        labels = [variant.label for variant in laid_out]
        return measure(sessions, plan, labels=labels, earlier=earlier, keep=keep, progress=progress)


def _part_of(progress: Progress, index: int, count: int) -> Progress:
    return lambda share: progress((index + share) / count)


def _variant(model: str | None, settings: Settings, chosen: Mapping[str, Any]) -> Variant:
    file = find_model(model)
    if "precision" in chosen:
        path, base = file, file / PLAIN if file.is_dir() else model_file(file)
        file = in_precision(base, chosen["precision"])
        if path == Path(model or ""):  # a path, not a name such as `fashion-mnist`
            model = str(in_precision(base, "fp32", must_exist=False))
    _check_effect(file, settings, chosen)
    fields = {name.replace("-", "_"): value for name, value in chosen.items() if name != "precision"}
    label = " ".join([_model_label(model, file), *(_value_label(name, value) for name, value in chosen.items())])
    return Variant(label, file, replace(settings, **fields))


def _model_label(model: str | None, file: Path) -> str:
    """The model as given on the command line, without a trailing `/model.onnx`."""
    if not model and not is_export(file):
        return file.stem
    named = str(Path(model or file))  # removes a leading ./ and a trailing /
    return named.removesuffix("/model.onnx")


def _check_effect(file: Path, settings: Settings, chosen: Mapping[str, Any]) -> None:
    """Refuse an axis that changes nothing for this model, or other settings too: its ratios would be misleading."""
    engine = file.suffix == ".engine"
    if without_effect := chosen.keys() & (_OF_ONNX if engine else _OF_ENGINES):
        kind = "an engine" if engine else "not an engine"
        raise WrongUse(
            f"a sweep over '{min(without_effect)}' has no effect on '{file}', which is {kind}",
            "remove the sweep or the model",
        )
    on_openvino = not engine and chosen.get("provider", settings.provider) == "openvino"
    if on_openvino and (without_effect := chosen.keys() & _OF_ONNX_RUNTIME):
        raise WrongUse(
            f"a sweep over '{min(without_effect)}' has no effect on OpenVINO", "remove the sweep or the provider"
        )
    if "spinning" in chosen and not chosen.get("threads", settings.threads):
        raise WrongUse(
            "a sweep over 'spinning' needs --threads N or a sweep over threads from 1: otherwise capsedge chooses "
            "the number of threads, and chooses another one without spinning"
        )


def _value_label(name: str, value: Any) -> str:
    if (name, value) == ("threads", 0):
        return "threads as chosen"
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return str(value) if name in ("precision", "provider") else f"{name} {value}"


def _with_unique_labels(found: Sequence[Variant]) -> list[Variant]:
    """Number repeated labels: a model may be given twice, to see the noise of the machine."""
    seen: dict[str, int] = {}

    def numbered() -> Iterator[Variant]:
        for variant in found:
            seen[variant.label] = count = seen.get(variant.label, 0) + 1
            yield variant if count == 1 else Variant(f"{variant.label} ({count})", variant.file, variant.settings)

    return list(numbered())


def _read(name: str, text: str) -> Any:
    read, wanted = _READERS[name]
    value = read(text)
    if value is None:
        raise WrongUse(f"expected {wanted} for a sweep over '{name}', got '{text}'")
    return value


def _integer(least: int, most: int) -> Callable[[str], int | None]:
    return lambda text: int(text) if re.fullmatch("[0-9]{1,7}", text) and least <= int(text) <= most else None


def _one_of(known: Sequence[str]) -> tuple[Callable[[str], str | None], str]:
    return (lambda text: text if text in known else None), ", ".join(known)


def _yes_or_no(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text)


_OF_ENGINES = {"cuda-graph"}
_OF_ONNX_RUNTIME = {"graph", "io-binding", "spinning"}
_OF_ONNX = {"threads", "spinning", "graph", "io-binding", "provider"}

# The parser of each axis (it returns None for an invalid value), and its valid values for the error.
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "batch": (_integer(1, MOST_IMAGES), f"integers from 1 to {MOST_IMAGES:,}"),
    "threads": (_integer(0, 256), "integers from 0 (automatic) to 256"),
    "precision": _one_of(PRECISIONS),
    "provider": _one_of(get_args(Provider)),
    "graph": _one_of(get_args(GraphLevel)),
    "spinning": (_yes_or_no, "yes or no"),
    "io-binding": (_yes_or_no, "yes or no"),
    "cuda-graph": (_yes_or_no, "yes or no"),
}
AXES = tuple(_READERS)  # names that a sweep can have
