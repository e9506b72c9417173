"""Every export may go beside what another one wrote, into the same folder; nobody else's files are lost."""

import shutil
from itertools import product
from pathlib import Path

import pytest

from capsedge.training import Run
from tests.export.triton.folders import tree
from tests.in_process import Capsedge

ONNX = "tiny/model.onnx"
WRITTEN = {
    "triton": {"tiny/config.pbtxt", "tiny/labels.txt", "tiny/1/model.onnx"},
    "triton-python": {
        "tiny-python/config.pbtxt",
        "tiny-python/labels.txt",
        "tiny-python/1/model.onnx",
        "tiny-python/1/model.py",
    },
    "web": {"tiny/index.html", "tiny/webgpu.js"},
    "card": {ONNX, "tiny/model.card.md", "tiny/model.safetensors"},
    "output": {ONNX},
}


def options(target: str, folder: Path, library: Path) -> list[str]:
    """The options of an export whose target is a folder; without an own file the run's folder gets the ONNX file."""
    return {
        "triton": ["--triton", str(folder)],
        "triton-python": ["--triton", str(folder), "--triton-python"],
        "web": ["--web", str(folder), "--web-runtime", str(library)],
        "card": ["-o", str(folder / ONNX), "--card"],
        "output": ["-o", str(folder / ONNX)],
    }[target]


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.path, tmp_path / "tiny")
    return Run(tmp_path / "tiny")


@pytest.fixture(scope="session")
def written_once() -> dict[str, dict[str, bytes]]:
    """What an export of each target wrote, by the first test that needed it."""
    return {}


@pytest.mark.parametrize(("first", "second"), list(product(WRITTEN, WRITTEN)))
def test_every_export_goes_beside_every_other(
    first: str,
    second: str,
    run: Run,
    tmp_path: Path,
    own_library: Path,
    capsedge: Capsedge,
    written_once: dict[str, dict[str, bytes]],
) -> None:
    folder = tmp_path / "photos"
    if first not in written_once:
        made = tmp_path / "made"
        assert capsedge("export", str(run.path), *options(first, made, own_library)).returncode == 0
        written_once[first] = tree(made)
    before = written_once[first]
    for name, content in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    done = capsedge("export", str(run.path), *options(second, folder, own_library))

    assert done.returncode == 0, done.stderr
    assert before.keys() == WRITTEN[first]
    after = tree(folder)
    assert after.keys() == WRITTEN[first] | WRITTEN[second]
    assert all(after[name] == before[name] for name in before.keys() - WRITTEN[second])


@pytest.mark.parametrize("python", [[], ["--triton-python"]])
def test_one_command_writes_all_into_one_folder_and_writes_them_again(
    python: list[str], run: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    folder = tmp_path / "photos"
    both = options("card", folder, own_library) + options("web", folder, own_library)
    wanted = WRITTEN["card"] | WRITTEN["web"] | WRITTEN["triton-python" if python else "triton"]
    for _ in range(2):
        done = capsedge("export", str(run.path), *both, "--triton", str(folder), *python)

        assert done.returncode == 0, done.stderr
        assert tree(folder).keys() == wanted


TARGETS = ("triton", "triton-python", "web")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("mine.txt", "mine", "exists and was not written by capsedge"),
        ("model.onnx", "mine", "exists and was not written by capsedge"),
        ("model.safetensors", "mine", "exists and was not written by capsedge"),
        ("config.pbtxt", 'name: "mine"', "exists and was not written by capsedge"),
        ("index.html", "<p>mine</p>", "exists and was not written by capsedge"),
        ("1/model.onnx", "mine", "exists and was not written by capsedge"),
        ("run.json", "{}", "is the folder of a run"),
    ],
)
def test_somebody_elses_files_are_refused_before_anything_is_written(
    name: str, text: str, told: str, target: str, run: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    place = tmp_path / "photos" / next(iter(WRITTEN[target])).partition("/")[0]
    (place / name).parent.mkdir(parents=True)
    (place / name).write_text(text)
    before = tree(tmp_path)
    done = capsedge("export", str(run.path), *options(target, tmp_path / "photos", own_library))

    assert done.returncode == 2
    assert f"capsedge: '{place}' {told}: move it away, or give another folder\n" in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", TARGETS)
def test_what_lies_beside_an_export_or_was_edited_is_refused_before_anything_is_written(
    target: str, run: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    folder = tmp_path / "photos"
    command = ["export", str(run.path), *options(target, folder, own_library)]
    assert capsedge(*command).returncode == 0
    (run.path / "model.onnx").unlink()
    place = next(folder.iterdir())
    (main,) = {file.name for file in place.iterdir()} & {"config.pbtxt", "index.html"}
    for name, told in (("mine.txt", f"'{place}' also has 'mine.txt'"), (main, f"'{place / main}' was edited since")):
        with (place / name).open("a") as file:
            file.write("\n")
        before = tree(tmp_path)
        done = capsedge(*command)

        assert done.returncode == 2
        assert f"capsedge: {told}" in done.stderr
        assert tree(tmp_path) == before
        (place / "mine.txt").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("target", "output"),
    [
        *product(TARGETS, ["{name}/sub/model.onnx", "{name}/1/model.onnx", ""]),
        ("triton", "{name}"),
        ("web", "{name}"),
    ],
)
def test_a_file_and_a_folder_that_exclude_each_other_are_refused_before_anything_is_written(
    target: str, output: str, trained: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    shutil.copytree(trained.path, run := tmp_path / "run.onnx")
    name = next(iter(WRITTEN[target])).partition("/")[0].replace("tiny", "run.onnx")
    folder = tmp_path / "photos.onnx"
    before = tree(tmp_path)
    file = folder / output.format(name=name)
    done = capsedge("export", str(run), *options(target, folder, own_library), "-o", str(file))

    assert done.returncode == 2
    assert f"capsedge: '{file}' and '{folder / name}' exclude each other: choose another name for" in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", TARGETS)
def test_the_folder_of_the_runs_is_no_place(
    target: str, run: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    shutil.copytree(run.path, tmp_path / "tiny-python")
    before = tree(tmp_path)
    done = capsedge("export", str(run.path), *options(target, tmp_path, own_library))

    assert done.returncode == 2
    assert "is the folder of a run: move it away, or give another folder" in done.stderr
    assert tree(tmp_path) == before
