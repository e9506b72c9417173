"""`capsedge infer` as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Edge
from tests.runtime.capsule_model import CLASSES, evaluate, images


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, one of which has brackets in its name."""
    folder = tmp_path_factory.mktemp("photos")
    for name, image in zip(("a[red].png", "b.png", "c.png"), images(3, seed=3), strict=True):
        Image.fromarray(image[..., 0]).save(folder / name)
    return folder


def test_a_folder_becomes_a_table_and_stderr_names_the_model_and_the_next_command(edge: Edge, photos: Path) -> None:
    done = edge("infer", photos)

    assert (done.returncode, done.stderr) == (0, "model: fashion-mnist (built in)\nnext: capsedge bench")
    header, *rows = [line.split() for line in done.stdout.splitlines() if line.strip(" ─")]
    assert header == ["file", "class", "length", "next", "best"]
    assert [row[0] for row in rows] == [str(photos / name) for name in ("a[red].png", "b.png", "c.png")]
    assert {"torch", "onnx", "lightning_fabric"}.isdisjoint(done.args)


def test_json_is_one_line_an_image_and_carries_the_models_numbers(edge: Edge, photos: Path, good: Path) -> None:
    lengths, _ = evaluate(good, images(3, seed=3))

    done = edge("infer", photos, "--model", good, "--json", "--top", "3", "--batch", "2")

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, f"model: {good}")
    assert [answer["class"] for answer in answers] == [CLASSES[index] for index in lengths.argmax(axis=1)]
    assert [answer["length"] for answer in answers] == pytest.approx(lengths.max(axis=1).tolist(), abs=1e-5)
    assert [len(answer["next_best"]) for answer in answers] == [2, 2, 2]


def test_a_broken_image_is_told_the_others_are_done_and_the_exit_code_is_1(
    edge: Edge, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_text("no image")

    table = edge("infer", tmp_path / "broken.png", photos / "b.png")
    lines = edge("infer", tmp_path / "broken.png", photos / "b.png", "--json")

    assert (table.returncode, lines.returncode) == (1, 1)
    assert "b.png" in table.stdout
    assert "broken.png' cannot be read as an image" in table.stderr
    first, second = (json.loads(line) for line in lines.stdout.splitlines())
    assert (set(first), set(second)) == ({"path", "error"}, {"path", "class", "length", "next_best"})
    last = "capsedge: 1 of 2 images could not be read; the others are done"
    assert table.stderr.splitlines()[-1] == lines.stderr.splitlines()[-1] == last


def test_an_image_can_come_through_a_pipe(edge: Edge, photos: Path) -> None:
    done = edge("infer", "-", "--json", stdin=(photos / "b.png").read_bytes())

    assert done.returncode == 0
    assert json.loads(done.stdout)["path"] == "-"


def test_the_progress_bar_of_a_terminal_leaves_stdout_to_the_answers(photos: Path, good: Path) -> None:
    """`capsedge infer photos --json > answers.jsonl` on a terminal: stderr is one, stdout is none."""
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "capsedge", "infer", str(photos), "--model", str(good), "--json"],
        stdout=subprocess.PIPE,
        stderr=end,
        check=True,
    )
    os.close(end)
    drawn = os.read(terminal, 100_000).decode()
    os.close(terminal)

    answered = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert answered == [str(file) for file in sorted(photos.iterdir())]
    assert "classifying" in drawn
    assert '"path"' not in drawn


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["gone.png"], 2, "capsedge: there is no image file or folder 'gone.png'"),
        (["{empty}"], 2, "capsedge: the folder '{empty}' holds no images ("),
        (
            ["{photo}", "--model", "fashion-mnits"],
            2,
            "capsedge: there is no file and no built-in model 'fashion-mnits'; did you mean",
        ),
        (["{photo}", "--model", "{models}/foreign.onnx"], 1, "capsedge: '{models}/foreign.onnx' carries no capsedge"),
        (["{photo}", "--model", "{models}/text.onnx"], 1, "capsedge: '{models}/text.onnx' is not a whole ONNX file"),
        (
            ["{photo}", "--model", "{models}/newer.onnx"],
            1,
            "capsedge: '{models}/newer.onnx' has a contract of",
        ),
        (["{photo}", "--provider", "cuda"], 1, "capsedge: 'cuda' was asked for, but"),
        (["{photo}", "--provider", "gpu"], 2, "capsedge: Invalid value for '--provider': "),
        (["{photo}", "--top", "0"], 2, "capsedge: Invalid value for '--top'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    edge: Edge, photos: Path, models: Path, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    places = {"photo": photos / "b.png", "models": models, "empty": tmp_path}

    done = edge("infer", *(argument.format(**places) for argument in arguments))

    assert (done.returncode, done.stdout) == (code, "")
    said = [text for text in done.stderr.splitlines() if not text.startswith("model: ")]
    assert len(said) == 1
    assert said[0].startswith(line.format(**places))


def test_a_single_broken_image_is_one_line_with_its_reason(edge: Edge, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    done = edge("infer", tmp_path / "text.png")

    assert (done.returncode, done.stdout) == (1, "")
    model, reason = done.stderr.splitlines()
    assert model == "model: fashion-mnist (built in)"
    assert reason.startswith(f"capsedge: '{tmp_path / 'text.png'}' cannot be read as an image")
