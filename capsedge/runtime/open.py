"""Opening a model; the suffix of the file selects the runtime."""

import shlex
from itertools import chain
from pathlib import Path

from capsedge.errors import MissingExtra, ModelError, ProviderError, WrongUse
from capsedge.run_record import is_run
from capsedge.runtime.models import PLAIN, exports_in
from capsedge.runtime.ort.session import OrtSession
from capsedge.runtime.session import Session
from capsedge.runtime.settings import DEFAULTS, Settings


def open_session(path: str | Path, settings: Settings = DEFAULTS) -> Session:
    """Load a model with the runtime for its file type.

    Args:
        path: An `.onnx` file, a TensorRT `.engine`, or the folder of a run (`model_file`).
        settings: Provider and other options. An engine runs on TensorRT only, and of the others uses only
            `cuda_graph`.

    Raises:
        ModelError: The file is missing, damaged or of another kind.
        WrongUse: The folder has several exports, and none is its `model.onnx`.
        ProviderError: The requested hardware or library is not available.
        MissingExtra: No ONNX Runtime is installed, or OpenVINO is asked for and is not.
    """
    file = model_file(Path(path))
    if file.suffix == ".engine":
        if settings.provider not in (None, "tensorrt", "tensorrt-rtx"):
            wanted = f"cannot run on '{settings.provider}'"
            raise ProviderError(f"'{file}' is a TensorRT engine and {wanted}", "give the .onnx file")
        from capsedge.runtime.tensorrt.session import EngineSession  # an ONNX file does not need it

        return EngineSession(file, settings)
    if settings.provider == "openvino":
        from capsedge.runtime.openvino.session import OpenVinoSession  # ONNX Runtime does not need it

        return OpenVinoSession(file, settings)
    return OrtSession(file, settings)


def model_file(path: Path) -> Path:
    """Find the file to load: `path` itself, or in the folder of a run its `model.onnx` or else its only export.

    Raises:
        ModelError: There is no such file, or its suffix is not that of a model.
        WrongUse: The folder has several exports, and none is its `model.onnx`.
    """
    file = _export_of(path) if path.is_dir() else path
    if not file.is_file():
        if file.suffix == ".engine":
            from capsedge.runtime.tensorrt.manifest import manifest_path, ready

            if manifest_path(file).is_file():  # the manifest has the command that builds it
                try:
                    ready(file)
                except (ModelError, ProviderError, MissingExtra) as error:
                    raise ModelError(error.text, error.advice) from error
        raise ModelError(f"there is no model at '{path}'")
    if file.suffix not in (".onnx", ".engine"):
        raise ModelError(f"'{path}' must be an .onnx file, an .engine file or the folder of a run")
    return file


def _export_of(folder: Path) -> Path:
    exports = exports_in(folder)
    if not exports and not is_run(folder) and _has_images(folder):
        raise ModelError(
            f"the folder '{folder}' has images and no model",
            "give an .onnx file, an .engine file, the folder of a run or a model's name (capsedge models lists them)",
        )
    if not exports:
        raise ModelError(f"the folder '{folder}' holds no {PLAIN}", shlex.join(["capsedge", "export", str(folder)]))
    if len(exports) > 1 and exports[0].name != PLAIN:
        from capsedge.plural import quoted  # only for an error

        raise WrongUse(
            f"the folder '{folder}' holds no {PLAIN}, but several exports",
            f"name one of {quoted(exports)}",
        )
    return exports[0]


def _has_images(folder: Path) -> bool:
    """Whether a folder has images, in it or in its folders, as one for each class."""
    from capsedge.data.images import IMAGE_SUFFIXES  # only for an error

    files = chain(folder.glob("*"), folder.glob("*/*"))
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)
