"""The check of other systems, on an index of one package in a folder: uv takes a wheel only where it fits."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "check_platforms.py"
PROJECT = """
[project]
name = "thing"
version = "1"
classifiers = [
    "Operating System :: Microsoft :: Windows",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3.11",
]
dependencies = ["everywhere"]
[project.optional-dependencies]
cpu = ["everywhere", "compiled; sys_platform == 'linux'"]
train = ["compiled"]
"""


def offer(index: Path, name: str, *tags: str) -> None:
    """Put wheels of one package into an index: a folder with a page of links for each package."""
    folder = index / name
    folder.mkdir(parents=True)
    wheels = [f"{name}-1.0-{tag}.whl" for tag in tags]
    for wheel in wheels:
        with zipfile.ZipFile(folder / wheel, "w") as file:
            file.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "index.html").write_text("".join(f'<a href="{wheel}">{wheel}</a>' for wheel in wheels))


def check(folder: Path, index: str) -> "subprocess.CompletedProcess[str]":
    (folder / "pyproject.toml").write_text(PROJECT)
    environment = {"UV_DEFAULT_INDEX": index, "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0", "UV_NO_CONFIG": "1"}
    return subprocess.run(
        [sys.executable, SCRIPT, folder], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def index(tmp_path: Path) -> Path:
    offer(tmp_path / "simple", "everywhere", "py3-none-any")
    return tmp_path / "simple"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_wheels_for_every_system_that_is_promised_are_a_success_and_the_next_python_is_none_of_the_promise(
    tmp_path: Path, index: Path
) -> None:
    both = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_aarch64"
    offer(index, "compiled", "cp311-cp311-win_amd64", *both)

    done = check(tmp_path, index.as_uri())

    assert done.returncode == 0, done.stdout + done.stderr
    assert [cells(line) for line in done.stdout.splitlines()[1:3]] == [
        ["Windows, x86-64", "3.11", "1 packages", "2 packages"],  # the marker is of the target, not of this Linux
        ["Windows, x86-64", "3.12", "1 packages", "does not resolve", "not promised"],
    ]
    assert "3.12 resolves" not in done.stdout


def test_a_promised_system_without_a_wheel_is_a_failure_with_its_reason(tmp_path: Path, index: Path) -> None:
    # Its aarch64 wheel asks for a newer glibc than the promise.
    offer(
        index, "compiled", "py3-none-win_amd64", "py3-none-manylinux_2_28_x86_64", "py3-none-manylinux_2_34_aarch64"
    )

    done = check(tmp_path, index.as_uri())

    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if "does not resolve" in line]
    assert [cells(line)[:2] for line in failed] == [
        ["Linux (glibc 2.28), aarch64", python] for python in ("3.11", "3.12")
    ]
    assert "compiled==1.0 has no wheels with a matching platform tag (e.g., `manylinux_2_28_aarch64`)" in done.stdout
    assert done.stderr.strip() == "2 combinations that the classifiers promise do not resolve"


def test_a_python_that_resolves_and_is_not_promised_is_told(tmp_path: Path, index: Path) -> None:
    offer(index, "compiled", "py3-none-any")

    done = check(tmp_path, index.as_uri())

    assert done.returncode == 0, done.stderr
    assert "Python 3.12 resolves on every system: its classifier can be added to pyproject.toml" in done.stdout


def test_an_index_out_of_reach_is_no_word_about_the_packages(tmp_path: Path) -> None:
    done = check(tmp_path, "http://127.0.0.1:9/simple")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "Connection refused" in done.stderr
    assert "UV_DEFAULT_INDEX" in done.stderr
    assert "Traceback" not in done.stderr
