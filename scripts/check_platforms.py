"""Resolve the extras `cpu` and `train` for the systems and Pythons that pyproject.toml's classifiers name.

    python scripts/check_platforms.py [FOLDER]    the checkout, or another project's folder

uv resolves for another system with that system's environment markers and wheel tags. It reads metadata only: it
installs nothing and downloads no complete wheel. This proves that each combination has a compatible set of releases,
and that each release has a wheel for it. It does not prove that the wheels work there.

The releases are those that a user gets, not those of constraints.txt. The Python after the last promised one is
resolved too, to show when it can be promised. The exit code is 1 if a promised combination does not resolve.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"cpu": "onnxruntime", "train": "torch"}
"""The extras, and the package of each whose release the table shows."""


class Platform(NamedTuple):
    """A target system.

    Attributes:
        name: Its name in the table.
        target: Its name for uv.
    """

    name: str
    target: str


# The oldest system of each kind for which all dependencies have wheels; a newer one takes the same wheels.
MACOS = "14.0"  # of onnxruntime 1.24 and later
PLATFORMS = {
    "Operating System :: MacOS": (Platform(f"macOS {MACOS}, arm64", "aarch64-apple-darwin"),),
    "Operating System :: Microsoft :: Windows": (Platform("Windows, x86-64", "x86_64-pc-windows-msvc"),),
    "Operating System :: POSIX :: Linux": (
        Platform("Linux (glibc 2.28), aarch64", "aarch64-manylinux_2_28"),
        Platform("Linux (glibc 2.28), x86-64", "x86_64-manylinux_2_28"),
    ),
}


class Promise(NamedTuple):
    """The systems and Pythons that a project's classifiers name.

    Attributes:
        pythons: Versions of Python, the lowest first.
        platforms: Systems.
    """

    pythons: tuple[str, ...]
    platforms: tuple[Platform, ...]


class Resolved(NamedTuple):
    """uv's result for one combination.

    Attributes:
        platform: The system.
        python: The version of Python.
        extra: The extra of the project.
        releases: The release of each package; empty if it does not resolve.
        reason: Why it does not resolve; "" if it does.
    """

    platform: Platform
    python: str
    extra: str
    releases: dict[str, str]
    reason: str


def promise(project: dict[str, Any]) -> Promise:
    """Read the classifiers of pyproject.toml's table `project`.

    Raises:
        KeyError: A classifier names a system that is not in `PLATFORMS`.
    """
    classifiers: list[str] = project["classifiers"]
    pythons = [each.removeprefix("Programming Language :: Python :: ") for each in classifiers]
    systems = [each for each in classifiers if each.startswith("Operating System :: ")]
    return Promise(
        pythons=tuple(sorted((each for each in pythons if re.fullmatch(r"3\.\d+", each)), key=_minor)),
        platforms=tuple(platform for system in systems for platform in PLATFORMS[system]),
    )


def following(python: str) -> str:
    """The version of Python that comes after one: 3.15 after 3.14."""
    return f"3.{_minor(python) + 1}"


def resolve(folder: Path, platform: Platform, python: str, extra: str) -> Resolved:
    """Resolve one combination by uv.

    Raises:
        RuntimeError: uv failed for another reason than the packages, such as an unreachable index.
    """
    target = ["--python-platform", platform.target, "--python-version", python, "--extra", extra]
    quiet = ["--quiet", "--no-header", "--no-annotate", "--no-python-downloads", "--python", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--no-build", *target, *quiet],
        cwd=folder,
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        raise RuntimeError(
            f"uv cannot resolve '{folder}': {_one_line(done.stderr)}\n"
            "uv does not read pip's settings: set UV_DEFAULT_INDEX to use another package index"
        )
    if done.returncode:
        reason = _one_line(done.stderr.partition("cause:")[2].partition("hint:")[0] or done.stderr)
        return Resolved(platform, python, extra, {}, reason)
    return Resolved(platform, python, extra, dict(line.split("==") for line in done.stdout.splitlines()), "")


def resolve_all(folder: Path, pythons: Iterable[str], platforms: Iterable[Platform]) -> list[Resolved]:
    """Resolve all combinations in parallel, since most of the time is waiting for the index."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda each: resolve(folder, *each), product(platforms, pythons, EXTRAS)))


def table(results: Sequence[Resolved], promised: Sequence[str]) -> str:
    """A line for each system and Python, followed by each reason once."""
    rows: dict[tuple[str, str], list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for each in results:
        rows.setdefault((each.platform.name, each.python), []).append(_cell(each))
        if each.reason:
            where = f"{each.platform.name}, Python {each.python}, {each.extra}"
            reasons.setdefault(each.reason, []).append(where)
    lines = [_row("system", "Python", EXTRAS)]
    lines += [
        _row(name, python, cells if python in promised else [*cells, "not promised"])
        for (name, python), cells in rows.items()
    ]
    lines += ["\n" + "\n".join([*where, f"    {reason}"]) for reason, where in reasons.items()]
    return "\n".join(line.rstrip() for line in lines)


def main(folder: Path) -> int:
    """Resolve, print the table, and return the exit code."""
    promised = promise(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"])
    coming = following(promised.pythons[-1])
    try:
        results = resolve_all(folder, [*promised.pythons, coming], promised.platforms)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results, promised.pythons))
    failed = [each for each in results if each.reason and each.python != coming]
    if not any(each.reason for each in results if each.python == coming):
        print(f"\nPython {coming} resolves on every system: its classifier can be added to pyproject.toml")
    if failed:
        print(f"\n{len(failed)} combinations that the classifiers promise do not resolve", file=sys.stderr)
    return 1 if failed else 0


def _row(name: str, python: str, cells: Iterable[str]) -> str:
    return f"{name:<28} {python:<7} " + "".join(f"{cell:<34}" for cell in cells)


def _cell(resolved: Resolved) -> str:
    if resolved.reason:
        return "does not resolve"
    named = EXTRAS[resolved.extra]
    shown = f", {named} {resolved.releases[named]}" if named in resolved.releases else ""
    return f"{len(resolved.releases)} packages{shown}"


def _minor(python: str) -> int:
    return int(python.partition(".")[2])


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
