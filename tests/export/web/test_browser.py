"""The page in headless Chromium, against `capsedge infer`: `make browser`."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from capsedge.export import RunExport
from capsedge.export.web import write_page
from capsedge.runtime.infer.classify import predict
from capsedge.runtime.models import find_model
from capsedge.runtime.open import open_session
from tests.export.exact import save_pictures
from tests.export.typed_files import contract_in
from tests.export.web.conftest import Browser, differing, page_of
from tests.export.web.images import saved_in
from tests.runtime.capsule_model import graph, save, save_with
from tests.tiny import tiny_recipe, train_tiny

SHOE = "samples/ankle-boot-1045.png"


def text_of(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


@pytest.mark.parametrize(("model", "name"), [("builtin", "edge-small-int8"), ("edge-small", "edge-small")])
def test_200_images_of_odd_sizes_get_the_answers_and_lengths_of_infer(
    model: str, name: str, served: str, browser: Browser, tmp_path: Path
) -> None:
    """PNG of every kind, with alpha, 16 bits, palettes and orientations; and JPEG, WebP, GIF, BMP."""
    files, paths = saved_in(tmp_path)
    step = {"do": "classify", "files": [base64.b64encode(content).decode() for _, content in files]}
    (found,) = browser(f"{served}/{name}/index.html", step)["results"]

    with open_session(find_model(model)) as session:
        wanted = list(predict(session, paths, batch=1, read_ahead=False))
    assert differing([title for title, _ in files], wanted, found) == []


def test_the_page_asks_its_own_origin_for_itself_alone(served: str, browser: Browser) -> None:
    seen = browser(
        f"{served}/edge-nano/index.html",
        {"do": "choose", "path": SHOE},
        {"do": "transfer", "kind": "paste", "file": text_of(Path(SHOE))},
        {"do": "golden", "place": 2},
        {"do": "draw", "lines": [[[0.2, 0.2], [0.8, 0.8]]]},
        {"do": "measure"},
        {"do": "forbidden", "url": f"{served}/edge-nano/index.html"},
        {"do": "forbidden", "url": "http://localhost:9/"},
    )

    assert {url for url in seen["requests"] if not url.startswith("blob:")} == {f"{served}/edge-nano/index.html"}
    assert seen["results"][-2:] == ["TypeError", "TypeError"]  # not even to its own origin: the policy forbids it
    assert seen["errors"] == []


@pytest.mark.parametrize("how", ["choose", "drop", "paste"])
def test_an_image_can_be_chosen_dropped_and_pasted(how: str, served: str, browser: Browser) -> None:
    step = (
        {"do": "choose", "path": SHOE}
        if how == "choose"
        else {"do": "transfer", "kind": how, "file": text_of(Path(SHOE))}
    )
    (found,) = browser(f"{served}/edge-small-int8/index.html", step)["results"]

    assert found["status"].startswith("ankle-boot; the longest capsule has length 0.903.")
    assert found["error"] == ""


def test_what_is_no_image_gives_one_sentence_and_the_page_goes_on(
    served: str, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(Path(SHOE).read_bytes()[:300])
    paths = [str(tmp_path / name) for name in ("empty.png", "text.png", "cut.png")]
    seen = browser(
        f"{served}/edge-nano/index.html",
        {"do": "choose", "path": SHOE},
        *({"do": "choose", "path": path} for path in paths),
        {"do": "transfer", "kind": "paste", "file": None},
        {"do": "choose", "path": SHOE},
    )

    assert [result["error"] for result in seen["results"]] == [
        "",
        "The file is empty: choose an image.",
        "This is not an image that the browser can read: save it as PNG, JPEG or WebP.",
        "This image cannot be read, the file is cut off or damaged: choose another.",
        "There is no image in it: choose, drop or paste an image file.",
        "",
    ]
    assert "longest capsule" in seen["results"][-1]["status"]
    hidden = [seen["results"][place]["hidden"] for place in (0, 1, 2, 3, 5)]
    assert hidden == [False, True, True, True, False]  # no answer of an earlier image stands under an error
    assert seen["errors"] == []


def test_a_file_that_could_not_be_read_is_not_read_again_when_light_and_dark_are_chosen(
    served: str, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image")
    seen = browser(
        f"{served}/edge-nano/index.html",
        {"do": "choose", "path": str(tmp_path / "text.png")},
        {"do": "transfer", "kind": "paste", "file": None},
        {"do": "invert", "value": "yes"},
        {"do": "choose", "path": SHOE},
        {"do": "invert", "value": "no"},
    )
    _, pasted, after_error, chosen, after_answer = seen["results"]

    assert after_error == {"status": "", "error": pasted["error"]}
    assert "Light and dark were exchanged." in chosen["notes"]
    assert "longest capsule" in after_answer["status"]
    assert "exchanged" not in after_answer["status"]


def test_a_drawing_in_dark_ink_is_exchanged_for_a_network_of_light_things(served: str, browser: Browser) -> None:
    (found,) = browser(
        f"{served}/edge-nano/index.html",
        {"do": "draw", "lines": [[[0.3, 0.2], [0.3, 0.8]], [[0.5, 0.2], [0.5, 0.8]]]},
    )["results"]
    seen = np.array(found["seen"]).reshape(28, 28)

    assert "Light and dark were exchanged." in found["notes"]
    assert seen[14, 8] > 200
    assert seen[14, 14] > 200
    assert seen[14, 20] == seen[2, 2] == 0


def test_the_page_opens_from_the_disk(pages: Path, browser: Browser) -> None:
    file = (pages / "edge-nano" / "index.html").as_uri()
    seen = browser(file, {"do": "choose", "path": SHOE}, {"do": "facts"})

    assert seen["start"] == {"status": "Ready, on WebAssembly, 1 thread.", "error": ""}
    assert {url for url in seen["requests"] if not url.startswith("blob:")} == {file}
    assert "20 of 20" in seen["results"][1]["checks"]
    assert not seen["results"][1]["isolated"]


def test_threads_run_a_larger_network_where_the_page_is_isolated(served: str, browser: Browser) -> None:
    seen = browser(f"{served}/edge-base/index.html", {"do": "facts"}, {"do": "golden", "place": 0}, {"do": "measure"})

    assert seen["results"][0]["isolated"]
    assert re.fullmatch(r"Ready, on WebAssembly, [234] threads\.", seen["start"]["status"])
    assert "agrees20 of 20" in seen["results"][0]["checks"]
    assert "threads" in seen["results"][2]["latency"]


def test_the_latency_is_told_with_its_percentiles_and_the_first_run(served: str, browser: Browser) -> None:
    *_, found = browser(f"{served}/edge-nano/index.html", {"do": "golden", "place": 0}, {"do": "measure"})["results"]

    assert re.match(r"Median [\d.]+ ms, 95th percentile [\d.]+ ms, on WebAssembly, 1 thread\.", found["status"])
    assert all(row in found["latency"] for row in ("median", "p95", "least", "50, each the mean of", "first run"))


def test_a_measurement_that_fails_can_be_repeated(served: str, browser: Browser) -> None:
    steps = {"do": "golden", "place": 0}, {"do": "breakTimers"}, {"do": "measure"}
    *_, found = browser(f"{served}/edge-nano/index.html", *steps)["results"]

    assert found["error"] == "This did not work in this browser (no timers here)."
    assert not found["disabled"]


@pytest.mark.parametrize("look", [{}, {"dark": True}, {"width": 360, "touch": True}, {"width": 360, "dark": True}])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    look: dict[str, Any], served: str, browser: Browser
) -> None:
    seen = browser(
        f"{served}/edge-small-int8/index.html",
        {"do": "axe"},
        {"do": "choose", "path": SHOE},
        {"do": "measure"},
        {"do": "axe"},
        {"do": "choose", "path": "README.md"},
        {"do": "axe"},
        {"do": "wide"},
        **look,
    )
    *audits, (wide, screen) = (seen["results"][place] for place in (0, 3, 5, 6))

    assert all(audit["passes"] > 20 for audit in audits)
    assert [audit["violations"] for audit in audits] == [[], [], []]
    assert wide <= screen


def test_the_keyboard_reaches_everything_that_can_be_used(served: str, browser: Browser) -> None:
    (focused,) = browser(f"{served}/edge-nano/index.html", {"do": "tabs", "count": 26})["results"]

    assert focused[0] == "file"
    assert all(name.startswith("golden image: ") for name in focused[1:21])
    assert focused[21:26] == ["Or draw one", "clear", "invert", "backend", "Checks on the golden images"]


def test_a_page_whose_lengths_are_not_the_contracts_gives_no_answers(tmp_path: Path, browser: Browser) -> None:
    contract = save(graph(), tmp_path / "model.onnx")
    lengths = tuple(tuple(1 - value for value in row) for row in contract.golden.lengths)
    golden = msgspec.structs.replace(contract.golden, lengths=lengths)
    save_with(graph(), msgspec.structs.replace(contract, golden=golden), tmp_path / "model.onnx")
    folder = write_page(tmp_path / "pages", tmp_path / "model.onnx")
    seen = browser((folder / "index.html").as_uri(), {"do": "facts"}, {"do": "choose", "path": SHOE})
    facts, chosen = seen["results"]

    assert seen["start"]["error"] == (
        "This browser computes other lengths for the golden images than the contract accepts, so it gets no answers: "
        "try another browser, or a newer one."
    )
    assert "DIFFERS" in facts["checks"]
    assert chosen["error"] == seen["start"]["error"]
    assert chosen["hidden"]


def test_names_are_text_on_the_page_whatever_they_are(tmp_path: Path, browser: Browser) -> None:
    contract = save(graph(), tmp_path / "model.onnx")
    names = (
        "</script><script>injected = 1</script>",
        "<img src=x onerror='injected = 1'>",
        '"',
        "'",
        "&lt;",
        "${injected}",
    )
    classes = (*names, *contract.classes[len(names) :])
    changed = msgspec.structs.replace(contract, classes=classes, name="<b>&$facts", data="</td><!-- $model")
    save_with(graph(), changed, tmp_path / "model.onnx")
    folder = write_page(tmp_path / "pages", tmp_path / "model.onnx")
    seen = browser((folder / "index.html").as_uri(), {"do": "choose", "path": SHOE}, {"do": "facts"})
    chosen, facts = seen["results"]

    assert all(name in chosen["bars"] for name in names)
    assert facts["title"] == "<b>&$facts"
    assert "</td><!-- $model" in facts["text"]
    assert not facts["injected"]
    assert (seen["errors"], seen["console"]) == ([], [])


def test_a_reconstruction_is_shown_where_the_model_has_a_decoder(tmp_path: Path, browser: Browser) -> None:
    run = train_tiny(tmp_path / "tiny", tiny_recipe("train.epochs=1", "network.decoder=[8]"))
    made = RunExport(run, decoder=True).export("fp32", None)
    folder = write_page(tmp_path / "pages", made.path)
    seen = browser((folder / "index.html").as_uri(), {"do": "golden", "place": 0})

    assert folder.name == "tiny-decoder"
    assert seen["results"][0]["shown"] == 1
    assert seen["errors"] == []


def test_all_golden_images_are_offered_and_of_many_the_first_with_a_button_for_the_rest(
    served: str, tmp_path: Path, browser: Browser
) -> None:
    goldens, more = {"do": "shown", "selector": "#golden button"}, {"do": "shown", "selector": "#more"}
    few, none = browser(f"{served}/edge-nano/index.html", goldens, more)["results"]
    classes = contract_in(find_model("edge-nano")).classes

    assert few == [f"golden image: {name}" for name in classes for _ in range(2)]
    assert none == []

    page = page_of(tmp_path, golden=45)
    click = {"do": "click", "selector": "#more"}
    last = {"do": "golden", "place": 44}
    some, button, focused, everything, gone, answer = browser(
        page.as_uri(), goldens, more, click, goldens, more, last
    )["results"]

    assert (len(some), button, len(everything), gone) == (40, ["Show all 45"], 45, [])
    assert focused == everything[40]
    assert "longest capsule" in answer["status"]


@pytest.mark.parametrize(
    ("dark", "offered"),
    [
        (True, ["exchange where needed", "exchange", "leave"]),
        (False, ["exchange", "leave"]),
    ],
)
def test_light_and_dark_are_offered_where_they_act(
    dark: bool, offered: list[str], tmp_path: Path, browser: Browser
) -> None:
    page = page_of(tmp_path, dark_background=dark)
    options, chosen = browser(
        page.as_uri(), {"do": "shown", "selector": "#invert option"}, {"do": "choose", "path": SHOE}
    )["results"]

    assert options == offered
    assert chosen["notes"].startswith("Light and dark") is False
    assert "longest capsule" in chosen["status"]


def test_light_and_dark_are_not_offered_in_colour(tmp_path: Path, browser: Browser) -> None:
    page = colour_page(tmp_path)
    options, chosen = browser(
        page.as_uri(), {"do": "shown", "selector": "#invert, [for=invert]"}, {"do": "choose", "path": SHOE}
    )["results"]

    assert options == []
    assert "longest capsule" in chosen["status"]
    assert "exchanged" not in chosen["status"]


def colour_page(tmp_path: Path) -> Path:
    """The page of a network that sees the three channels of colour."""
    pictures = save_pictures(tmp_path / "pictures", side=32, channels=3)
    sizes = ("train.epochs=2", "train.batch_size=24", f"data.source={pictures}")
    run = train_tiny(tmp_path / "colours", tiny_recipe(*sizes, "data.shift=0", "data.flip=false"))
    made = RunExport(run).export("fp32", tmp_path / "model.onnx")
    return write_page(tmp_path / "pages", made.path) / "index.html"
