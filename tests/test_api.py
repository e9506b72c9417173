"""The public interface: what importing it costs, and docs/python.md, whose code runs here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import capsedge
from capsedge.measure.bench.files import load
from tests.cli.conftest import ROOT


def test_each_name_is_there() -> None:
    assert dir(capsedge) == sorted(capsedge.__all__)
    for name in capsedge.__all__:
        assert getattr(capsedge, name) is not None
    with pytest.raises(AttributeError, match="module 'capsedge' has no attribute 'lode'"):
        capsedge.lode  # noqa: B018


def loaded(code: str) -> set[str]:
    """Packages that a process has loaded after some code."""
    script = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_it_loads_nothing_and_a_model_needs_neither_torch_nor_onnx() -> None:
    assert not {"numpy", "PIL", "msgspec", "torch", "onnx", "onnxruntime", "typer"} & loaded("import capsedge")
    asked = loaded("import capsedge; capsedge.load('builtin').verify()")
    assert {"numpy", "onnxruntime"} <= asked
    assert not {"torch", "onnx", "typer", "rich"} & asked


def test_a_benchmark_that_is_kept_in_a_file_is_finished_there_and_measured_anew(tmp_path: Path) -> None:
    plan = capsedge.Plan(iterations=2, breakdown=False)
    first, second = (capsedge.bench("builtin", plan, state=tmp_path / "kept.json") for _ in range(2))
    assert not first.unfinished
    assert not load(tmp_path / "kept.json").unfinished
    one, two = (report.groups[0].cases[0].samples_ms for report in (first, second))
    assert one != two


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ankle-boot 0.")
    assert any("accepted" in line for line in lines)
    assert (tmp_path / "runs/first/model.onnx").is_file()
