"""The files of ONNX Runtime Web, which the wheel does not carry: from a folder, the cache, or the user's npm.

One release is used, and each file has its SHA-256 here: the page that is written depends on nothing else.
"""

import gzip
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from capsedge.data.known import cache_folder
from capsedge.errors import MissingExtra, ModelError
from capsedge.files import replacing, sha256_of

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"


class Part(NamedTuple):
    """A file of the package's folder `dist`."""

    name: str
    sha256: str


# For each back end the library, and the WebAssembly that it runs. That of WebGPU is twice as large.
WASM = (
    Part("ort.wasm.bundle.min.mjs", "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    Part("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
)
WEBGPU = (
    Part("ort.webgpu.bundle.min.mjs", "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2"),
    Part("ort-wasm-simd-threaded.asyncify.wasm", "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"),
)
_PARTS = (*WASM, *WEBGPU)
# Where the files are below a folder that a user names: the package's own, a node_modules, or what has one.
_BELOW = ("", "dist", f"{PACKAGE}/dist", f"node_modules/{PACKAGE}/dist")
_SECONDS = 600
_LARGEST_BYTES = 64 * 1024 * 1024  # of a file; the largest that is used has 27 MB
_SAID = re.compile(r"npm (?:error|ERR!) +(.*)")  # npm 10 and later, and before


def library_folder(given: Path | None = None) -> Path:
    """The folder with the files of the pinned release, all with the right hash.

    Args:
        given: A folder with the package; None for the cache folder, which npm fills where it is incomplete.

    Raises:
        ModelError: The given folder is missing, or does not have the files of this release; or npm failed, or its
            package has other files.
        MissingExtra: npm is needed and not installed.
    """
    if given is not None:
        return _in_folder(given)
    cached = cache_folder() / PACKAGE / VERSION
    if _differing(cached):
        _fetch(cached)
    return cached


def _in_folder(given: Path) -> Path:
    if not given.is_dir():
        raise ModelError(f"--web-runtime: there is no folder '{given}'")
    folder = next((found for below in _BELOW if (found := given / below) and (found / WASM[0].name).is_file()), None)
    if folder is None:
        raise ModelError(
            f"expected {PACKAGE} {VERSION} in '{given}', and there is no {WASM[0].name}",
            f"in a folder of yours run npm install {PACKAGE}@{VERSION}, and give that folder",
        )
    if differing := _differing(folder):
        raise ModelError(
            f"expected {PACKAGE} {VERSION} in '{folder}', and {', '.join(differing)} is missing or has another "
            f"SHA-256",
            f"npm install {PACKAGE}@{VERSION}",
        )
    return folder


def _differing(folder: Path) -> list[str]:
    """Names of files that are missing or have another hash."""
    return [
        part.name
        for part in _PARTS
        if not (folder / part.name).is_file() or sha256_of(folder / part.name) != part.sha256
    ]


def _fetch(cached: Path) -> None:
    """Let npm download the package, and move its files into the cache if their hashes are right."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtra(
            f"the page needs {PACKAGE} {VERSION}, which npm downloads, and npm is not installed",
            "install Node.js, or unpack the package elsewhere and give its folder with --web-runtime",
        )
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise _failed(f"no answer in {_SECONDS} s") from error
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise _failed(next(_reasons(done.stderr), "no package"))
        try:
            _unpack(packed, Path(folder))
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise _failed(f"the package is damaged: {error}") from error
        if differing := _differing(Path(folder)):
            raise ModelError(
                f"npm's {PACKAGE} {VERSION} has other files than expected ({', '.join(differing)})",
                "give a folder with the original package by --web-runtime",
            )
        for part in _PARTS:
            with replacing(cached / part.name) as partial:
                shutil.copyfile(Path(folder, part.name), partial)


def _failed(reason: str) -> ModelError:
    return ModelError(
        f"npm could not download {PACKAGE} {VERSION} ({reason})",
        "check the network, or give a folder with the package by --web-runtime",
    )


def _reasons(said: str) -> Iterator[str]:
    """What npm says of an error, without its own name and paths of its log."""
    for text in _SAID.findall(said):
        if not text.startswith(("code ", "A complete log", "errno ", "syscall ")):
            yield text.strip()


def _unpack(packed: Path, folder: Path) -> None:
    """Copy the files that are used, by their names: nothing else of the archive is written."""
    with tarfile.open(packed, "r:gz") as archive:
        members = {member.name: member for member in archive}
        for part in _PARTS:
            found = members.get(f"package/dist/{part.name}")
            if found is None or not found.isfile() or found.size > _LARGEST_BYTES:
                continue  # the file is missing then, which the caller tells
            if (member := archive.extractfile(found)) is not None:
                with member, Path(folder, part.name).open("xb") as file:
                    shutil.copyfileobj(member, file)
