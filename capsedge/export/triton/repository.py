"""Writing a model atomically into a repository that a server may be reading."""

from pathlib import Path

from capsedge.contract import Contract
from capsedge.errors import ModelError
from capsedge.export.accepted import checked_name, name_of, plain_name
from capsedge.export.placing import TRITON, marked, subject_of, taking_place
from capsedge.export.triton.config import LABELS, Serving, model_config
from capsedge.export.triton.protobuf_text import protobuf_text
from capsedge.export.triton.source import Backend, ServableFile, read_source
from capsedge.files import write_atomically
from capsedge.runtime.tensorrt.manifest import manifest_path

VERSION = "1"

# The file name that each backend expects in a version's folder.
FILES = {"onnxruntime": "model.onnx", "python": "model.onnx", "tensorrt": "model.plan"}


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

    A model that capsedge wrote before is replaced, unless it was edited since. Other exports in the folder stay, such
    as a page; a folder with files that capsedge did not write is refused.

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
    name = plain_name(name_of(source.contract, suffix(source.backend))) if name is None else checked_name(name)
    labels = _labels(source.contract)
    subject = subject_of(source.contract.classes, source.contract.data)
    config = marked(_remarks(source) + protobuf_text(model_config(source, name, serving or Serving())), subject, "# ")
    with taking_place(folder, name, TRITON, subject) as made:
        for target, content in _version(source).items():
            write_atomically(made / VERSION / target, content)
        write_atomically(made / LABELS, labels)
        write_atomically(made / TRITON.main, config)
    return folder / name


def suffix(backend: Backend) -> str:
    """What distinguishes the models of a backend by name; "" for ONNX Runtime's."""
    return "" if backend == "onnxruntime" else backend


def _labels(contract: Contract) -> str:
    """The class names in the order of the lengths, one on each line, as Triton's LabelProvider reads them."""
    for name in contract.classes:
        if "\n" in name or "\r" in name:
            raise ModelError(
                f"the class name {name!r} has a line break, but Triton reads one name from each line", "rename it"
            )
    return "".join(f"{name}\n" for name in contract.classes)


def _remarks(source: ServableFile) -> str:
    """The remarks as comments."""
    return "".join(f"# {' '.join(remark.split())}\n" for remark in source.remarks)


def _version(source: ServableFile) -> dict[str, bytes]:
    """The files of the version's folder: the model, and what its backend or an operator needs beside it."""
    name = FILES[source.backend]
    files = {name: source.file.read_bytes()}
    if source.backend == "python":
        files["model.py"] = Path(__file__).with_name("python_model.py").read_bytes()
    if source.backend == "tensorrt":  # Triton ignores the manifest
        files[manifest_path(Path(name)).name] = manifest_path(source.file).read_bytes()
    return files
