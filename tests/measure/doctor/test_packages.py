"""Packages that capsedge can do without: found by their metadata, and advised by an extra that brings them."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import capsedge
from capsedge.measure.doctor import packages
from capsedge.measure.doctor.packages import OPTIONAL, Optional, find_package

WITH_EXTRA = [package for package in OPTIONAL if package.extra]
EXTRAS = tomllib.loads((Path(capsedge.__file__).parents[1] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("package", WITH_EXTRA, ids=lambda package: package.wheel)
def test_the_extra_that_is_advised_brings_the_package(package: Optional) -> None:
    assert any(requirement.startswith(f"{package.wheel}>=") for requirement in EXTRAS[package.extra])


def test_an_installed_package_is_told_with_its_release() -> None:
    found = find_package(Optional("NumPy", "numpy", "computes", "cpu"), gpu=False)

    assert (found.state, found.detail) == ("installed", f"numpy {metadata.version('numpy')}")


def test_a_missing_package_is_told_with_its_use_and_its_extra() -> None:
    found = find_package(Optional("Nothing", "no-such-wheel", "does nothing", "plots"), gpu=False)

    assert (found.state, found.detail) == ("missing", "not installed: it does nothing")
    assert found.advice == "pip install 'capsedge[plots]'"


def test_what_is_advised_brings_no_second_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    """`onnxruntime` and `onnxruntime-gpu` overwrite each other's files."""
    monkeypatch.setattr(packages, "version_of", lambda _: "")
    advised = {package.subject: find_package(package, gpu=True).advice for package in OPTIONAL}

    assert advised["NVML"] == "pip install nvidia-ml-py"
    for package in WITH_EXTRA:
        assert not any("onnxruntime" in requirement for requirement in EXTRAS[package.extra])


def test_what_only_a_gpu_needs_is_not_advised_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version_of", lambda _: "")
    advised = {package.subject for package in OPTIONAL if find_package(package, gpu=False).advice}

    assert advised == {"PyTorch", "ONNX", "Matplotlib", "TensorBoard"}
