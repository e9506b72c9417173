"""Finding the model that a person means: a file, a run, or one that came with capsedge."""

from pathlib import Path

from capsedge.contract import PRECISIONS, Precision
from capsedge.errors import ModelError, WrongUse, nearest
from capsedge.runtime.tensorrt.manifest import manifest_path

DEFAULT_MODEL = "fashion-mnist"
BUILTIN = Path(__file__).parent.parent / "builtin"


def builtin_models() -> dict[str, Path]:
    """List the models that came with capsedge, by name."""
    return {file.stem: file for file in sorted(BUILTIN.glob("*.onnx"))}


def find_model(model: str | Path | None = None) -> Path:
    """Find a model by its path or its name.

    Args:
        model: Path of a file or of a run's folder, the name of a built-in model, or None for the default one. A
            name wins over a file of the same name: write `./name` for the file.

    Raises:
        WrongUse: There is neither such a file nor such a built-in model.
        ModelError: None was given, and this installation came without the default model.
    """
    builtin = builtin_models()
    if model == "":
        raise WrongUse("the name of a model is empty: give a file, a run's folder or a built-in model's name")
    if model is None:
        if DEFAULT_MODEL not in builtin:
            raise ModelError(f"this capsedge came without its model '{DEFAULT_MODEL}': give a model's path")
        return builtin[DEFAULT_MODEL]
    if str(model) in builtin:
        return builtin[str(model)]
    if Path(model).exists() or manifest_path(Path(model)).exists():  # an engine that is not built yet has the latter
        return Path(model)
    raise WrongUse(f"there is no file and no built-in model '{model}'; {nearest(str(model), builtin)}")


def in_precision(file: Path, precision: Precision, *, must_exist: bool = True) -> Path:
    """Find the same model in another precision: `model.int8.onnx` beside `model.onnx`, as an export names them.

    Raises:
        ModelError: There is no such file.
    """
    stem = file.stem.removesuffix(next((f".{each}" for each in PRECISIONS if file.stem.endswith(f".{each}")), ""))
    wanted = file.with_name(stem + ("" if precision == "fp32" else f".{precision}") + file.suffix)
    if must_exist and not wanted.is_file():
        what = "the built-in model comes in fp32 only" if file.parent == BUILTIN else f"there is no '{wanted}'"
        raise ModelError(f"{what}: capsedge export RUN --precision {precision} makes one of a run")
    return wanted


def title(file: Path) -> str:
    """Name a model for people: the path as it was given, or the name of a built-in one."""
    return f"{file.stem} (built in)" if file.parent == BUILTIN else str(file)
