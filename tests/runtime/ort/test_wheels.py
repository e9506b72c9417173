"""Which ONNX Runtime is installed: two wheels under one import name are found and refused."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from capsedge.errors import MissingExtra, ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import wheels
from capsedge.runtime.ort.wheels import installed_wheels, load_onnxruntime


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
        r"then pip install '.*\[cpu\]'.* or pip install '.*\[gpu\]'",
    ):
        open_session(good)


@pytest.mark.parametrize(
    ("name", "files", "counts"),
    [
        ("onnxruntime-migraphx", "onnxruntime/__init__.py", True),
        ("onnxruntime-of-tomorrow", "onnxruntime/__init__.py", True),  # no list of names would have it
        ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime_ep_nv_tensorrt_rtx/__init__.py", False),
        ("onnxruntime-genai", "onnxruntime_genai/__init__.py", False),
        ("onnxruntime-genai", "onnxruntime_genai/onnxruntime/__init__.py", False),
    ],
)
def test_a_wheel_counts_by_the_files_that_it_brings(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: str, counts: bool
) -> None:
    install(tmp_path, name, "1.0")
    (tmp_path / f"{name.replace('-', '_')}-1.0.dist-info" / "RECORD").write_text(f"LICENSE,,\n{files},sha256=x,1\n")
    before = installed_wheels()
    monkeypatch.syspath_prepend(str(tmp_path))

    assert installed_wheels() == before | ({name: "1.0"} if counts else {})
    if counts:
        with pytest.raises(ProviderError, match=f"{name}.* both installed"):
            open_session(good)
    else:
        open_session(good).close()


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
    monkeypatch.setattr(wheels, "installed_wheels", dict)

    with pytest.raises(MissingExtra, match=r"'onnxruntime', which is not installed: pip install '.*\[cpu\]'"):
        load_onnxruntime()
    with pytest.raises(MissingExtra, match=r"pip install '.*\[gpu\]'"):
        load_onnxruntime("gpu")


@pytest.mark.parametrize("wheel", ["onnxruntime", "onnxruntime-gpu"])
def test_a_wheel_that_does_not_load_is_replaced_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: str
) -> None:
    """Whatever was asked for: the other extra would bring a second wheel."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("import onnxruntime.no_such_part\n")
    install(tmp_path, wheel, "1.31.1")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime")

    for asked in ("cpu", "gpu"):
        with pytest.raises(ProviderError, match=rf"pip install --force-reinstall {wheel}$"):
            load_onnxruntime(asked)
