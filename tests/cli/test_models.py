"""`capsedge models`, and the models of the zoo in the commands that take a model."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from capsedge.cli import console
from capsedge.runtime import models as finding
from capsedge.runtime.models import Index, ListedModel, ModelFile
from tests.cli.conftest import in_a_shell
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


@pytest.fixture
def zoo(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one model that is here and one that is not, and the default model built in."""
    builtin, folder = tmp_path / "builtin", tmp_path / "zoo"
    builtin.mkdir()
    (folder / "edge-tiny").mkdir(parents=True)
    shutil.copy(good, builtin / "fashion-mnist.onnx")
    shutil.copy(good, folder / "edge-tiny" / "model.onnx")
    shutil.copy(good, folder / "edge-tiny" / "model.int8.onnx")
    size, sha256 = good.stat().st_size, hashlib.sha256(good.read_bytes()).hexdigest()

    def file(name: str, precision: str, error: float) -> ModelFile:
        return ModelFile(file=name, precision=precision, size_bytes=size, sha256=sha256, test_error=error)

    here = (file("model.onnx", "fp32", 0.0712), file("model.int8.onnx", "int8", 0.0731))
    gone = (file("model.int8.onnx", "int8", 0.0654),)

    def model(name: str, parameters: int, macs: int, *files: ModelFile) -> ListedModel:
        return ListedModel(
            name=name, data="Fashion-MNIST", test_images=10_000, parameters=parameters, macs=macs, files=files
        )

    index = Index(models=(model("edge-tiny", 98_520, 930_000, *here), model("wide", 6_800_000, 198_000_000, *gone)))
    (builtin / "zoo.json").write_bytes(msgspec.json.encode(index))
    monkeypatch.setattr(finding, "BUILTIN", builtin)
    monkeypatch.setenv("CAPSEDGE_ZOO", str(folder))
    return folder


