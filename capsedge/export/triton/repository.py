"""Writing a model atomically into a repository that a server may be reading."""

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

# The file name that each backend expects in a version's folder.
FILES = {"onnxruntime": "model.onnx", "python": "model.onnx", "tensorrt": "model.plan"}

# Characters that are valid in a URL, in a folder name and in a label of Triton's metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MARK = re.compile(r"# Written by capsedge \S+ \(sha256 of the rest: ([0-9a-f]{64})\)\n")


def write_repository(
    folder: Path,
    model: Path,
    *,
    name: str | None = None,
    serving: Serving | None = None,
    allow_unexecuted: bool = False,
    python: bool = False,
) -> Path:
    """Write `folder/name/` with config.pbtxt, labels.txt and the model as version 1.

    A folder that capsedge wrote before is replaced, unless it was edited since or has other files. A folder of
    another tool is not replaced.

    Args:
        folder: The repository, which may have other models; created if it is missing.
        model: An accepted ONNX file, or an engine of the classic TensorRT with its manifest.
        name: The model's name for clients; None for the run's name, plus the precision if it is not fp32.
        serving: How Triton runs the model; None for the defaults.
        allow_unexecuted: Whether an engine that the gate has not executed is allowed; its configuration then says so.
        python: Whether an ONNX file is for Triton's Python backend instead of its backend for ONNX Runtime.

    Returns:
        The model's folder.

    Raises:
        ModelError: The file was not accepted, was altered since, or is of a kind that Triton does not load.
        WrongUse: The name, the folder or the batch is invalid.
    """
    source = read_source(model, allow_unexecuted=allow_unexecuted, python=python)
    name = _default_name(source) if name is None else _checked(name)
    labels = _labels(source.contract)
    config = _marked(source, protobuf_text(model_config(source, name, serving or Serving())))
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=_beside(folder)) as staging:
        made = Path(staging, "new")
        for target, content in _version(source).items():
            write_atomically(made / VERSION / target, content)
        write_atomically(made / LABELS, labels)
        write_atomically(made / CONFIG, config)
        _replace_folder(made, folder / name, Path(staging, "old"))
    return folder / name


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise WrongUse(
            "model name: expected up to 128 of the letters a-z and A-Z, digits, '.', '_' and '-', starting with a "
            f"letter or a digit, since it is part of a URL, got {name!r}"
        )
    return name


def _default_name(source: ServableFile) -> str:
    """The run's name plus what distinguishes the run's models, in the characters that a name may have."""
    contract = source.contract
    precision = [] if contract.precision == "fp32" else [contract.precision]
    decoder = ["decoder"] if "reconstruction" in contract.outputs else []
    backend = [] if source.backend == "onnxruntime" else [source.backend]
    whole = "-".join([contract.name, *precision, *decoder, *backend])
    plain = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode()
    return _checked(re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:128])


def _labels(contract: Contract) -> str:
    """The class names in the order of the lengths, one on each line, as Triton's LabelProvider reads them."""
    for name in contract.classes:
        if "\n" in name or "\r" in name:
            raise ModelError(
                f"the class name {name!r} has a line break, but Triton reads one name from each line: rename it"
            )
    return "".join(f"{name}\n" for name in contract.classes)


def _marked(source: ServableFile, config: str) -> str:
    """The configuration after comments with the remarks, and after a first line with a hash that detects edits."""
    text = "".join(f"# {' '.join(remark.split())}\n" for remark in source.remarks) + config
    return f"# Written by capsedge {__version__} (sha256 of the rest: {_sha256(text)})\n{text}"


def _version(source: ServableFile) -> dict[str, bytes]:
    """The files of the version's folder: the model, and what its backend or an operator needs beside it."""
    name = FILES[source.backend]
    files = {name: source.file.read_bytes()}
    if source.backend == "python":
        files["model.py"] = Path(__file__).with_name("python_model.py").read_bytes()
    if source.backend == "tensorrt":  # Triton ignores the manifest
        files[manifest_path(Path(name)).name] = manifest_path(source.file).read_bytes()
    return files


def _beside(folder: Path) -> Path:
    """The folder for the staging folder: outside of the repository, where Triton takes every folder for a model."""
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"'{folder}' is a file, but a model repository is a folder: choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    parent = folder.resolve().parent
    if parent.stat().st_dev != folder.stat().st_dev:
        raise WrongUse(
            f"'{folder}' is a mount point, to which a model cannot be moved in one step: give a folder inside of it"
        )
    return parent


def _replace_folder(made: Path, target: Path, aside: Path) -> None:
    """Move a model's folder into the repository, in place of one that capsedge wrote before."""
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
    """Refuse to replace a folder that capsedge did not write, or that was changed since.

    Raises:
        WrongUse: Files or edits would be lost.
    """
    config = target / CONFIG
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    mark = _MARK.match(text)
    if mark is None:
        lost = f"'{target}' exists and was not written by capsedge"
    elif _sha256(text[mark.end() :]) != mark[1]:
        lost = f"'{config}' was edited since capsedge wrote it"
    elif others := sorted(each.name for each in target.iterdir() if each.name not in (CONFIG, LABELS, VERSION)):
        lost = f"'{target}' also has {', '.join(others)}"
    else:
        return
    raise WrongUse(f"{lost}: move it away, or give the model another name")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
