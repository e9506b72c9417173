"""Where the files of onnxruntime-web come from, and that no other files are used."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from capsedge.errors import MissingExtra, ModelError
from capsedge.export.web import library
from capsedge.export.web.library import PACKAGE, VERSION, library_folder


@pytest.fixture
def npm(own_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an `npm` that packs what is in the folder `packed`, and a cache folder that is empty."""
    packed = own_library / "node_modules" / PACKAGE
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as writing:
        for file in sorted(packed.rglob("*.*js")) + sorted(packed.rglob("*.wasm")):
            writing.add(file, f"package/{file.relative_to(packed)}")
        escaping = tarfile.TarInfo("../escaped")
        escaping.size = 1
        writing.addfile(escaping, io.BytesIO(b"x"))
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "npm"
    script.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\ncp "{archive}" "$5/{PACKAGE}-{VERSION}.tgz"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(library, "cache_folder", lambda: tmp_path / "cache")
    return script


@pytest.mark.parametrize("below", ["", "node_modules", f"node_modules/{PACKAGE}", f"node_modules/{PACKAGE}/dist"])
def test_a_folder_with_the_package_is_found_at_each_level(below: str, own_library: Path) -> None:
    assert library_folder(own_library / below) == own_library / "node_modules" / PACKAGE / "dist"


def test_a_folder_without_the_package_is_refused_with_what_to_do(own_library: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ModelError, match=rf"in a folder of yours run npm install {PACKAGE}@{VERSION}, and give that"):
        library_folder(tmp_path / "empty")


def test_a_file_with_another_hash_is_refused(own_library: Path) -> None:
    file = own_library / "node_modules" / PACKAGE / "dist" / "ort-wasm-simd-threaded.wasm"
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(ModelError, match=r"ort-wasm-simd-threaded\.wasm is missing or has another SHA-256"):
        library_folder(own_library)


def test_npm_downloads_the_pinned_release_once_without_running_its_scripts(npm: Path, tmp_path: Path) -> None:
    folder = library_folder()

    assert folder == tmp_path / "cache" / PACKAGE / VERSION
    assert sorted(each.name for each in folder.iterdir()) == sorted(part.name for part in library._PARTS)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:3] == ["pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts"]
    assert not list(tmp_path.rglob("escaped"))
    npm.write_text("#!/bin/sh\nexit 1\n")
    assert library_folder() == folder  # from the cache


def test_a_damaged_file_of_the_cache_is_downloaded_again(npm: Path, tmp_path: Path) -> None:
    file = library_folder() / "ort.wasm.bundle.min.mjs"
    file.write_text("damaged")

    assert (library_folder() / file.name).read_text() == f"// {file.name}"


def test_a_package_with_other_files_is_refused_and_not_kept(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_PARTS", (*library._PARTS[:3], library._PARTS[3]._replace(sha256="0" * 64)))

    with pytest.raises(ModelError, match=r"has other files than expected \(ort-wasm-simd-threaded\.asyncify\.wasm\)"):
        library_folder()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", [slice(0), slice(100), slice(-20), slice(None, None, 2)])
def test_a_damaged_package_is_one_line_and_is_not_kept(damage: slice, npm: Path, tmp_path: Path) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(package.read_bytes()[damage])

    with pytest.raises(ModelError, match=r"\(the package is damaged: .+\): check the network, or give a folder"):
        library_folder()
    assert not (tmp_path / "cache").exists()


def test_a_package_with_a_wrong_checksum_is_one_line(npm: Path, tmp_path: Path) -> None:
    member = tarfile.TarInfo("package/large")
    member.size = 1 << 20
    content = bytearray(gzip.compress(member.tobuf() + bytes(member.size)))
    content[-6] ^= 1  # of gzip's checksum
    (tmp_path / "package.tgz").write_bytes(content)

    with pytest.raises(ModelError, match=r"\(the package is damaged: CRC check failed"):
        library_folder()


def test_a_file_that_is_far_too_large_is_not_unpacked(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_LARGEST_BYTES", 10)

    with pytest.raises(ModelError, match=r"has other files than expected \(ort\.wasm\.bundle\.min\.mjs, "):
        library_folder()


@pytest.mark.parametrize("prefix", ["npm error", "npm ERR!"])  # of npm 10, and of the releases before
def test_what_npm_says_of_a_failure_is_told_in_one_line(prefix: str, npm: Path) -> None:
    lines = ("code ENOTFOUND", "syscall getaddrinfo", "errno ENOTFOUND", "no such host")
    said = "".join(f"echo '{prefix} {line}' >&2\n" for line in lines)
    npm.write_text(f"#!/bin/sh\n{said}exit 1\n")

    with pytest.raises(ModelError, match=r"\(no such host\): check the network, or give a folder"):
        library_folder()


def test_without_npm_one_line_says_what_to_do(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm.unlink()
    monkeypatch.setenv("PATH", str(npm.parent))

    with pytest.raises(
        MissingExtra, match=r"npm is not installed: install Node\.js, or unpack the package elsewhere"
    ):
        library_folder()
