"""Finding a model by path or name: a file, a run's folder, a built-in model, or a model of the zoo.

The zoo is a folder of trained models outside the wheel: $CAPSEDGE_ZOO, or `zoo/` of the checkout that contains this
package. The wheel contains the zoo's index with the SHA-256 of each file, so that every installation can list the
models and refuses a file with another hash. Nothing is downloaded.
"""

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from capsedge.contract import METADATA_KEY, PRECISIONS, Contract, Precision, decode
from capsedge.errors import ModelError, WrongUse, nearest
from capsedge.files import RUN_FILE, sha256_of
from capsedge.onnx_lite.file import REINSTALL, read_metadata
from capsedge.records import DamagedRecord, decoded
from capsedge.run_record import RUNS, newest_runs, read_record
from capsedge.runtime.tensorrt.manifest import manifest_path

DEFAULT_MODEL = "fashion-mnist"
BUILTIN_NAME = "builtin"  # names the default model even where `runs/` has exports
PLAIN = "model.onnx"  # the export that the path of a run's folder stands for
BUILTIN = Path(__file__).parent.parent / "builtin"
INDEX = "zoo.json"  # in the same folder
ZOO_VARIABLE = "CAPSEDGE_ZOO"


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a listed model.

    Attributes:
        file: Its name in the model's folder.
        precision: `Contract.precision`.
        size_bytes: Its size.
        sha256: Of the whole file.
        test_error: Share of wrong answers on the test images, 0 to 1; None where its contract has no test score.
    """

    file: str
    precision: str
    size_bytes: int
    sha256: str
    test_error: float | None


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the zoo's index lists it.

    Attributes:
        name: Name of its folder in the zoo, and its name for `--model`.
        data: The data set that it was trained and tested on.
        test_images: Number of test images behind the errors.
        parameters: `Contract.parameters`.
        macs: Multiply-accumulate operations for one image.
        files: Its files; the name without a precision stands for the first.
    """

    name: str
    data: str
    test_images: int
    parameters: int
    macs: int
    files: tuple[ModelFile, ...]


class Available(ListedModel, frozen=True, kw_only=True):
    """A model, and whether it is on this machine.

    Attributes:
        origin: Whether it is in the wheel or in the zoo.
        folder: Folder of its files; None where they are not on this machine.
        altered: Names of files whose SHA-256 differs from the index.
    """

    origin: Literal["built in", "zoo"]
    folder: str | None
    altered: tuple[str, ...] = ()


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """The content of zoo.json; `benchmarks.card.index` writes it."""

    schema: Literal[1] = 1
    models: tuple[ListedModel, ...] = ()


def builtin_models() -> dict[str, Path]:
    """The built-in models by name."""
    return {file.stem: file for file in sorted(BUILTIN.glob("*.onnx"))}


def own_names() -> list[str]:
    """Names of the built-in models, with `builtin` for the default one."""
    names = list(builtin_models())
    return [BUILTIN_NAME, *names] if DEFAULT_MODEL in names else names


def known_names() -> list[str]:
    """All names that `find_model` knows, also of files that are not on this machine; none of a damaged index."""
    names = own_names()
    with suppress(ModelError):
        names += _zoo_files()
    return names


def is_shipped(file: Path) -> bool:
    """Whether a file is a built-in model or one of the zoo, by whatever path."""
    folder, zoo = file.resolve().parent, zoo_folder()
    return folder == BUILTIN.resolve() or (zoo is not None and folder.parent == zoo.resolve())


def zoo_folder() -> Path | None:
    """The zoo's folder, which need not exist; None without the variable and outside a checkout."""
    if own := os.environ.get(ZOO_VARIABLE):
        return Path(os.path.expanduser(own)).absolute()  # noqa: PTH111  pathlib raises where `~name` is unknown
    checkout = Path(__file__).parents[2]
    return checkout / "zoo" if (checkout / "pyproject.toml").is_file() else None


