"""The metadata at the head of a card, which model hubs read to list, filter and compare models.

The keys are those of the Hugging Face Hub's model cards. Their YAML has block mappings and lists, whose scalars are
written as JSON, which YAML 1.2 contains; so no YAML package is needed, and no name can be read as another type.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from capsedge.errors import WrongUse
from capsedge.outside import one_line

TASK = "image-classification"
LIBRARY = "onnx"
TAGS = ("capsule-network", "onnx", "capsedge")
_HUB = {  # data sets that the hub has, by their name here; a subset's errors are not to be compared with theirs
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
    "cifar-10": "uoft-cs/cifar10",
}


class FileError(msgspec.Struct, frozen=True):
    """The error of one file on the test images.

    Attributes:
        file: Name of the file.
        error: Share of wrong answers, 0 to 1.
    """

    file: str
    error: float


def header(name: str, *, source: str, title: str, license: str | None, errors: Sequence[FileError]) -> str:
    """The header, between its two lines of dashes.

    Args:
        name: Name of the model.
        source: Known name of the data set, or anything else for images of the user.
        title: Title of the data set.
        license: Identifier of the licence; None to leave the key out, which a hub shows as no licence.
        errors: The files' errors on the test images.
    """
    on_hub = _HUB.get(source)
    metrics = [
        {"type": "accuracy", "name": f"Accuracy, {each.file}", "value": round(1 - each.error, 6)} for each in errors
    ]
    result = {
        "task": {"type": TASK},
        "dataset": {"type": on_hub or _identifier(title), "name": one_line(title), "split": "test"},
        "metrics": metrics,
    }
    values = {
        **({} if license is None else {"license": license}),
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": list(TAGS),
        **({} if on_hub is None else {"datasets": [on_hub]}),
        "metrics": ["accuracy"],
        "model-index": [{"name": one_line(name), "results": [result]}],
    }
    return "\n".join(["---", *_lines(values), "---"])


def checked_license(text: str) -> str:
    """The identifier of a licence as hubs write it, in lower case.

    Raises:
        WrongUse: It is not an identifier.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", text):
        raise WrongUse(f"--license: expected an identifier such as apache-2.0, mit, cc-by-4.0 or other, got '{text}'")
    return text.lower()


def _identifier(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "images"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    """A block mapping."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines(value))
        elif isinstance(value, list):
            yield f"{key}:"
            yield from (f"  {line}" for each in value for line in _item(each))
        else:
            yield f"{key}: {_scalar(value)}"


def _item(value: Any) -> Iterator[str]:
    """An item of a block list."""
    if not isinstance(value, Mapping):
        yield f"- {_scalar(value)}"
        return
    for number, line in enumerate(_lines(value)):
        yield f"{'  ' if number else '- '}{line}"


def _scalar(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False)
