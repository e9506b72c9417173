"""Pages of the shipped models, and a browser that opens them."""

import importlib.util
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from capsedge.export.web import library, write, write_page
from capsedge.runtime.infer.classify import Broken, DetailedPrediction
from tests.runtime.capsule_model import graph, save, save_with

Browser = Callable[..., dict[str, Any]]

TOOLS = "CAPSEDGE_WEB_TOOLS"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for onnxruntime-web, for tests that look at what is written and run nothing."""
    folder = tmp_path / "node_modules" / library.PACKAGE / "dist"
    folder.mkdir(parents=True)
    parts = [library.Part(part.name, _written(folder / part.name)) for part in (*library.WASM, *library.WEBGPU)]
    monkeypatch.setattr(library, "_PARTS", tuple(parts))
    monkeypatch.setattr(write, "WASM", tuple(parts[:2]))
    monkeypatch.setattr(write, "WEBGPU", tuple(parts[2:]))
    return tmp_path


def _written(file: Path) -> str:
    from capsedge.files import sha256_of

    file.write_text(f"// {file.name}", encoding="utf-8")
    return sha256_of(file)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages of the built-in model (int8) and of three models of the zoo."""
    _tools()
    folder = tmp_path_factory.mktemp("pages")
    for model in ("builtin", "edge-small", "edge-nano", "edge-base"):
        write_page(folder, model)
    return folder


def serve_page() -> ModuleType:
    """The script that `make web` runs, as a module."""
    spec = importlib.util.spec_from_file_location("serve_page", ROOT / "scripts" / "serve_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def served(pages: Path) -> Iterator[str]:
    """The address of that folder on a server with the headers of isolation."""
    module = serve_page()
    with module.server(pages) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Something that opens an address in headless Chromium, takes steps there, and tells what it saw."""
    tools = _tools()

    def run(url: str, *steps: dict[str, Any], **options: Any) -> dict[str, Any]:
        chromium = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
        job = {"url": url, "steps": steps, "chromium": chromium, **options}
        return _driven("in_browser.mjs", job, tmp_path, tools)

    return run


@pytest.fixture
def firefox(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Something that opens an address in headless Firefox, gives it files and an image's path, and reports."""
    tools = _tools()

    def run(url: str, files: list[str], path: str) -> dict[str, Any]:
        executable = shutil.which("firefox") or shutil.which("firefox-esr") or "firefox"
        job = {"url": url, "files": files, "path": path, "firefox": executable}
        return _driven("in_firefox.mjs", job, tmp_path, tools)

    return run


def _driven(script: str, job: dict[str, Any], folder: Path, tools: Path) -> dict[str, Any]:
    """What a script of this folder reports of a job."""
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = ["node", str(Path(__file__).with_name(script)), str(folder / "job.json")]
    environment = {**os.environ, TOOLS: str(tools)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def differing(
    titles: Sequence[str],
    wanted: Sequence[DetailedPrediction | Broken],
    found: Sequence[dict[str, Any]],
    *,
    length: float = 1e-3,
    shades: int = 0,
) -> list[tuple[Any, ...]]:
    """The images of which a page gives another answer or mark, or lengths or pixels that differ by more than this."""
    result: list[tuple[Any, ...]] = []
    for title, ours, theirs in zip(titles, wanted, found, strict=True):
        assert isinstance(ours, DetailedPrediction), ours
        assert "error" not in theirs, (title, theirs)
        said = ours.prediction
        lengths = float(np.abs(ours.lengths - np.array(theirs["lengths"])).max())
        pixels = int(np.abs(ours.pixels.ravel().astype(int) - np.array(theirs["pixels"])).max())
        answers = [said.class_name], said.inverted, said.unlike
        if (theirs["answer"], theirs["inverted"], theirs["unlike"]) != answers or lengths > length or pixels > shades:
            result.append((title, lengths, pixels, answers))
    return result


def page_of(tmp_path: Path, *, golden: int = 5, **changes: Any) -> Path:
    """The page of a small network with a changed contract."""
    contract = save(graph(), tmp_path / "model.onnx", count=golden)
    save_with(graph(), msgspec.structs.replace(contract, **changes), tmp_path / "model.onnx")
    return write_page(tmp_path / "pages", tmp_path / "model.onnx") / "index.html"


def _tools() -> Path:
    """The folder with playwright-core and axe-core; `make browser` makes it, and demands a browser then."""
    if TOOLS not in os.environ:
        pytest.skip("no tools for a browser are here: `make browser` installs them and runs these tests")
    return Path(os.environ[TOOLS])
