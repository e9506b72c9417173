"""What a command may replace: what it wrote itself, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsedge.export import export_run
from capsedge.training import Run
from tests.in_process import Capsedge, in_this_process
from tests.tiny import tiny_recipe, train_tiny

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

capsedge = pytest.fixture(in_this_process)
FILES = {
    "show --html {file}": "page.html",
    "eval {run} --html {file}": "page.html",
    "eval {run} --csv {file}": "answers.csv",
    "bench {run} --iterations 5 -o {file}": "report.json",
    "bench --from {report} -o {file}": "report.json",
    "bench --from {report} -o  {file}": "report.csv",
    "bench --from {report} -o   {file}": "report.md",
    "bench --from {report} --output {file}": "report.html",
    "profile {run} --no-roofline --iterations 50 --trace {file}": "trace.json",
    "profile {run} --no-roofline --iterations 50 --plot {file}": "plot.svg",
    "profile {run} --no-roofline --iterations 50 --plot  {file}": "plot.png",
    "profile {run} --no-roofline --iterations 50 --plot   {file}": "plot.pdf",
    "data {photos} --sheet {file}": "sheet.png",
    "export {run} -o {file}": "model.onnx",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of one epoch, with its export."""
    made = train_tiny(tmp_path_factory.mktemp("outputs") / "runs" / "tiny", tiny_recipe("train.epochs=1"))
    export_run(made)
    return made


@pytest.fixture
def words(
    run: Run, tmp_path_factory: pytest.TempPathFactory, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Path], list[str]]:
    """The words of a command for a file."""
    home = run.path.parents[1]
    monkeypatch.chdir(home)
    photos, report = home / "photos", home / "report.json"
    if not photos.exists():
        for label in ("cat", "dog"):
            (photos / label).mkdir(parents=True)
            for number in range(5):
                pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
                Image.fromarray(pixels).save(photos / label / f"{label}-{number}.png")
        assert capsedge("bench", str(run.path), "--iterations", "5", "-o", str(report)).returncode == 0

    def made(command: str, file: Path) -> list[str]:
        return command.format(run=run.path, photos=photos, report=report, file=file).split()

    return made


@pytest.mark.parametrize("command", FILES)
def test_a_file_of_the_same_command_is_replaced_and_another_one_is_not(
    command: str, words: Callable[[str, Path], list[str]], capsedge: Capsedge, tmp_path: Path
) -> None:
    file = tmp_path / FILES[command]
    file.write_bytes(b"mine")
    done = capsedge(*words(command, file))
    assert done.returncode == 2
    said = f"'{file}' exists and was not written by capsedge {command.split(maxsplit=1)[0]}"
    assert done.stderr.splitlines()[-1].startswith(f"capsedge: {said}")
    assert "move it away, or choose another" in done.stderr
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"mine"]

    file.unlink()
    for _ in range(2):
        done = capsedge(*words(command, file))
        assert done.returncode == 0, done.stderr
        assert file.stat().st_size > 100


def test_a_page_of_another_command_is_not_replaced(
    words: Callable[[str, Path], list[str]], capsedge: Capsedge, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    assert capsedge(*words("show --html {file}", file)).returncode == 0
    done = capsedge(*words("eval {run} --html {file}", file))
    assert done.returncode == 2
    assert "was not written by capsedge eval --html" in done.stderr


def test_an_export_of_other_classes_is_not_replaced(
    words: Callable[[str, Path], list[str]], capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.onnx"
    assert capsedge(*words("export {run} -o {file}", file)).returncode == 0
    before = file.read_bytes()
    monkeypatch.setattr("capsedge.export.placing.classes_of", lambda _: ("cat", "dog"))
    done = capsedge(*words("export {run} -o {file}", file))
    assert done.returncode == 2
    assert f"'{file}' is of another network, with other classes (cat, dog): move it away" in done.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "export {run} --web {file}",
        "export {run} --triton {file}",
        "infer photos --model {run} --visualize {file}",
        "reproduce table2 --only mnist/dr --out {file}",
        "reproduce fig3 --out {file}",
    ],
)
def test_the_folder_of_a_run_takes_no_other_output(
    command: str, words: Callable[[str, Path], list[str]], run: Run, capsedge: Capsedge
) -> None:
    before = {file.name for file in run.path.iterdir()}
    done = capsedge(*words(command, run.path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"capsedge: '{run.path}' is the folder of a run: give another folder"
    assert {file.name for file in run.path.iterdir()} == before
