"""What Triton would read in a model's folder."""

from pathlib import Path

from tests.export.triton.conftest import parsed

# What a backend opens where the configuration names no file: Triton's docs/user_guide/model_repository.md.
DEFAULT_FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}


def served_file(folder: Path) -> Path:
    """The file that Triton would load: of the highest version, as the default policy has it."""
    config = parsed(folder)
    versions = [int(each.name) for each in folder.iterdir() if each.is_dir() and each.name.isdecimal()]
    return folder / str(max(versions)) / (config.default_model_filename or DEFAULT_FILES[config.backend])


def labels_of(folder: Path) -> list[str]:
    """The class names as Triton's LabelProvider gets them: std::getline until the end of the file."""
    config = parsed(folder)
    (file,) = [each.label_filename for each in config.output if each.label_filename]
    *names, rest = (folder / str(file)).read_bytes().decode().split("\n")
    assert rest == ""
    return names


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
