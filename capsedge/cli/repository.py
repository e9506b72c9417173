"""The model repository of Triton that `capsedge export --triton` fills."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from capsedge.cli.console import say
from capsedge.errors import WrongUse
from capsedge.export.accepted import full_name, plain_name
from capsedge.export.placing import TRITON, check_place
from capsedge.export.triton import write_repository
from capsedge.export.triton.repository import suffix
from capsedge.export.triton.source import Backend, to_serve
from capsedge.files import check_output_folder

if TYPE_CHECKING:
    from capsedge.contract import EngineManifest
    from capsedge.export import Exported


class Repository:
    """A model repository.

    Attributes:
        folder: Its folder.
        backends: The backends that its models may get: an engine that cannot be served gives way to the ONNX file.
    """

    def __init__(self, folder: Path, *, python: bool, engines: bool) -> None:
        check_output_folder(folder)
        self.folder = folder
        self.backends: tuple[Backend, ...] = ("python",) if python else ("onnxruntime",)
        if engines:
            self.backends = (*self.backends, "tensorrt")

    def check_places(
        self, run: str, subject: str, precisions: Iterable[str], *, decoder: bool, beside: Iterable[Path]
    ) -> None:
        """Refuse what `write` would refuse, before the work of an export begins; see `check_place`."""
        for precision in precisions:
            for backend in self.backends:
                name = plain_name(full_name(run, precision, decoder=decoder, backend=suffix(backend)))
                check_place(self.folder, name, TRITON, subject, beside=beside)

    def write(self, made: "Exported", engine: Path | None, manifest: "EngineManifest | None") -> str | None:
        """Write the model of an exported file, and return its folder; None if the file was not executed here."""
        source = to_serve(made.path, made.contract, engine, manifest)
        if source is None:
            say(f"Triton: left out '{made.path}', which was not executed here")
            return None
        folder = write_repository(self.folder, source, python="python" in self.backends)
        say(f"Triton: {folder}")
        return str(folder)


def repository_in(folder: Path | None, *, python: bool, engines: bool) -> Repository | None:
    """The repository of `--triton` with `--triton-python`; None if none is written.

    Raises:
        WrongUse: The options exclude each other, or the folder cannot be written.
    """
    if python and folder is None:
        raise WrongUse("--triton-python is for a model repository", "add --triton FOLDER")
    if python and engines:
        raise WrongUse("--triton-python serves the ONNX file, and --trt builds an engine", "leave out one of them")
    return None if folder is None else Repository(folder, python=python, engines=engines)
