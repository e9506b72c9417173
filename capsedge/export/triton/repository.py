"""Writing a model into a repository that a server may be reading: whole or not at all."""

import hashlib
import re
import tempfile
import unicodedata
from pathlib import Path

from capsedge.contract import Contract
from capsedge.errors import ModelError, WrongUse
from capsedge.export.triton.config import LABELS, Serving, model_config
from capsedge.export.triton.protobuf_text import protobuf_text
from capsedge.export.triton.source import ServableFile, read_source
from capsedge.files import write_atomically
from capsedge.runtime.tensorrt.manifest import manifest_path
from capsedge.version import __version__

CONFIG = "config.pbtxt"
VERSION = "1"

# The file that each backend looks for in a version's folder.
FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}

# What may stand in a URL, in the name of a folder and in a label of Triton's metrics alike.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MARK = re.compile(r"# Written by capsedge \S+ \(sha256 of the rest: ([0-9a-f]{64})\)\n")


def write_repository(
    folder: Path,
    model: Path,
    *,
    name: str | None = None,
    serving: Serving | None = None,
    allow_unexecuted: bool = False,
) -> Path:
    """Write `folder/name/` with config.pbtxt, labels.txt and the model as version 1.

    A folder that was written here before is replaced. One that was edited since, that holds more, or that somebody
    else wrote is left alone.

    Args:
        folder: The repository, which may hold other models; made where it is missing.
        model: An accepted ONNX file, or an engine of the classic TensorRT with its manifest.
        name: What clients call the model; None for the run's name, with the precision where it is not fp32.
        serving: How Triton shall run it; None for the defaults.
        allow_unexecuted: Whether an engine is taken that the gate has not seen run; its configuration says so then.

    Returns:
        The model's folder.

    Raises:
        ModelError: The file may not be served: not accepted, altered since, or of a kind that Triton does not load.
        WrongUse: The name, the place or the batch cannot be.
    """
    source = read_source(model, allow_unexecuted=allow_unexecuted)
    name = _default_name(source) if name is None else _checked(name)
    labels = _labels(source.contract)
    config = _marked(source, protobuf_text(model_config(source, name, serving or Serving())))
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=_beside(folder)) as staging:
        made = Path(staging, "new")
        for target, content in _version(source).items():
            write_atomically(made / VERSION / target, content)
        write_atomically(made / LABELS, labels)
        write_atomically(made / CONFIG, config)
        _take_the_place(made, folder / name, Path(staging, "old"))
    return folder / name


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise WrongUse(
            "model name: expected up to 128 of the letters a-z and A-Z, digits, '.', '_' and '-', beginning with a "
            f"letter or a digit, since it is part of a URL, got {name!r}"
        )
    return name


def _default_name(source: ServableFile) -> str:
    """The run's name, and what tells the model from others of the run, in the letters that a name may have."""
    contract = source.contract
    precision = [] if contract.precision == "fp32" else [contract.precision]
    decoder = ["decoder"] if "reconstruction" in contract.outputs else []
    whole = "-".join([contract.name, *precision, *decoder, *(["tensorrt"] if source.backend == "tensorrt" else [])])
    plain = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode()
    return _checked(re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:128])


def _labels(contract: Contract) -> str:
    """The class names in the order of the lengths, one a line: so Triton's LabelProvider reads them."""
    for name in contract.classes:
        if "\n" in name or "\r" in name:
            raise ModelError(f"the class name {name!r} holds a line break, and Triton reads a name a line: rename it")
    return "".join(f"{name}\n" for name in contract.classes)


def _marked(source: ServableFile, config: str) -> str:
    """The configuration below what a person should know, and a first line by which a later edit is noticed."""
    text = "".join(f"# {' '.join(remark.split())}\n" for remark in source.remarks) + config
    return f"# Written by capsedge {__version__} (sha256 of the rest: {_sha256(text)})\n{text}"


def _version(source: ServableFile) -> dict[str, bytes]:
    """The files of the version's folder: the model, and beside an engine its manifest, which Triton ignores."""
    name = FILES[source.backend]
    files = {name: source.file.read_bytes()}
    if source.backend == "tensorrt":
        files[manifest_path(Path(name)).name] = manifest_path(source.file).read_bytes()
    return files


def _beside(folder: Path) -> Path:
    """Where the model is made before it moves: not in the repository, where any folder is a model to Triton."""
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"'{folder}' is a file, and a model repository is a folder: give another place")
    folder.mkdir(parents=True, exist_ok=True)
    parent = folder.resolve().parent
    if parent.stat().st_dev != folder.stat().st_dev:
        raise WrongUse(
            f"'{folder}' is a disk of its own, to which no model can move in one step: give a folder inside of it"
        )
    return parent


def _take_the_place(made: Path, target: Path, aside: Path) -> None:
    """Move a model's folder to where a server looks, in place of one that was written here before."""
    if not target.exists():
        made.rename(target)
        return
    if not target.is_dir() or any(target.iterdir()):
        _refuse_to_lose(target)
    target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _refuse_to_lose(target: Path) -> None:
    """Refuse to replace what was not written here, or is more than what was.

    Raises:
        WrongUse: Something would be lost.
    """
    config = target / CONFIG
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    mark = _MARK.match(text)
    if mark is None:
        lost = f"'{target}' is there and was not written by capsedge"
    elif _sha256(text[mark.end() :]) != mark[1]:
        lost = f"'{config}' was edited since capsedge wrote it"
    elif others := sorted(each.name for each in target.iterdir() if each.name not in (CONFIG, LABELS, VERSION)):
        lost = f"'{target}' holds {', '.join(others)} as well"
    else:
        return
    raise WrongUse(f"{lost}: move it away, or give the model another name")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
