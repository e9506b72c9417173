"""Which ONNX Runtime is installed: two wheels under one import name are found and refused."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from capsedge.errors import MissingExtra, ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.wheels import installed_wheels, load_onnxruntime


def install(folder: Path, name: str, version: str) -> None:
    """Leave what pip leaves of a wheel for importlib.metadata to find."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_wheels_found_are_those_that_bring_the_module() -> None:
    assert sorted(installed_wheels()) == sorted(set(metadata.packages_distributions()["onnxruntime"]))


def test_two_wheels_are_refused_with_the_way_out(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = next(iter(installed_wheels()))
    other = "onnxruntime-gpu" if here == "onnxruntime" else "onnxruntime"
    install(tmp_path, other, "1.31.1")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(
        ProviderError,
        match=r"are both installed and overwrite each other's files: pip uninstall -y onnxruntime onnxruntime-gpu, "
        r"then pip install 'capsedge\[cpu\]' or 'capsedge\[gpu\]'",
    ):
        open_session(good)


def test_a_wheel_that_does_not_load_is_told_with_the_reason(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)

    with pytest.raises(
        ProviderError, match=r"'onnxruntime' is installed but does not load \(libgomp\.so\.1: .*force-reinstall"
    ):
        open_session(good)


def test_no_wheel_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingExtra, match=r"'onnxruntime', which is not installed: pip install 'capsedge\[cpu\]'"):
        load_onnxruntime()
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[gpu\]'"):
        load_onnxruntime("gpu")
