"""Peak memory of a model, in a real process of its own."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from capsedge.measure.bench.memory import peak_mb, peak_memory
from capsedge.onnx_lite.schema import FLOAT
from capsedge.onnx_lite.write import Value, one_node_file
from capsedge.runtime.settings import Settings

pytestmark = pytest.mark.skipif(peak_mb() is None, reason="this system shows no peak memory of a process")

SIDE = 2_048
SETTINGS = Settings(threads=1)


def product(file: Path, side: int) -> Path:
    """A matrix product whose weight has side x side float32 numbers."""
    weight = np.ones((side, side), np.float32)
    value = Value("x", FLOAT, (1, side))
    file.write_bytes(
        one_node_file(
            "MatMul", "product", ("x", "w"), takes=value, makes=Value("y", FLOAT, (1, side)), weight=("w", weight)
        )
    )
    return file


def test_a_model_holds_its_weights_beside_the_runtime(tmp_path: Path) -> None:
    small, _ = peak_memory(product(tmp_path / "small.onnx", 4), SETTINGS, 1)
    large, _ = peak_memory(product(tmp_path / "large.onnx", SIDE), SETTINGS, 1)

    assert small is not None
    assert large is not None
    weights_mb = 4 * SIDE**2 / 1e6
    assert weights_mb < large.peak_mb - small.peak_mb < 4 * weights_mb
    assert isinstance(small.runtime_mb, float)
    assert isinstance(large.runtime_mb, float)
    assert large.runtime_mb == pytest.approx(small.runtime_mb, rel=0.1)
    assert 20 < small.runtime_mb <= small.peak_mb


def test_what_this_process_holds_does_not_count(good: Path) -> None:
    held = np.ones(25_000_000)

    peak, _ = peak_memory(good, SETTINGS, 1)

    assert peak is not None
    assert peak.peak_mb < held.nbytes / 1e6


def test_a_model_that_does_not_open_gives_the_reason(tmp_path: Path) -> None:
    peak, reason = peak_memory(tmp_path / "none.onnx", SETTINGS, 1)

    assert peak is None
    assert "ended with code 1" in reason
    assert "there is no model at" in reason


def test_the_peak_is_of_resident_memory_as_the_kernel_accounts_it() -> None:
    resident_mb = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    largest_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    found = peak_mb()

    assert found is not None
    assert 0.99 * resident_mb <= found <= 1.01 * largest_mb


def test_a_system_without_proc_has_no_peak(tmp_path: Path) -> None:
    assert peak_mb(tmp_path) is None


def test_a_module_in_the_users_folder_replaces_none_of_python(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tempfile.py").write_text("raise SystemExit('not the module of Python')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # as in a checkout that is not installed

    peak, reason = peak_memory(good, SETTINGS, 1)

    assert (peak is not None, reason) == (True, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('loaded', end='')", ""),
        ("import atexit; atexit.register(print, 'bye')", "as the last line of the process, got 'bye'"),
    ],
    ids=["before", "after"],
)
def test_what_a_library_prints_is_not_taken_for_the_memory(
    code: str, reason: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    peak, given = peak_memory(good, SETTINGS, 1)

    assert (peak is None) is bool(reason)
    assert reason in given


def test_a_system_that_shows_no_peak_is_named_as_the_reason(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsedge.measure.bench.memory.peak_mb", lambda: None)

    assert peak_memory(good, SETTINGS, 1) == (None, "only Linux shows the peak memory of a process")
