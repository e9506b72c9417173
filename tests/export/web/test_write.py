"""What is written for a page: its files, its policy, and what is refused."""

import base64
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capsedge.contract import Verdict, encode
from capsedge.errors import ModelError, WrongUse
from capsedge.export.web import write_page
from capsedge.files import write_atomically
from capsedge.runtime.models import find_model
from tests.export.triton.folders import tree
from tests.export.triton.test_source import rewrite
from tests.export.typed_files import contract_in
from tests.runtime.capsule_model import graph, save, save_with


class Elements(HTMLParser):
    """The elements with text, as a browser's parser finds them: [tag, attributes, text]."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, ""))

    def text(self, name: str) -> str:
        (text,) = [text for _, attributes, text in self.found if attributes.get("id") == name]
        return text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    save(graph(), tmp_path / "run" / "model.onnx")
    return tmp_path / "run" / "model.onnx"


def with_contract(model: Path, **changes: Any) -> None:
    save_with(graph(), msgspec.structs.replace(contract_in(model), **changes), model)


def page_in(folder: Path) -> Elements:
    return Elements((folder / "index.html").read_text(encoding="utf-8"))


def test_the_page_holds_the_very_model_and_its_contract(model: Path, tmp_path: Path, own_library: Path) -> None:
    folder = write_page(tmp_path / "pages", model, library=own_library)
    page = page_in(folder)

    assert folder == tmp_path / "pages" / "small-capsules"
    assert sorted(tree(folder)) == ["index.html", "webgpu.js"]
    assert gzip.decompress(base64.b64decode(page.text("model"))) == model.read_bytes()
    facts = json.loads(page.text("facts"))
    assert facts["contract"] == json.loads(encode(contract_in(model)))
    assert facts["dark_background"] is False  # the golden images are noise
    assert gzip.decompress(base64.b64decode(page.text("library-script"))) == b"// ort.wasm.bundle.min.mjs"


def test_the_policy_allows_this_script_and_this_style_and_no_request(
    model: Path, tmp_path: Path, own_library: Path
) -> None:
    page = page_in(write_page(tmp_path / "pages", model, library=own_library))
    (policy,) = [each.get("content") or "" for tag, each, _ in page.found if each.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for tag, attributes, text in page.found
        if tag == "style" or attributes.get("type") == "module"
    ]

    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "connect-src" not in rules
    assert [rules["style-src"], rules["script-src"].split()[0]] == hashes
    assert rules["script-src"].split()[1:] == ["'self'", "blob:", "'wasm-unsafe-eval'"]
    assert not [attributes for _, attributes, _ in page.found if {"src", "onclick", "style"} & attributes.keys()]
    outside = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)[a-z]+:", html.unescape(str(page.found)))
    assert outside == []


def test_no_name_can_end_the_element_that_holds_it(model: Path, tmp_path: Path, own_library: Path) -> None:
    names = ("</script><script>bad()", "<!--<script>", "\u2028", '"', "'", "$facts")
    with_contract(
        model, classes=(*names, *contract_in(model).classes[len(names) :]), data="</td></table>", name="<b>"
    )
    page = page_in(write_page(tmp_path / "pages", model, library=own_library))

    assert json.loads(page.text("facts"))["contract"]["classes"][: len(names)] == list(names)
    assert len([tag for tag, _, _ in page.found if tag == "script"]) == 5
    assert not [tag for tag, _, _ in page.found if tag == "b"]
    assert [text for tag, _, text in page.found if tag == "title"] == ["<b>"]


def test_the_same_model_gives_the_same_bytes(model: Path, tmp_path: Path, own_library: Path) -> None:
    one, two = (tree(write_page(tmp_path / name, model, library=own_library)) for name in ("one", "two"))

    assert one == two


def test_a_model_of_a_name_has_a_page_too(tmp_path: Path, own_library: Path) -> None:
    page = page_in(write_page(tmp_path, "builtin", library=own_library))

    assert gzip.decompress(base64.b64decode(page.text("model"))) == find_model("builtin").read_bytes()
    assert json.loads(page.text("facts"))["dark_background"] is True


def test_what_the_gate_did_not_accept_has_no_page(model: Path, tmp_path: Path, own_library: Path) -> None:
    with_contract(model, verdict=Verdict(status="not executed here"))

    with pytest.raises(ModelError, match="was not accepted by the gate"):
        write_page(tmp_path / "pages", model, library=own_library)
    assert not (tmp_path / "pages").exists()


def test_an_engine_has_no_page(model: Path, tmp_path: Path, own_library: Path) -> None:
    engine = model.with_suffix(".engine")
    engine.write_bytes(b"an engine")

    with pytest.raises(ModelError, match=r"is an engine, which no browser runs: give the \.onnx file"):
        write_page(tmp_path / "pages", engine, library=own_library)


def test_a_file_with_a_fixed_batch_has_no_page_and_replaces_none(
    model: Path, tmp_path: Path, own_library: Path
) -> None:
    write_page(tmp_path / "pages", model, library=own_library)
    before = tree(tmp_path / "pages")
    fixed = model.with_name("model.batch3.onnx")
    contract = save(graph(batch=3), fixed, count=3)
    save_with(graph(batch=3), msgspec.structs.replace(contract, batch=3), fixed)

    with pytest.raises(
        ModelError, match=r"batch3\.onnx' has a fixed batch of 3, and the page runs single images: give"
    ):
        write_page(tmp_path / "pages", fixed, library=own_library)
    assert tree(tmp_path / "pages") == before


def test_a_page_that_was_edited_is_not_replaced_and_one_that_was_not_is(
    model: Path, tmp_path: Path, own_library: Path
) -> None:
    folder = write_page(tmp_path / "pages", model, library=own_library)
    write_page(tmp_path / "pages", model, library=own_library)
    page = folder / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace("Image</h2>", "My image</h2>"), encoding="utf-8")
    before = tree(tmp_path)

    with pytest.raises(WrongUse, match=r"index\.html' was edited since capsedge wrote it: move it away"):
        write_page(tmp_path / "pages", model, library=own_library)
    assert tree(tmp_path) == before


def test_the_page_of_another_network_of_that_name_is_not_replaced(
    model: Path, tmp_path: Path, own_library: Path
) -> None:
    write_page(tmp_path / "pages", model, library=own_library)
    before = tree(tmp_path / "pages")
    rewrite(model, graph(), data="Photos: 3 training, 1 validation, 1 test images")

    with pytest.raises(WrongUse, match="is of another network, with other classes or images: move it away, or give"):
        write_page(tmp_path / "pages", model, library=own_library)
    assert tree(tmp_path / "pages") == before


def test_a_full_disk_leaves_no_folder_and_is_told_with_the_page(
    model: Path, tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsedge.export.web import write

    def full_disk(path: Path, content: bytes | str) -> None:
        del content
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(write, "write_atomically", full_disk)
    before = {*tmp_path.iterdir()}
    with pytest.raises(OSError, match="No space left") as full:
        write_page(tmp_path / "new" / "pages", model, library=own_library)
    assert str(full.value.filename).startswith(str(tmp_path / "new" / "pages"))
    assert full.value.filename.endswith("index.html")
    assert {*tmp_path.iterdir()} == before


def test_a_failure_on_the_way_leaves_the_old_page(
    model: Path, tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsedge.export.web import write

    write_page(tmp_path / "pages", model, library=own_library)
    before = tree(tmp_path / "pages")

    def full_disk(path: Path, content: bytes | str) -> None:
        if path.name == "webgpu.js":
            raise OSError(28, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr(write, "write_atomically", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_page(tmp_path / "pages", model, library=own_library)
    assert tree(tmp_path / "pages") == before
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
