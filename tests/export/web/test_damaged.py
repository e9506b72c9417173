"""A page that is cut off, damaged or too new for its browser says so, in one sentence: `make browser`."""

from pathlib import Path

import msgspec
import onnx
import pytest

from capsedge.export.web import write_page
from tests.export.web.conftest import Browser, page_of
from tests.runtime.capsule_model import graph, save, save_with

SHOE = "samples/ankle-boot-1045.png"
CHOOSE = {"do": "choose", "path": SHOE}
DAMAGED = "This page is cut off or damaged: get its files again."


def cut(text: str, after: str, more: int = 40) -> str:
    return text[: text.index(after) + len(after) + more]


@pytest.mark.parametrize("part", ["facts", "model", "library-script", "library-wasm"])
@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_damaged_page_says_so_and_gives_no_answers(how: str, part: str, tmp_path: Path, browser: Browser) -> None:
    page = page_of(tmp_path)
    text = page.read_text(encoding="utf-8")
    start = cut(text, f'id="{part}">', more=8)
    page.write_text(start if how == "cut" else start[:-8] + "!!!!!!!!" + text[len(start) :], encoding="utf-8")
    seen = browser(page.as_uri(), CHOOSE)

    assert seen["start"] == {"status": "", "error": DAMAGED}
    assert (seen["results"][0]["error"], seen["results"][0]["hidden"]) == (DAMAGED, True)
    assert (seen["errors"], seen["console"]) == ([], [])


def test_a_page_that_is_cut_in_its_script_says_it_after_a_while(tmp_path: Path, browser: Browser) -> None:
    page = page_of(tmp_path)
    page.write_text(cut(page.read_text(encoding="utf-8"), '<script type="module">'), encoding="utf-8")
    before, late = browser(
        page.as_uri(), {"do": "shown", "selector": "#late"}, {"do": "visible", "selector": "#late"}
    )["results"]

    assert before == []
    assert late.startswith("If this stays, the page is cut off or the browser is too old")


def test_a_webgpu_file_that_is_cut_is_not_used(tmp_path: Path, browser: Browser) -> None:
    page = page_of(tmp_path)
    library = page.with_name("webgpu.js")
    library.write_bytes(library.read_bytes()[:1000])
    chosen, shoe = browser(page.as_uri(), {"do": "backend", "name": "webgpu"}, CHOOSE, webgpu=True)["results"]

    assert chosen["note"] == (
        "WebGPU is not used: The file webgpu.js is cut off or damaged: get it again. WebAssembly runs the network."
    )
    assert "longest capsule" in shoe["status"]


def test_a_browser_that_is_too_old_says_so(tmp_path: Path, browser: Browser) -> None:
    seen = browser(page_of(tmp_path).as_uri(), without="DecompressionStream")

    assert seen["start"]["error"].startswith("This browser is too old for the page, it has no DecompressionStream")


def test_a_network_that_the_library_cannot_run_gives_one_sentence_and_no_answers(
    tmp_path: Path, browser: Browser
) -> None:
    contract = save(graph(), tmp_path / "model.onnx")
    model = graph()
    model.opset_import.append(onnx.helper.make_opsetid("elsewhere", 1))
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "elsewhere"
    found = save_graph(model, tmp_path / "model.onnx")
    save_with(model, msgspec.structs.replace(contract, graph_sha256=found), tmp_path / "model.onnx")
    page = write_page(tmp_path / "pages", tmp_path / "model.onnx") / "index.html"
    seen = browser(page.as_uri(), CHOOSE, {"do": "draw", "lines": [[[0.2, 0.2], [0.8, 0.8]]]})

    assert seen["start"]["error"].startswith("This did not work in this browser (")
    assert [each["error"] for each in seen["results"]] == [seen["start"]["error"]] * 2
    assert seen["results"][0]["hidden"]


def save_graph(model: onnx.ModelProto, file: Path) -> str:
    """Write a model; returns the hash of its graph."""
    from capsedge.onnx_lite.file import read_onnx_file

    onnx.save(model, file)
    return read_onnx_file(file).graph_sha256


@pytest.mark.parametrize("look", [{"width": 320}, {"width": 360, "touch": True}, {}])
def test_names_without_a_space_stay_within_the_screen(look: dict[str, int], tmp_path: Path, browser: Browser) -> None:
    long = "x" * 300
    contract = save(graph(), tmp_path / "model.onnx")
    page = page_of(tmp_path, name=long, data=long, recipe=long, classes=(long, *contract.classes[1:]))
    choose, golden = CHOOSE, {"do": "golden", "place": 0}
    *_, (wide, screen) = browser(page.as_uri(), choose, golden, {"do": "measure"}, {"do": "wide"}, **look)["results"]

    assert wide <= screen