def how_to_get_zoo() -> str:
    """What to do about models of the zoo that are not here; names the zoo of a checkout that the user is in."""
    if zoo := zoo_folder():
        return f"put them into '{zoo}', or set {ZOO_VARIABLE} to another folder"
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "capsedge" / BUILTIN.name / INDEX).is_file() and (folder / "zoo").is_dir():
            return f"export {ZOO_VARIABLE}={shlex.quote(str(folder / 'zoo'))}"
    return f"clone capsedge's repository, and set {ZOO_VARIABLE} to its folder zoo"


def zoo_index() -> tuple[ListedModel, ...]:
    """The models of the zoo, on this machine or not; empty where this installation has no index.

    Raises:
        ModelError: The index is damaged.
    """
    file = BUILTIN / INDEX
    try:
        return decoded(file.read_bytes(), Index).models
    except FileNotFoundError:
        return ()
    except DamagedRecord as error:
        raise ModelError(f"'{file}' is damaged ({error})", REINSTALL) from error


def model_names(incomplete: str = "") -> list[str]:
    """Completions for `--model`: built-in models, and models of the zoo that are on this machine."""
    here = [name for name, (model, file) in _zoo_files().items() if (path := _place(model, file)) and path.is_file()]
    return [name for name in (*own_names(), *here) if name.startswith(incomplete)]


def list_models() -> list[Available]:
    """All models with a name: the built-in ones, then the zoo's.

    Raises:
        ModelError: The index or a built-in model is damaged.
    """
    built_in = [_builtin(name, file) for name, file in builtin_models().items()]
    return [*built_in, *(_available(model) for model in zoo_index())]


def find_model(model: str | Path | None = None) -> Path:
    """Find a model by its path or its name.

    Args:
        model: Path of a file or of a run's folder; the name of a built-in model; the name of a model of the zoo
            (`edge-small`, or `edge-small.int8` for its file in a precision); `builtin` for the default model; or None
            for the newest export in `runs/`, or else the default model. Where a model of the name is on this machine,
            the name has precedence over a file of the same name: write `./name` for the file.

    Raises:
        WrongUse: There is no such name, or it is empty.
        ModelError: There is no such file; the zoo's model is not on this machine, or its file differs from the
            index; or None was given, and this installation lacks the default model.
    """
    builtin = builtin_models()
    if model == "":
        raise WrongUse("expected a model's file, folder or name, got an empty text")
    if model is None and (exported := newest_export()):
        return exported
    if model in (None, BUILTIN_NAME):
        if DEFAULT_MODEL not in builtin:
            raise ModelError(f"this installation lacks the built-in model '{DEFAULT_MODEL}'", "give a model's path")
        return builtin[DEFAULT_MODEL]
    name = str(model)
    if name in builtin:
        return builtin[name]
    listed = _zoo_files()
    if name in listed and (file := _place(*listed[name])) and file.is_file():
        return _as_listed(file)
    if Path(model).exists() or manifest_path(Path(model)).exists():  # an engine that is not built yet has a manifest
        return Path(model)
    if name in listed:
        raise ModelError(f"the model '{name}' is not on this machine", how_to_get_zoo())
    if Path(name).name != name or Path(name).suffix in (".onnx", ".engine"):  # a path and not a name
        raise ModelError(f"there is no file or folder '{model}'")
    known = [*own_names(), *(each.name for each in zoo_index())]
    raise WrongUse(f"there is no file and no model '{model}'", nearest(name, known))


def exports_in(folder: Path) -> list[Path]:
    """The exported files of a folder, `model.onnx` before those in other precisions.

    Files that the gate rejected and files that are still being written have other names.
    """
    files = (file for file in folder.glob("model*.onnx") if file.is_file())
    return sorted(files, key=lambda file: (file.name != PLAIN, file.name))


def newest_export(root: Path = RUNS) -> Path | None:
    """The newest exported file of all runs; where its run has a `model.onnx`, that file."""
    files = [file for run in newest_runs(root) for file in exports_in(run)]
    newest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
    if newest is None:
        return None
    plain = newest.with_name(PLAIN)
    return plain if plain.is_file() else newest


def is_export(file: Path) -> bool:
    """Whether a file lies in the folder of a run in `runs/`, where `newest_export` searches."""
    return file.parent.parent == RUNS


