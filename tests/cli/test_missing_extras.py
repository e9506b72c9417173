"""Commands where only the base packages and ONNX Runtime are installed: wrong use is told before what is missing."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import ROOT, one_line

LACKING = ("torch", "tomli_w", "safetensors", "filelock", "onnx", "onnxscript", "matplotlib", "jinja2")
COMMAND = f"import sys; sys.modules.update(dict.fromkeys({LACKING})); sys.argv[0] = 'capsedge'; "
COMMAND += "from capsedge.cli import main; main()"


def on_the_edge(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `capsedge` in a folder, without the packages that train, export and draw."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "120", "HOME": str(folder)},
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("export builtin --triton models", 1, "expected the folder of a run, got 'builtin', the name of a model"),
        ("export builtin --card", 1, "expected the folder of a run, got 'builtin', the name of a model"),
        ("export --trt --trt-batch 3", 2, "--trt-batch: expected three integers"),
        ("export --trt --trt-batch 3,2,1", 2, "batch: expected smallest, optimal and largest in rising order"),
        ("export --trt --trt-target sm1", 2, "target: expected a compute capability"),
        ("train --data no-such-set", 2, "unknown data set 'no-such-set'"),
        ("train --run file/run", 2, "cannot write 'file/run'"),
        ("compress", 2, "expected one target, got 0"),
        ("compress --keep 0", 2, "--keep: expected a number above 0"),
        ("compress --keep 0.5 --set data.source=x", 2, "expected train.* or routing.*"),
        ("compress edge-small --keep 0.5", 1, "expected the folder of a run, got 'edge-small'"),
        ("show edge-small", 1, "expected the folder of a run, got 'edge-small'"),
        ("lint no-such-model", 2, "there is no file and no model 'no-such-model'"),
        ("lint builtin --trt-target sm1", 2, "target: expected a compute capability"),
        ("profile no-such-model --plot a.svg", 2, "there is no file and no model 'no-such-model'"),
        ("profile builtin --iterations 3 --plot a.svg", 2, "expected 50 iterations or more, got 3"),
        ("bench no-such-model --output a.html", 2, "there is no file and no model 'no-such-model'"),
        ("bench builtin --qps 2000000 --output a.html", 2, "expected a rate above 0, up to 1,000,000 queries/s"),
        ("bench builtin --data no-such-set --output a.html", 2, "unknown data set 'no-such-set'"),
        ("reproduce table2 --only no-such-row", 2, "--only 'no-such-row' matches no row"),
        ("reproduce table2 --seed 1 --seed 1", 2, "--seed: expected one or more different seeds, got 1, 1"),
        ("reproduce fig1 --model no-such-model", 2, "there is no file and no model 'no-such-model'"),
        ("reproduce fig2 --data no-such-set", 2, "unknown data set 'no-such-set'"),
        ("reproduce fig3 --set train.epoch=3", 2, "recipe 'fashion-mnist-dynamic' has no key 'train.epoch'"),
        ("reproduce fig4 --kind no-such-kind", 2, "--kind: expected dynamic, l2"),
    ],
)
def test_a_mistake_is_told_before_a_missing_package(words: str, code: int, told: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    line = one_line(on_the_edge(*words.split(), folder=tmp_path), code)

    assert line.startswith(f"capsedge: {told}")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("recipe", "train"),
        ("train", "train"),
        ("compress --keep 0.5", "train"),
        ("export", "train"),
        ("show", "train"),
        ("lint builtin", "trt"),
        ("profile builtin --plot a.svg", "plots"),
        ("bench builtin --output a.html", "plots"),
        ("reproduce table2", "paper"),
        ("reproduce fig1", "paper"),
    ],
)
def test_a_missing_package_is_one_line_with_the_extra_that_installs_it(
    words: str, extra: str, tmp_path: Path
) -> None:
    line = one_line(on_the_edge(*words.split(), folder=tmp_path), 1)

    assert line.startswith("capsedge: this needs the Python package '")
    assert f"[{extra}]" in line
    assert [*tmp_path.iterdir()] == []


def test_the_next_command_comes_after_the_one_that_installs_what_it_lacks(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (28, 28), 20 * number).save(tmp_path / name / f"{number}.png")
    shown = on_the_edge("data", str(tmp_path), folder=tmp_path).stderr.splitlines()[-1]

    first, _, then = shown.partition(", then ")
    assert first.startswith("next: pip install ")
    assert "[train]" in first
    assert then == f"capsedge train --data {shlex.quote(str(tmp_path))}"
