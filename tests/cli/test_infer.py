"""`capsedge infer` as a person runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from capsedge.runtime import models as builtin
from tests.cli.conftest import Edge
from tests.in_process import Capsedge, in_this_process
from tests.run_records import write_record
from tests.runtime.capsule_model import CLASSES, evaluate, images

said_here = pytest.fixture(in_this_process)


@pytest.fixture
def capsedge(
    said_here: Capsedge, good: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Capsedge:
    """`capsedge` in this process, with a small model in the built-in one's place and none in `runs/`."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    place = tmp_path_factory.mktemp("builtin")
    shutil.copy(good, place / "fashion-mnist.onnx")
    monkeypatch.setattr(builtin, "BUILTIN", place)
    return said_here


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
    assert {"torch", "onnx"}.isdisjoint(done.args)


def test_after_unreliable_answers_the_next_command_shows_what_the_network_saw(
    capsedge: Capsedge, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.cli.screens.infer.Tally.unreliable", True)
    one, folder = str(photos / "b.png"), str(photos)
    for words, then in (
        ([one, "--model", "builtin"], f"next: capsedge infer {one} --model builtin --visualize seen.png"),
        ([folder], f"next: capsedge infer {folder} --visualize seen"),
        (
            [one, "--invert", "no", "--threshold", "0.2", "--provider", "cpu"],
            f"next: capsedge infer {one} --provider cpu --invert no --threshold 0.2 --visualize seen.png",
        ),
    ):
        assert capsedge("infer", *words).stderr.splitlines()[-1] == then
    monkeypatch.setattr("capsedge.cli.screens.infer.Tally.unreliable", False)
    assert capsedge("infer", one, "--provider", "cpu").stderr.endswith("next: capsedge bench --provider cpu\n")


def test_after_a_training_the_newest_export_answers_and_that_is_said(
    capsedge: Capsedge, photos: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/mine").mkdir(parents=True)
    shutil.copy(good, tmp_path / "runs/mine/model.onnx")
    (tmp_path / "runs/mine/run.json").write_text("{}")
    file = str(Path("runs/mine/model.onnx"))
    note = f"note: '{file}' is the newest export in runs/; the built-in model is named builtin\n"
    done = capsedge("infer", str(photos))
    assert done.returncode == 0
    assert done.stderr.startswith(f"model: {file}\n{note}")
    for command in ("verify", "inspect"):
        done = capsedge(command)
        assert done.stderr.startswith(note), done.stderr
        assert file in done.stdout
    assert capsedge("infer", str(photos), "--model", "builtin").stderr.startswith("model: fashion-mnist (built in)\n")


def test_before_an_export_the_built_in_model_answers_and_that_is_said(
    capsedge: Capsedge, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "runs/mine", "finished")
    note = "note: this is the built-in model; 'runs/mine' is finished and not exported: capsedge export runs/mine\n"
    assert note in capsedge("infer", str(photos)).stderr
    assert note not in capsedge("infer", str(photos), "--model", "builtin").stderr


def test_json_is_one_line_an_image_and_carries_the_models_numbers(
    capsedge: Capsedge, photos: Path, good: Path
) -> None:
    lengths, _ = evaluate(good, images(3, seed=3))

    done = capsedge("infer", str(photos), "--model", str(good), "--json", "--top", "3", "--batch", "2")

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, f"model: {good}\n")
    assert [answer["class"] for answer in answers] == [CLASSES[index] for index in lengths.argmax(axis=1)]
    assert [answer["length"] for answer in answers] == pytest.approx(lengths.max(axis=1).tolist(), abs=1e-5)
    assert [len(answer["next_best"]) for answer in answers] == [2, 2, 2]
    assert all(set(answer) == {"path", "class", "length", "next_best"} for answer in answers)


def test_a_broken_image_is_told_the_others_are_done_and_the_exit_code_is_1(
    capsedge: Capsedge, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_text("no image")
    paths = str(tmp_path / "broken.png"), str(photos / "b.png")

    table = capsedge("infer", *paths)
    lines = capsedge("infer", *paths, "--json")

    assert (table.returncode, lines.returncode) == (1, 1)
    assert "b.png" in table.stdout
    assert "broken.png' cannot be read as an image" in table.stderr
    first, second = (json.loads(line) for line in lines.stdout.splitlines())
    assert (set(first), set(second)) == ({"path", "error"}, {"path", "class", "length", "next_best"})
    last = "1 of 2 images could not be read; the others were classified"
    assert table.stderr.splitlines()[-1] == f"capsedge: {last}"
    assert json.loads(lines.stderr.splitlines()[-1])["error"]["text"] == last


def test_an_image_and_a_list_can_come_through_a_pipe(edge: Edge, photos: Path) -> None:
    image = edge("infer", "-", "--json", stdin=(photos / "b.png").read_bytes())
    listed = edge("infer", "--list", "-", "--json", stdin=f"{photos / 'c.png'}\0{photos / 'gone.png'}\0".encode())

    assert (image.returncode, listed.returncode) == (0, 1)
    assert json.loads(image.stdout)["path"] == "-"
    answer, broken = (json.loads(line) for line in listed.stdout.splitlines())
    assert answer["path"] == str(photos / "c.png")
    assert broken == {"path": str(photos / "gone.png"), "error": f"there is no image '{photos / 'gone.png'}'"}


def test_with_a_threshold_that_none_reaches_there_is_no_class(capsedge: Capsedge, photos: Path) -> None:
    done = capsedge("infer", str(photos / "b.png"), "--threshold", "1", "--json")
    table = capsedge("infer", str(photos / "b.png"), "--threshold", "1")

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["class"]) == (0, None)
    assert answer["length"] == answer["next_best"][0]["length"] < 1
    assert table.stdout.splitlines()[-1].split()[1:3] == ["-", "-"]


def test_pictures_are_drawn_and_named_in_the_answers(capsedge: Capsedge, photos: Path, tmp_path: Path) -> None:
    done = capsedge("infer", str(photos), "--json", "--visualize", str(tmp_path / "seen"))
    one = capsedge("infer", str(photos / "b.png"), "--visualize", str(tmp_path / "one.png"))

    drawn = [json.loads(line)["picture"] for line in done.stdout.splitlines()]
    assert drawn == [
        str(tmp_path / "seen" / f"0000{number}-{stem}.png") for number, stem in enumerate(("a_red", "b", "c"), 1)
    ]
    assert one.stderr.splitlines()[1] == f"wrote {tmp_path / 'one.png'}"
    with Image.open(tmp_path / "one.png") as alone, Image.open(drawn[1]) as among:
        assert alone.tobytes() == among.tobytes()


def test_inverting_is_said_in_the_answer(capsedge: Capsedge, photos: Path) -> None:
    done = capsedge("infer", str(photos / "b.png"), "--invert", "yes", "--json")
    assert json.loads(done.stdout)["inverted"] is True


def test_many_images_are_summed_up(capsedge: Capsedge, photos: Path) -> None:
    done = capsedge("infer", *[str(photos)] * 8)
    assert done.stderr.splitlines()[1].startswith("24 images: ")
    assert len(done.stdout.splitlines()) == 2 + 24


@pytest.mark.parametrize("as_json", [True, False])
def test_the_progress_bar_of_a_terminal_leaves_stdout_to_the_answers(photos: Path, good: Path, as_json: bool) -> None:
    """`capsedge infer photos > answers` on a terminal: stderr is one, stdout is none."""
    done, drawn = on_a_terminal(["infer", str(photos), "--model", str(good), *(["--json"] if as_json else [])])

    for file in sorted(photos.iterdir()):
        assert str(file) in done.stdout.decode()
    assert "classifying" in drawn
    assert "b.png" not in drawn


def on_a_terminal(arguments: list[str]) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """What was written to stdout, and what a terminal on stderr showed."""
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "capsedge", *arguments], stdout=subprocess.PIPE, stderr=end, check=True
    )
    os.close(end)
    drawn = os.read(terminal, 100_000).decode()
    os.close(terminal)
    return done, drawn


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["{models}/text.onnx"], 1, "capsedge: '{models}/text.onnx' cannot be read as an image"),
        (["gone/*.png"], 1, "capsedge: nothing matches 'gone/*.png'"),
        (["{empty}"], 1, "capsedge: the folder '{empty}' holds no images ("),
        (["--list", "gone.txt"], 1, "capsedge: --list: expected a file with a path on each line, or -; 'gone.txt'"),
        (["-", "--list", "-"], 2, "capsedge: standard input cannot be both"),
        (
            ["{photo}", "{photo}", "--visualize", "x.png"],
            2,
            "capsedge: --visualize: expected a folder for several images, got",
        ),
        (["{photo}", "--visualize", "{photo}"], 2, "capsedge: '{photo}' exists and was not drawn by capsedge infer"),
        (
            ["{photo}", "--model", "fashion-mnits"],
            2,
            "capsedge: there is no file and no model 'fashion-mnits': did you mean",
        ),
        (["{photo}", "--model", "{models}/foreign.onnx"], 1, "capsedge: '{models}/foreign.onnx' carries no capsedge"),
        (["{photo}", "--model", "{models}/text.onnx"], 1, "capsedge: '{models}/text.onnx' is not a whole ONNX file"),
        (
            ["{photo}", "--model", "{models}/newer.onnx"],
            1,
            "capsedge: '{models}/newer.onnx' has a contract of",
        ),
        (["{photo}", "--provider", "cuda"], 1, "capsedge: 'cuda' was asked for, but"),
        (["{photo}", "--top", "0"], 2, "capsedge: invalid value for '--top'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    capsedge: Capsedge, photos: Path, models: Path, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    places = {"photo": photos / "b.png", "models": models, "empty": tmp_path}

    done = capsedge("infer", *(argument.format(**places) for argument in arguments))

    assert (done.returncode, done.stdout) == (code, "")
    said = [text for text in done.stderr.splitlines() if not text.startswith("model: ")]
    assert len(said) == 1
    assert said[0].startswith(line.format(**places))