def unexported_since(file: Path | None, root: Path = RUNS) -> Path | None:
    """The newest run that finished after a file was exported, or at any time, and has no export itself."""
    since = file.stat().st_mtime_ns if file else 0
    for run in newest_runs(root):
        if (run / RUN_FILE).stat().st_mtime_ns <= since:
            return None
        with suppress(ModelError):  # commands on that run report it
            if not any(run.glob("*.onnx")) and read_record(run).status == "finished":
                return run
    return None


def in_precision(file: Path, precision: Precision, *, must_exist: bool = True) -> Path:
    """Find the same model in another precision: `model.int8.onnx` beside `model.onnx`, as an export names them.

    A built-in model may be a single file in any precision, which is read from its contract.

    Raises:
        ModelError: There is no such file, or the zoo's file differs from the index.
    """
    stem = _stem(file)[0]
    wanted = file.with_name(stem + ("" if precision == "fp32" else f".{precision}") + file.suffix)
    if not must_exist:
        return wanted
    advice = f"capsedge export RUN --precision {precision} makes one of a run"
    if file.parent == BUILTIN:
        own = {_contract(each).precision: each for each in (wanted, file) if each.is_file()}
        if precision not in own:
            raise ModelError(f"the built-in model comes in {' and '.join(own)} only", advice)
        return own[precision]
    if not wanted.is_file():
        raise ModelError(f"there is no '{wanted}'", advice)
    return _as_listed(wanted)


def title(file: Path) -> str:
    """A model's name for people: the path as given, or the name of a built-in model or a model of the zoo."""
    if file.parent == BUILTIN:
        return f"{file.stem} (built in)"
    if file.parent.parent == zoo_folder():
        return f"{' '.join([file.parent.name, *_stem(file)[1:]])} (zoo)"
    return str(file)


def _stem(file: Path) -> list[str]:
    """A file's name without its suffixes, then its precision if it has one: `model.int8.onnx`."""
    precision = next((each for each in PRECISIONS if file.stem.endswith(f".{each}")), None)
    return [file.stem] if precision is None else [file.stem.removesuffix(f".{precision}"), precision]


def _zoo_files() -> dict[str, tuple[ListedModel, ModelFile]]:
    """The zoo's files by their names for `--model`."""
    files = {model.name: (model, model.files[0]) for model in zoo_index()}
    return files | {f"{model.name}.{file.precision}": (model, file) for model in zoo_index() for file in model.files}


def _place(model: ListedModel, file: ModelFile) -> Path | None:
    zoo = zoo_folder()
    return None if zoo is None else zoo / model.name / file.file


def _as_listed(path: Path) -> Path:
    """Refuse a file of the zoo whose hash differs from the index; return any other path unchanged."""
    if path.parent.parent != zoo_folder():
        return path
    for model in zoo_index():
        for file in model.files:
            if _place(model, file) == path and sha256_of(path) != file.sha256:
                raise ModelError(
                    f"'{path}' is not the file that this capsedge lists, its SHA-256 differs",
                    "restore it with git, and use the zoo and the capsedge of one commit",
                )
    return path


def _available(model: ListedModel) -> Available:
    places = {file: place for file in model.files if (place := _place(model, file)) and place.is_file()}
    altered = tuple(file.file for file, place in places.items() if sha256_of(place) != file.sha256)
    folder = next((str(place.parent) for place in places.values()), None)
    return Available(**msgspec.structs.asdict(model), origin="zoo", folder=folder, altered=altered)


def _builtin(name: str, file: Path) -> Available:
    """A built-in model with the facts of its contract."""
    contract = _contract(file)
    tested = [score for score in contract.scores if (score.stage, score.split) == (contract.precision, "test")]
    return Available(
        name=name,
        data=contract.dataset,
        test_images=tested[0].images if tested else 0,
        parameters=contract.parameters,
        macs=contract.flops // 2,
        files=(
            ModelFile(
                file=file.name,
                precision=contract.precision,
                size_bytes=file.stat().st_size,
                sha256=sha256_of(file),
                test_error=tested[0].error if tested else None,
            ),
        ),
        origin="built in",
        folder=str(file.parent),
    )


def _contract(file: Path) -> Contract:
    return decode(read_metadata(file).get(METADATA_KEY, "{}"), Contract, source=str(file))
