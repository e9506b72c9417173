"""`capsedge eval` on a folder, on a run's own images, and beside another model."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from capsedge.runtime import models as builtin
from tests.in_process import Capsedge, in_this_process
from tests.runtime.capsule_model import CLASSES, evaluate, images

capsedge = pytest.fixture(in_this_process)
NAMES = ("<b>a & b.png", "c.png", "d.png", "e.png", "f.png", "g.png")


@pytest.fixture(scope="module")
def answers(good: Path) -> list[int]:
    """What the small model takes six images for."""
    lengths, _ = evaluate(good, images(6, seed=3))
    return [int(answer) for answer in lengths.argmax(1)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, answers: list[int]) -> Path:
    """Six images by their classes; of the first and of the last it is not the one that the model takes them for."""
    folder = tmp_path_factory.mktemp("with space") / "my photos"
    for number, (name, image) in enumerate(zip(NAMES, images(6, seed=3), strict=True)):
        label = (answers[number] + (number in (0, 5))) % len(CLASSES)
        (folder / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / CLASSES[label] / name)
    return folder


def test_a_folder_is_counted_and_its_wrong_answers_are_named(
    capsedge: Capsedge, good: Path, photos: Path, answers: list[int]
) -> None:
    done = capsedge("eval", str(good), "--data", str(photos))
    assert done.returncode == 0, done.stderr
    assert "error:    33.33 % of 6 images (95 %: 9.68 % to 70.00 %)" in done.stdout
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong: ")]
    assert len(wrong) == 2
    assert {line.split("/")[-1].split(":")[0] for line in wrong} == {NAMES[0], NAMES[5]}
    assert all(f": {CLASSES[answers[number]]} 0." in "".join(wrong) for number in (0, 5))
    assert done.stderr.endswith("--html errors.html\n")


def test_json_csv_and_page_say_the_same(capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "errors.html", tmp_path / "all.csv"
    done = capsedge("eval", str(good), "--data", str(photos), "--json", "--html", str(page), "--csv", str(table))
    found = json.loads(done.stdout)
    assert found["error"] == pytest.approx(2 / 6)
    assert sum(map(sum, found["confusion"])) == 6
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 6
    lengths, _ = evaluate(good, images(6, seed=3))
    by_name = {row["image"].split("/")[-1]: row for row in rows}
    for name, wanted in zip(NAMES, lengths, strict=True):
        given = [float(by_name[name][each]) for each in CLASSES]
        np.testing.assert_allclose(given, wanted, atol=2e-6)
    assert [by_name[name]["right"] for name in NAMES] == ["no", *["yes"] * 4, "no"]
    written = page.read_text(encoding="utf-8")
    assert "33.33 % of the answers are wrong" in written
    assert written.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;a &amp; b.png" in written
    assert "<b>a & b" not in written
    HTMLParser().feed(written)


def test_beside_another_model(capsedge: Capsedge, good: Path, photos: Path) -> None:
    done = capsedge("eval", str(good), "--data", str(photos), "--compare", str(good), "--json")
    beside = json.loads(done.stdout)["comparison"]
    assert (beside["error"], beside["p_value"]) == (pytest.approx(2 / 6), 1.0)
    within = 1.959964 * (2 / 8) ** 0.5 / 8**0.5  # as of eight images, of which one of each model alone is wrong
    assert beside["difference"] == pytest.approx({"mean": 0, "low": -within, "high": within})


def test_images_in_parts_give_the_part_and_broken_ones_are_told(
    capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "parts" / "test")
    shutil.copytree(photos, tmp_path / "parts" / "train")
    next((tmp_path / "parts" / "train").rglob("c.png")).write_bytes(b"no image")
    counts = {}
    for part in ("test", "train", "all"):
        done = capsedge("eval", str(good), "--data", str(tmp_path / "parts"), "--part", part, "--json")
        found = json.loads(done.stdout)
        counts[part] = found["images"], sum(each["code"] == "broken-images" for each in found["remarks"])
    assert counts == {"test": (6, 0), "train": (5, 1), "all": (11, 1)}
    none = capsedge("eval", str(good), "--data", str(tmp_path / "parts"), "--part", "validation")
    assert none.returncode == 2
    assert "has no part 'validation', only test, train: give --part, or --part all" in none.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("{good}",), 2, "is not in the folder of a run, whose test images are the default: give --data with"),
        (("{good}", "--data", "{tmp}/nowhere"), 1, "there is no file or folder"),
        (("{good}", "--data", "{tmp}/strange"), 1, "has 1 class ('horse') that the model does not know; it knows: "),
        (("{good}", "--data", "{tmp}/empty"), 1, "has no images: they are expected in <class>/*"),
        (("{good}", "--data", "{photos}", "--html", "x.pdf"), 2, "ends in .html, got 'x.pdf'"),
        (("{good}", "--data", "fashion-mnist-subset"), 1, "that the model does not know; it knows: "),
    ],
)
def test_mistakes_are_one_line(
    capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange/horse").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "strange/horse/1.png")
    done = capsedge("eval", *(word.format(good=good, photos=photos, tmp=tmp_path) for word in words))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1].startswith("capsedge: ")
    assert said in done.stderr


def test_the_built_in_model_gives_the_error_of_its_contract(capsedge: Capsedge) -> None:
    """On the subset that comes with capsedge, which is a part of the images that the contract's error is of."""
    done = capsedge("eval", "builtin", "--data", "fashion-mnist-subset", "--json")
    found = json.loads(done.stdout)
    assert found["images"] == 1000
    assert found["error"] == pytest.approx(0.0645, abs=0.025)
    assert builtin.DEFAULT_MODEL in found["model"]


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "{}", "--data", "{photos}"),
        ("eval", "{good}", "--data", "{photos}", "--compare", "{}"),
        ("infer", "{photos}", "--model", "{}"),
        ("inspect", "{}"),
        ("verify", "{}"),
        ("lint", "{}"),
        ("bench", "{}", "--iterations", "1"),
        ("profile", "{}", "--iterations", "50", "--no-roofline"),
    ],
    ids=lambda words: " ".join(word for word in words if "{" not in word),
)
def test_a_run_without_a_plain_export_is_taken_by_its_only_one_and_that_is_said(
    capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    run = tmp_path / "a run"
    run.mkdir()
    shutil.copy(good, run / "model.int8.onnx")
    done = capsedge(*(word.format(str(run), photos=photos, good=good) for word in words))
    assert done.returncode == 0, done.stderr
    assert f"note: '{run}' has no model.onnx; using its only export, model.int8.onnx\n" in done.stderr
    shutil.copy(good, run / "model.onnx")
    done = capsedge(*(word.format(str(run), photos=photos, good=good) for word in words))
    assert done.returncode == 0, done.stderr
    assert "its only export" not in done.stderr


def test_one_image_is_no_images(capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path) -> None:
    one = tmp_path / "one" / next(photos.rglob("c.png")).parent.name
    one.mkdir(parents=True)
    shutil.copy(next(photos.rglob("c.png")), one)
    page = tmp_path / "one.html"
    said = ""
    for words in (
        ("eval", str(good), "--data", str(one.parent), "--compare", str(good), "--html", str(page)),
        ("infer", str(one.parent), "--model", str(good)),
        ("inspect", str(good)),
        ("bench", str(good), str(good), "--iterations", "1", "--threads", "1"),
        ("profile", str(good), "--iterations", "50", "--threads", "1", "--no-roofline"),
    ):
        done = capsedge(*words)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    said += page.read_text(encoding="utf-8")
    assert "1 image " in said
    several = r"images|classes|layers|epochs|threads|cores|(timed )?runs|rounds|batches|nodes|weights|parameters"
    assert [found[0] for found in re.finditer(rf"(?<![\d.,])1 ({several})\b.{{0,20}}", said)] == []


def test_a_class_may_be_called_as_markup_is(capsedge: Capsedge, good: Path, tmp_path: Path) -> None:
    for name in ("[bold]", "[old] cat"):
        (tmp_path / "odd" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 40 * number + len(name)).save(tmp_path / "odd" / name / f"{number}.png")
    done = capsedge("data", str(tmp_path / "odd"))
    assert done.returncode == 0, done.stderr
    assert " [bold]" in done.stdout
    assert " [old] cat" in done.stdout


WEIGHTS = np.random.default_rng(5).normal(size=(3 * 8 * 8, 4)).astype(np.float32)
KINDS = ("ant", "bee", "cat", "dog")


def classifier(
    file: Path,
    *,
    shape: tuple[int | str, ...] = ("n", 3, 8, 8),
    kind: int = TensorProto.FLOAT,
    more: Sequence[onnx.NodeProto] = (),
    added: float = 0.0,
) -> Path:
    """Somebody else's network: pixels times a matrix plus a number, as logits, or what `more` makes of the sum."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
        helper.make_node("Add", ["product", "added"], ["sum" if more else "logits"]),
        *more,
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (shape[0], 4))],
        [
            numpy_helper.from_array(WEIGHTS, "weights"),
            numpy_helper.from_array(np.array([added], np.float32), "added"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file


@pytest.fixture
def pets(tmp_path: Path) -> tuple[Path, NDArray[np.uint8]]:
    """Twelve colour images, three of each class, and their pixels in the order of their names."""
    pixels = np.random.default_rng(6).integers(0, 256, (12, 8, 8, 3), np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / "pets" / KINDS[number // 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return tmp_path / "pets", pixels


@pytest.mark.parametrize("pixels", ["unit", "signed", "imagenet", "bytes"])
@pytest.mark.parametrize("last", [False, True])
def test_somebody_elses_network_is_shown_what_it_wants(
    capsedge: Capsedge, tmp_path: Path, pets: tuple[Path, NDArray[np.uint8]], pixels: str, last: bool
) -> None:
    folder, images = pets
    file = classifier(tmp_path / "foreign.onnx", shape=("n", 8, 8, 3) if last else ("n", 3, 8, 8))
    words = ["--classes", ",".join(KINDS), "--pixels", pixels, "--csv", str(tmp_path / "all.csv")]
    done = capsedge("eval", str(file), "--data", str(folder), *words, "--json")
    assert done.returncode == 0, done.stderr

    numbers = images.astype(np.float64)
    if pixels != "bytes":
        numbers /= 255
    if pixels == "signed":
        numbers = 2 * numbers - 1
    if pixels == "imagenet":
        numbers = (numbers - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    logits = (numbers if last else numbers.transpose(0, 3, 1, 2)).reshape(12, -1) @ WEIGHTS.astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    rows = sorted(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()), key=lambda row: row["image"])
    np.testing.assert_allclose([[float(row[kind]) for kind in KINDS] for row in rows], shares, atol=1e-4)
    wrong = (logits.argmax(1) != np.arange(12) // 3).mean()
    assert json.loads(done.stdout)["error"] == pytest.approx(wrong)


@pytest.mark.parametrize("clipped", [False, True], ids=["logarithms of negative numbers", "logarithms of 0"])
def test_logarithms_of_0_are_shares_and_a_row_with_nan_has_no_answer_and_leaves_the_others_theirs(
    capsedge: Capsedge, tmp_path: Path, pets: tuple[Path, NDArray[np.uint8]], clipped: bool
) -> None:
    folder, images = pets
    product = (images / 255.0).transpose(0, 3, 1, 2).reshape(12, -1) @ WEIGHTS.astype(np.float64)
    added = -float(np.median(product.min(1)))
    relu = [helper.make_node("Relu", ["sum"], ["clipped"])] if clipped else []
    log = helper.make_node("Log", ["clipped" if clipped else "sum"], ["logits"])
    file = classifier(tmp_path / "foreign.onnx", more=[*relu, log], added=added)
    words = ["--classes", ",".join(KINDS), "--pixels", "unit", "--csv", str(tmp_path / "all.csv")]
    done = capsedge("eval", str(file), "--data", str(folder), *words, "--json")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr

    sums = product + added
    nan: NDArray[np.bool_] = np.full(12, not clipped) & (sums.min(1) < 0)
    assert nan.sum() == (0 if clipped else 6)
    wrong = (sums.argmax(1) != np.arange(12) // 3) | nan
    found = json.loads(done.stdout)
    assert found["error"] == pytest.approx(wrong.mean())
    assert [each["numbers"] for each in found["remarks"] if each["code"] == "not-finite"] == (
        [] if clipped else [{"count": 6}]
    )
    rows = sorted(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()), key=lambda row: row["image"])
    assert [row["answer"] for row in rows] == [
        "" if gone else KINDS[answer] for gone, answer in zip(nan, sums.argmax(1), strict=True)
    ]
    shares = sums.clip(0) / sums.clip(0).sum(1, keepdims=True)
    given = np.array([[float(row[kind]) for kind in KINDS] for row in rows])
    np.testing.assert_allclose(given[~nan], shares[~nan], atol=1e-4)


def test_what_is_not_said_of_somebody_elses_network_is_assumed_aloud(
    capsedge: Capsedge, tmp_path: Path, pets: tuple[Path, NDArray[np.uint8]]
) -> None:
    folder, _ = pets
    (tmp_path / "names.txt").write_text("\n".join(KINDS) + "\n", encoding="utf-8")
    found = {}
    for name, kind in (("float", TensorProto.FLOAT), ("bytes", TensorProto.UINT8)):
        file = classifier(tmp_path / f"{name}.onnx", shape=(5, 3, 8, 8), kind=kind)  # 12 images in batches of 5
        words = ["--data", str(folder), "--classes", str(tmp_path / "names.txt")]
        done = capsedge("eval", str(file), *words, "--json")
        (found[name],) = (
            each["text"] for each in json.loads(done.stdout)["remarks"] if each["code"] == "assumed-pixels"
        )
    assert found["float"] == "no --pixels was given: they are handed over as 0 to 1"
    assert found["bytes"] == "no --pixels was given: they are handed over as bytes of 0 to 255"

    shapes: list[tuple[int | str, ...]] = [("n", 3, "height", "width"), ("n", "h", "w", 3), ("n", 3, 8, "width")]
    for number, shape in enumerate(shapes):
        open_ = classifier(tmp_path / f"open{number}.onnx", shape=shape)
        words = ["--data", str(folder), "--classes", ",".join(KINDS), "--size", "8"]
        assert json.loads(capsedge("eval", str(open_), *words, "--json").stdout)["images"] == 12
        (told,) = (line for line in capsedge("eval", str(open_), *words).stderr.splitlines() if "next:" in line)
        assert told.endswith("--classes ant,bee,cat,dog --size 8 --html errors.html")


@pytest.mark.parametrize(
    ("shape", "words", "said"),
    [
        (("n", 3, 8, 8), "", "give its class names, in the order of its outputs, by --classes"),
        (("n", 3, 8, 8), "--classes ant", "--classes: expected two class names or more"),
        (("n", 3, 8, 8), "--classes gone/names.txt", "--classes: there is no file 'gone/names.txt'"),
        (("n", 3, 8, 8), "--classes ant,ant,bee", "--classes names 'ant' twice"),
        (("n", 3, 8, 8), "--classes ant,bee,cat,dog,emu", "--classes names 5 classes, and for 12 images"),
        (("n", 3, 8, 8), "--classes a,b,c,d", "has 4 classes ('ant', 'bee', 'cat', ...) that the model does not"),
        (("n", 3, 8, 8), "--classes ant,bee,cat,dog --size 9", "--size: expected 8x8"),
        (("n", 3, "h", "w"), "--classes ant,bee,cat,dog", "takes images of any size"),
        (("n", 3, "h", 3), "--classes ant,bee,cat,dog", "say which by --layout nchw or nhwc"),
        (("n", 3, 8, 8), "--classes ant,bee,cat,dog --layout nhwc", "which is not nhwc: leave out --layout"),
        (("n", "c", 8, 8), "--classes ant,bee,cat,dog", "one input of images is expected"),
        (("n", 192), "--classes ant,bee,cat,dog", "one input of images is expected"),
    ],
)
def test_what_does_not_fit_somebody_elses_network_is_one_line(
    capsedge: Capsedge,
    tmp_path: Path,
    pets: tuple[Path, NDArray[np.uint8]],
    shape: tuple[int | str, ...],
    words: str,
    said: str,
) -> None:
    file = classifier(tmp_path / "foreign.onnx", shape=shape)
    done = capsedge("eval", str(file), "--data", str(pets[0]), *words.split())
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("kind", "pixels", "said"),
    [
        (TensorProto.UINT8, "unit", "takes uint8, and --pixels unit are fractions: leave it out"),
        (TensorProto.INT32, "imagenet", "takes int32, and --pixels imagenet are fractions: leave it out"),
        (TensorProto.INT8, None, "takes int8, which does not hold pixels of 0 to 255"),
    ],
)
def test_integers_hold_neither_fractions_nor_pixels_beyond_their_range(
    capsedge: Capsedge, tmp_path: Path, pets: tuple[Path, NDArray[np.uint8]], kind: int, pixels: str | None, said: str
) -> None:
    file = classifier(tmp_path / "foreign.onnx", kind=kind)
    words = ["--classes", ",".join(KINDS), *(["--pixels", pixels] if pixels else [])]
    done = capsedge("eval", str(file), "--data", str(pets[0]), *words)
    assert done.stdout == ""
    assert said in done.stderr.splitlines()[-1]


def test_two_networks_without_a_contract_can_be_compared(
    capsedge: Capsedge, tmp_path: Path, pets: tuple[Path, NDArray[np.uint8]]
) -> None:
    one, other = (classifier(tmp_path / name) for name in ("one.onnx", "other.onnx"))
    words = ["--data", str(pets[0]), "--classes", ",".join(KINDS), "--compare", str(other), "--json"]
    found = json.loads(capsedge("eval", str(one), *words).stdout)
    assert found["comparison"]["error"] == found["error"]


def test_names_that_a_contract_carries_are_not_taken_from_the_command_line(
    capsedge: Capsedge, good: Path, photos: Path
) -> None:
    done = capsedge("eval", str(good), "--data", str(photos), "--classes", "a,b")
    assert done.returncode == 2
    assert "has its own class names" in done.stderr
    same = capsedge("eval", str(good), "--data", str(photos), "--classes", ",".join(CLASSES), "--json")
    assert json.loads(same.stdout)["images"] == 6


def test_a_run_that_has_no_export_is_evaluated_as_it_was_trained(
    capsedge: Capsedge, good: Path, photos: Path, tmp_path: Path
) -> None:
    from capsedge.training import dataset_of
    from tests.tiny import tiny_recipe, train_tiny

    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(15):
            image = Image.fromarray(random.integers(0, 256, (28, 28), np.uint8))
            image.save(tmp_path / "pets" / name / f"{number}.png")
    recipe = tiny_recipe(f"data.source={tmp_path / 'pets'}", "train.epochs=1", "train.batch_size=8")
    run = train_tiny(tmp_path / "run", recipe, dataset_of(recipe.data))
    (trained,) = (score for score in run.read_record().scores if score.split == "test")

    done = capsedge("eval", str(run.path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["error"]) == (trained.images, pytest.approx(trained.error))
    assert "has no export; its trained network is evaluated" in done.stderr
    for words, said in (
        (("--threads", "1"), "leave out the runtime options"),
        (("--classes", "a,b"), "has its own class names"),
    ):
        refused = capsedge("eval", str(run.path), *words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert said in refused.stderr
    other = capsedge("eval", str(good), "--data", str(photos), "--compare", str(run.path))
    assert other.returncode == 2
    assert "has other classes: evaluate each on its own" in other.stderr