@pytest.mark.parametrize("width", [80, 120])
def test_every_model_is_listed_with_its_cost_its_errors_and_its_place(
    capsedge: Capsedge, zoo: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(console.out, "_width", width)

    done = capsedge("models")

    rows = {cells[0]: cells[1:] for cells in map(str.split, done.stdout.splitlines()) if cells}
    size = str(round((zoo / "edge-tiny" / "model.onnx").stat().st_size / 1000))
    assert done.returncode == 0
    assert rows["edge-tiny"] == ["98,520", "0.93", size, "kB,", "7.12", "%", size, "kB,", "7.31", "%", "zoo"]
    assert rows["wide"] == ["6,800,000", "198.00", "-", size, "kB,", "6.54", "%", "not", "here"]
    assert rows["fashion-mnist"][-2:] == ["built", "in"]
    assert " Test error on Fashion-MNIST, 10,000 images: edge-tiny, wide\n" in done.stdout
    assert " builtin is another name of fashion-mnist\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= width
    assert done.stderr == (
        f"models that are not here: put them into '{zoo}', or set CAPSEDGE_ZOO to another folder\n"
        "next: capsedge inspect edge-tiny\n"
    )


def test_the_names_are_not_repeated_where_all_were_tested_on_the_same_images(capsedge: Capsedge, zoo: Path) -> None:
    (finding.BUILTIN / "fashion-mnist.onnx").unlink()

    done = capsedge("models")

    assert " Test error on Fashion-MNIST, 10,000 images\n" in done.stdout
    assert done.stdout.count("edge-tiny") == 1


def test_in_60_columns_a_name_stays_whole(capsedge: Capsedge, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_width", 60)

    done = capsedge("models")
    lines, words = done.stdout.splitlines(), done.stdout.split()

    assert {"parameters", "98,520", "6,800,000", "7.12", "7.31", "6.54", "here", "built"} <= {*words}
    assert "…" not in done.stdout
    assert {"fashion-mnist", "edge-tiny", "wide"} <= {line.split()[0] for line in lines if line.strip()}
    assert max(map(len, lines)) <= 60


def test_json_holds_the_index_and_what_is_here(capsedge: Capsedge, zoo: Path) -> None:
    done = capsedge("models", "--json")

    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert record["zoo"] == str(zoo)
    assert record["builtin"] == "fashion-mnist"
    assert [(each["name"], each["origin"], each["folder"]) for each in record["models"]] == [
        ("fashion-mnist", "built in", str(finding.BUILTIN)),
        ("edge-tiny", "zoo", str(zoo / "edge-tiny")),
        ("wide", "zoo", None),
    ]
    assert [(file["precision"], file["test_error"]) for file in record["models"][1]["files"]] == [
        ("fp32", 0.0712),
        ("int8", 0.0731),
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_altered_file_is_listed_and_fails(capsedge: Capsedge, zoo: Path, options: tuple[str, ...]) -> None:
    altered = zoo / "edge-tiny" / "model.int8.onnx"
    altered.write_bytes(altered.read_bytes() + b"\0")

    done = capsedge("models", *options)

    assert done.returncode == 1
    assert "altered" in done.stdout
    assert f"these files are not the listed ones (their SHA-256 differs): '{altered}'" in done.stderr.splitlines()[-1]


COMMANDS = {
    "infer": ("infer", "image.png", "--model", "{model}"),
    "verify": ("verify", "{model}"),
    "inspect": ("inspect", "{model}"),
    "bench": ("bench", "{model}", "--iterations", "1", "--json"),
    "profile": ("profile", "{model}", "--iterations", "50", "--no-roofline", "--json"),
}


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28), 90).save("image.png")


@pytest.mark.usefixtures("zoo", "image")
@pytest.mark.parametrize(
    ("model", "named"), [("edge-tiny", "edge-tiny (zoo)"), ("edge-tiny.int8", "edge-tiny int8 (zoo)")]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_a_model_of_the_zoo_by_its_name(
    capsedge: Capsedge, command: str, model: str, named: str
) -> None:
    done = capsedge(*(word.format(model=model) for word in COMMANDS[command]))

    assert done.returncode == 0, done.stderr
    assert named in done.stdout + done.stderr


@pytest.mark.parametrize("model", ["edge-tiny", "edge-tiny.int8", "builtin"])
def test_lint_takes_a_name_and_the_gate_says_why_it_cannot(capsedge: Capsedge, zoo: Path, model: str) -> None:
    linted = capsedge("lint", model, "--json")
    assert linted.returncode == 0, linted.stderr
    found = json.loads(linted.stdout)
    file = Path(found["file"])
    assert found["model"].endswith(("(zoo)", "(built in)"))  # as for the other commands
    assert file.parent in (zoo / "edge-tiny", finding.BUILTIN)

    before = file.read_bytes()
    refused = capsedge("gate", model)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(
        rf"capsedge: '{model}' is the model .* \((built in|zoo)\), and the gate writes its verdict into the file: "
        r"copy the file, and give the copy and the run of which it was exported: capsedge gate COPY --run RUN\n",
        refused.stderr,
    )
    assert file.read_bytes() == before


def test_the_gate_refuses_a_shipped_file_by_any_path_and_takes_a_folder_with_the_name_of_one(
    capsedge: Capsedge, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(zoo)
    (tmp_path / "link").symlink_to(finding.BUILTIN)
    for path, named in (
        ("edge-tiny", "edge-tiny (zoo)"),
        ("edge-tiny/model.int8.onnx", "edge-tiny int8 (zoo)"),
        ("../link/fashion-mnist.onnx", "fashion-mnist (built in)"),
    ):
        refused = capsedge("gate", path)
        assert refused.returncode == 2
        assert f"'{path}' is the model {named}, and the gate writes its verdict" in refused.stderr

    monkeypatch.chdir(tmp_path)
    shutil.copytree(zoo / "edge-tiny", tmp_path / "edge-tiny")
    taken = capsedge("gate", "edge-tiny")
    assert taken.returncode == 1
    assert "'edge-tiny' is not a run: add --run RUN" in taken.stderr


def test_where_only_a_path_can_stand_a_damaged_index_of_the_zoo_hides_no_error(
    capsedge: Capsedge, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = capsedge("show", "edge-tiny.int8").stderr
    assert "the name of a model: capsedge inspect edge-tiny.int8 shows it" in named
    (finding.BUILTIN / "zoo.json").write_text("{")
    assert capsedge("gate", "gone").stderr == "capsedge: there is no model at 'gone'\n"
    assert "'gone' is not a run" in capsedge("show", "gone").stderr


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_with_another_hash_is_refused_in_one_line(capsedge: Capsedge, zoo: Path, command: str) -> None:
    file = zoo / "edge-tiny" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")

    done = capsedge(*(word.format(model="edge-tiny") for word in COMMANDS[command]))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"'{file}' is not the file that this capsedge lists, its SHA-256 differs" in done.stderr
    assert "restore it with git" in done.stderr


WORDS = {
    "infer": ("capsedge infer a.png --model {}", 4),
    "infer -m": ("capsedge infer a.png -m {}", 4),
    "verify": ("capsedge verify {}", 2),
    "inspect": ("capsedge inspect {}", 2),
    "lint": ("capsedge lint {}", 2),
    "bench": ("capsedge bench fashion-mnist {}", 3),
    "profile": ("capsedge profile {}", 2),
    "eval": ("capsedge eval {}", 2),
    "eval --compare": ("capsedge eval builtin --compare {}", 4),
    "data": ("capsedge data {}", 2),
    **{f"{each} --data": (f"capsedge {each} --data {{}}", 3) for each in ("train", "eval", "bench")},
    "recipe --data": ("capsedge recipe edge-small --data {}", 4),
    "reproduce --data": ("capsedge reproduce fig1 --data {}", 4),
    "export --precision": ("capsedge export --precision {}", 3),
    "bench --sweep": ("capsedge bench --sweep {}", 3),
    "train --set": ("capsedge train --set {}", 3),
    "reproduce --model": ("capsedge reproduce fig1 --model {}", 4),
}


# Where a name is that of a model.
MODEL_WORDS = [
    each for each in WORDS if each != "data" and not each.endswith(("--data", "--precision", "--sweep", "--set"))
]


@pytest.mark.parametrize(
    ("command", "begun", "names"),
    [
        *((each, "fash", ["fashion-mnist"]) for each in MODEL_WORDS),
        ("verify", "buil", ["builtin"]),
        *(
            (each, "mni", ["mnist"])
            for each in ("data", "train --data", "recipe --data", "eval --data", "bench --data")
        ),
        ("reproduce --data", "mni", ["mnist"]),
        ("export --precision", "in", ["int8", "int8+fp16"]),
        ("export --precision", "fp32,in", ["fp32,int8", "fp32,int8+fp16"]),
        ("bench --sweep", "ba", ["batch="]),
        ("train --set", "train.ep", ["train.epochs="]),
        ("infer", "runs/", []),
    ],
)
def test_the_completion_knows_the_names_and_leaves_paths_to_the_shell(
    command: str, begun: str, names: list[str]
) -> None:
    words, position = WORDS[command]
    done = in_a_shell(_CAPSEDGE_COMPLETE="complete_bash", COMP_WORDS=words.format(begun), COMP_CWORD=str(position))

    assert done.stdout.split() == names


@pytest.mark.usefixtures("zoo")
def test_a_sweep_over_precisions_takes_a_name(capsedge: Capsedge) -> None:
    done = capsedge("bench", "edge-tiny", "--sweep", "precision=fp32,int8", "--iterations", "1", "--json")

    assert done.returncode == 0, done.stderr
    (group,) = json.loads(done.stdout)["groups"]
    assert [(case["label"], case["model"]) for case in group["cases"]] == [
        ("edge-tiny fp32", "edge-tiny (zoo)"),
        ("edge-tiny int8", "edge-tiny int8 (zoo)"),
    ]
