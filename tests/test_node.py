"""examples/node: the contract and the preprocessing in another language give the answers of capsedge.

Its packages (300 MB) are installed only by `make node`, into the user's cache; without them these tests are skipped.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
from msgspec.structs import replace
from PIL import Image
from platformdirs import user_cache_path

from capsedge.contract import contract_of, sealed
from capsedge.fit import Frame
from capsedge.onnx_lite.file import read_onnx_file
from tests.in_process import in_this_process

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "node"
SAMPLES = sorted((ROOT / "samples").glob("*.png"))
BUILTIN = ROOT / "capsedge" / "builtin" / "fashion-mnist.onnx"
ONE_SHADE = 0.05  # of a length, in int8; Pillow 13 resamples some high images along the columns first
DEMANDED = os.environ.get("CAPSEDGE_TEST_NODE") == "1"  # `make node`: install the packages, and skip nothing


@pytest.fixture(scope="module")
def program() -> Path:
    """classify.mjs beside its packages."""
    if not shutil.which("node") or not shutil.which("npm"):
        (pytest.fail if DEMANDED else pytest.skip)(
            "it takes Node.js 20.9 or later with npm: apt-get install nodejs npm"
        )
    package = (EXAMPLE / "package.json").read_bytes()
    folder = user_cache_path("capsedge-tests") / f"node-{hashlib.sha256(package).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        if not DEMANDED:
            pytest.skip("the packages of examples/node are not installed: make node")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(package)
        words = ["npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "installed").touch()
    shutil.copy(EXAMPLE / "classify.mjs", folder)
    return folder / "classify.mjs"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Garments in other sizes and formats: wide, high, in colour, transparent, tiny, with a palette, lying."""
    folder = tmp_path_factory.mktemp("pictures")
    garments = [Image.open(path) for path in SAMPLES]
    lying = Image.Exif()
    lying[274] = 6  # turned by 90 degrees
    tinted = Image.merge("RGB", (garments[1], garments[1].point(lambda value: value // 2), garments[2]))
    garments[0].resize((317, 123)).save(folder / "wide.png")
    tinted.resize((61, 200)).save(folder / "high.png")
    transparent = tinted.resize((57, 57)).convert("RGBA")
    transparent.putalpha(garments[3].resize((57, 57)))
    transparent.save(folder / "transparent.png")
    garments[4].resize((13, 9)).save(folder / "tiny.png")
    tinted.quantize(16).resize((50, 40)).save(folder / "palette.gif")
    garments[6].convert("RGB").resize((90, 140)).save(folder / "lying.jpg", exif=lying, quality=95)
    return sorted(folder.iterdir())


def node(program: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", str(program), *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def lengths(line: str) -> tuple[str, str, dict[str, float]]:
    """Path, class and the length of every class of an answer."""
    said: dict[str, Any] = json.loads(line)
    return said["path"], said["class"], {each["class"]: each["length"] for each in [said, *said["next_best"]]}


@pytest.mark.parametrize("frame", ["pad", "crop", "stretch"])
def test_node_answers_as_capsedge_infer(
    frame: Frame,
    program: Path,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = [*map(str, SAMPLES), *map(str, pictures)]
    model = framing(frame, tmp_path / "model.onnx")
    capsedge = in_this_process(capsys, monkeypatch)
    asked = capsedge("infer", *images, "--model", str(model), "--invert", "no", "--top", "10", "--json")

    done = node(program, model, *images)

    assert done.returncode == 0, done.stderr
    answers = {path: (name, found) for path, name, found in map(lengths, done.stdout.splitlines())}
    expected = [lengths(line) for line in asked.stdout.splitlines()]
    assert len(expected) == len(answers) == len(images)
    for path, name, found in expected:
        assert answers[path][0] == name
        near = ONE_SHADE if Path(path).name == "high.png" else 1e-3
        assert answers[path][1] == pytest.approx(found, abs=near), path


def framing(frame: Frame, target: Path) -> Path:
    """The built-in model with another rule for images of other sizes."""
    contract = contract_of(read_onnx_file(BUILTIN), source="built in")
    assert contract is not None
    model = onnx.load(BUILTIN)
    sealing = sealed(replace(contract, fit=replace(contract.fit, frame=frame)))
    for prop in model.metadata_props:
        prop.value = sealing.get(prop.key, prop.value)
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: node classify.mjs MODEL.onnx IMAGE..."),
        (["FOREIGN", "image.png"], "'FOREIGN' has no contract: it was not exported by capsedge"),
        (["FIGURE", "image.png"], "expected one class for each image, and a fit by pad, crop or stretch"),
        (["gone.onnx", "image.png"], "'gone.onnx' cannot be read: ENOENT"),
        (["GARBLED", "image.png"], "'GARBLED' cannot be run: "),
        (["README.md", "image.png"], "'README.md' is cut off, damaged or not an ONNX file: copy or export it again"),
        (["BUILTIN", "gone.png"], "'gone.png' cannot be read: Input file is missing"),
        (["BUILTIN", "README.md"], "'README.md' cannot be read: Input file contains unsupported image format"),
        (["BUILTIN", "DEEP"], "'DEEP' cannot be read: it has more than 8 bits per channel"),
    ],
)
def test_node_refuses_in_one_line(words: list[str], said: str, program: Path, tmp_path: Path) -> None:
    model = onnx.load(BUILTIN)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    Image.new("I;16", (28, 28)).save(tmp_path / "deep.png")
    garbled = onnx.load(BUILTIN)
    garbled.graph.node[0].op_type = "Nothing"
    onnx.save(garbled, tmp_path / "garbled.onnx")
    files = {
        "BUILTIN": BUILTIN,
        "DEEP": tmp_path / "deep.png",
        "FIGURE": framing("figure", tmp_path / "figure.onnx"),
        "FOREIGN": tmp_path / "foreign.onnx",
        "GARBLED": tmp_path / "garbled.onnx",
    }
    done = node(program, *(files.get(word, word) for word in words))

    for name, file in files.items():
        said = said.replace(f"'{name}'", f"'{file}'")
    assert (done.returncode, done.stdout) == (1 if words else 2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_node_says_of_a_file_that_is_cut_anywhere_that_it_is_damaged(program: Path, tmp_path: Path) -> None:
    content = BUILTIN.read_bytes()
    cut = tmp_path / "cut.onnx"
    for size in (0, 1, 5, 300, len(content) // 2, len(content) - 2000, len(content) - 1):
        cut.write_bytes(content[:size])
        done = node(program, cut, "image.png")

        assert (done.returncode, done.stdout) == (1, ""), size
        assert done.stderr == f"'{cut}' is cut off, damaged or not an ONNX file: copy or export it again\n", size


def test_node_names_a_package_that_is_missing_in_one_line(program: Path, tmp_path: Path) -> None:
    shutil.copy(program, tmp_path)
    assert node(tmp_path / program.name, BUILTIN).returncode == 2  # wrong use comes first
    done = node(tmp_path / program.name, BUILTIN, SAMPLES[0])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the package onnxruntime-node cannot be loaded (Cannot find package")
    assert done.stderr.endswith("): npm install --ignore-scripts\n")
