"""Packages that capsedge can do without: found by their metadata, and advised by an extra that brings them."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import capsedge
from capsedge.runtime.doctor.packages import OPTIONAL, Optional, find_package

EXTRAS = tomllib.loads((Path(capsedge.__file__).parents[1] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("package", OPTIONAL, ids=lambda package: package.wheel)
def test_the_extra_that_is_advised_brings_the_package(package: Optional) -> None:
    assert any(requirement.startswith(f"{package.wheel}>=") for requirement in EXTRAS[package.extra])


def test_an_installed_package_is_told_with_its_release() -> None:
    found = find_package(Optional("NumPy", "numpy", "computes", "cpu"))

    assert (found.state, found.detail) == ("installed", f"numpy {metadata.version('numpy')}")


def test_a_missing_package_is_told_with_its_use_and_its_extra() -> None:
    found = find_package(Optional("Nothing", "no-such-wheel", "does nothing", "gpu"))

    assert (found.state, found.detail) == ("missing", "not installed: it does nothing")
    assert found.advice == "pip install 'capsedge[gpu]'"
