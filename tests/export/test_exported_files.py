"""Files of an export are known by their content, whatever else lies beside them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from capsedge.export.exported_files import CARD_MARK, exported_among, is_of_a_card
from capsedge.export.triton import write_repository
from capsedge.export.web import write_page
from capsedge.runtime.tensorrt.manifest import manifest_path
from tests.export.triton.conftest import EngineMaker, accepted, make_engine  # noqa: F401  fixtures
from tests.export.triton.folders import tree
from tests.export.web.conftest import own_library  # noqa: F401  a fixture
from tests.runtime.capsule_model import graph, save


def weights(head: Any) -> bytes:
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text


def test_what_an_export_wrote_is_known_with_what_belongs_to_it(make_engine: EngineMaker) -> None:  # noqa: F811
    engine = make_engine()
    folder = engine.parent
    (folder / "x.int8.onnx.rejected").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "x.safetensors").write_bytes(weights({"__metadata__": CARD_MARK}))
    (folder / "deferred.engine.json").write_bytes(manifest_path(engine).read_bytes())

    assert exported_among(folder.iterdir()) == {
        "model.onnx",
        "model.engine",
        "model.engine.json",
        "deferred.engine",
        "deferred.engine.json",
        "model.engine.kernels",
        "deferred.engine.kernels",
        "x.int8.onnx.rejected",
        "x.int8.onnx.rejected.json",
        "x.safetensors",
        "x.card.md",
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.onnx", b""),
        ("a.onnx", b"\x00" * 40),
        ("a.txt", b"mine"),
        ("a.engine", b"mine"),
        ("a.engine.json", b"{}"),
        ("a.card.md", b"mine"),
        ("a.safetensors", b""),
        ("a.safetensors", b"\xff" * 8),
        ("a.safetensors", weights([])),
        ("a.safetensors", weights({})),
        ("a.safetensors", weights({"__metadata__": None})),
        ("a.safetensors", weights({"__metadata__": {"format": "pt"}})),
        ("a.safetensors", weights({"__metadata__": CARD_MARK})[:-1]),
        ("a.safetensors", (200_000).to_bytes(8, "little") + b"[" * 200_000),
    ],
)
def test_what_others_wrote_is_not_taken_for_an_exports(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.onnx").mkdir()

    assert exported_among(tmp_path.iterdir()) == set()
    assert not is_of_a_card(tmp_path / name)


@pytest.mark.parametrize("links", [True, False])
def test_what_stays_in_a_folder_stays_with_its_times_and_edits(
    links: bool,
    accepted: Path,  # noqa: F811
    tmp_path: Path,
    own_library: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the disk has no links to files, and links to other places stay links."""
    page = write_page(tmp_path / "both", accepted, library=own_library)
    save(graph(), page / "model.onnx")
    (page / "again.onnx").symlink_to("model.onnx")
    with (page / "index.html").open("a") as file:
        file.write("<!-- mine -->")
    before = tree(page)
    os.utime(page / "index.html", (1_000_000_000, 1_000_000_000))

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    assert write_repository(tmp_path / "both", accepted) == page

    after = tree(page)
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["1/model.onnx", "config.pbtxt", "labels.txt"]
    assert (page / "index.html").stat().st_mtime == 1_000_000_000
    assert (page / "again.onnx").is_symlink()
