"""The pages that `capsedge export --web` writes, of files that it exports or of a model that is exported already."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from capsedge.cli.console import next_command, print_json, say
from capsedge.errors import WrongUse
from capsedge.export.accepted import full_name, is_accepted, plain_name
from capsedge.export.placing import PAGE, check_place
from capsedge.export.web import write_page
from capsedge.export.web.library import library_folder
from capsedge.files import check_output_folder


class Pages:
    """A folder for pages, and where their library is.

    Attributes:
        folder: The folder.
        library: Folder with the package onnxruntime-web; None for the cache folder.
        written: The folders of the pages that were written.
    """

    def __init__(self, folder: Path, library: Path | None) -> None:
        check_output_folder(folder)
        self.folder, self.library = folder, library
        self.written: list[Path] = []

    def check_places(
        self, run: str, subject: str, precisions: Iterable[str], *, decoder: bool, beside: Iterable[Path]
    ) -> None:
        """Refuse what `write` would refuse, before the work of an export begins; see `check_place`."""
        for precision in precisions:
            name = plain_name(full_name(run, precision, decoder=decoder))
            check_place(self.folder, name, PAGE, subject, beside=beside)

    def find_library(self) -> None:
        """Get the library before the work of an export begins."""
        self.library = library_folder(self.library)

    def write(self, made: dict[str, Any]) -> str | None:
        """Write the page of an exported file, and return its folder; None if the file was not executed here."""
        if not is_accepted(made["contract"]):
            say(f"page: left out {made['model']}, which was not executed here")
            return None
        return self._write(Path(made["model"]))

    def write_ready(self, model: Path, *, alone: bool, as_json: bool) -> None:
        """Write the page of a model that is exported already.

        Args:
            model: Its file or name.
            alone: Whether no option of an export was given.
            as_json: Whether to print the page's folder as JSON.

        Raises:
            WrongUse: An option of an export was given.
        """
        if not alone:
            raise WrongUse(
                f"'{model}' is not a run's folder, so only --web, --web-runtime and --json apply",
                "give a run, or leave the other options out",
            )
        folder = self._write(str(model))
        if as_json:
            print_json({"web": folder})
        self.show_next()

    def show_next(self) -> None:
        """Print the command that serves the pages on this machine, by Python alone; it prints their address."""
        served = self.written[0] if len(self.written) == 1 else self.folder
        name = Path(sys.executable).name
        python = name if shutil.which(name) else sys.executable
        next_command(python, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(served))

    def _write(self, model: Path | str) -> str:
        folder = write_page(self.folder, model, library=self.library)
        say(f"page: {folder / PAGE.main}")
        self.written.append(folder)
        return str(folder)


def pages_in(folder: Path | None, library: Path | None) -> Pages | None:
    """The folder of `--web` with the one of `--web-runtime`; None if no pages are written.

    Raises:
        WrongUse: Only the second was given, or the folder cannot be written.
    """
    if folder is None and library is not None:
        raise WrongUse("--web-runtime applies to a page", "add --web FOLDER")
    return None if folder is None else Pages(folder, library)
