"""`capsedge export --web` as a person types it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from capsedge.training import Run
from tests.export.triton.folders import tree
from tests.export.web.conftest import ROOT
from tests.in_process import Capsedge


def test_each_exported_file_gets_its_page_except_those_with_a_fixed_batch(
    trained: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    pages = tmp_path / "pages"
    options = ["--output", str(tmp_path / "model.onnx"), "--static-batch", "2", "--json"]
    done = capsedge("export", str(trained.path), *options, "--web", str(pages), "--web-runtime", str(own_library))

    assert done.returncode == 0, done.stderr
    assert [each["web"] for each in json.loads(done.stdout)["exported"]] == [str(pages / "tiny"), None]
    assert sorted(tree(pages)) == ["tiny/index.html", "tiny/webgpu.js"]
    assert f"page: {pages / 'tiny' / 'index.html'}" in done.stderr


def test_a_model_is_given_by_its_name(tmp_path: Path, own_library: Path, capsedge: Capsedge) -> None:
    pages = tmp_path / "pages"
    done = capsedge("export", "builtin", "--web", str(pages), "--web-runtime", str(own_library), "--json")

    assert json.loads(done.stdout) == {"web": str(pages / "edge-small-int8")}
    assert sorted(tree(pages)) == ["edge-small-int8/index.html", "edge-small-int8/webgpu.js"]


@pytest.mark.parametrize(("precisions", "page"), [("fp32", ""), ("fp32,fp16", "tiny-fp16/")])
def test_the_next_command_serves_the_pages(
    precisions: str, page: str, trained: Run, tmp_path: Path, own_library: Path, capsedge: Capsedge
) -> None:
    pages = tmp_path / "my pages"
    options = ["--output", str(tmp_path / "model.onnx"), "--precision", precisions]
    done = capsedge("export", str(trained.path), *options, "--web", str(pages), "--web-runtime", str(own_library))

    (line,) = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    command = shlex.split(line.removeprefix("next: "))
    assert command[-1] == str(pages / "tiny" if precisions == "fp32" else pages)
    assert served(command, page) == (pages / (page or "tiny/") / "index.html").read_bytes()


def test_the_next_command_is_written_in_the_documentation(
    tmp_path: Path, own_library: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    done = capsedge("export", "builtin", "--web", "pages", "--web-runtime", str(own_library))

    (line,) = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    python, *rest = line.removeprefix("next: ").split()
    assert python == Path(sys.executable).name
    assert " ".join(["python", *rest]) in (ROOT / "docs" / "web.md").read_text(encoding="utf-8")


def served(command: list[str], page: str) -> bytes:
    """What a command's server answers at the address that it prints."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as server:
        try:
            assert server.stdout is not None
            said = re.search(rb"http://127\.0\.0\.1:\d+/", server.stdout.readline())
            assert said is not None
            with urllib.request.urlopen(said[0].decode() + page) as answer:
                content: bytes = answer.read()
                return content
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["builtin", "--web", "pages", "--precision", "int8"], "'builtin' is not a run's folder, so only --web,"),
        (["builtin", "--web", "pages", "--trt"], "'builtin' is not a run's folder, so only --web,"),
        (["edge-smal", "--web", "pages"], "there is no file and no model 'edge-smal': did you mean 'edge-small'?"),
        (["builtin", "--web", "file"], "expected a folder, got the file 'file': choose another name"),
        (["--web-runtime", "."], "--web-runtime applies to a page: add --web FOLDER"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    arguments: list[str], told: str, tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    done = capsedge("export", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"capsedge: {told}")
    assert done.stderr.count("\n") == 1
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("gone", "--web-runtime: there is no folder 'gone'"),
        (".", "expected onnxruntime-web 1.30.0 in '.'"),
    ],
)
def test_a_missing_library_fails_as_any_missing_file_and_writes_nothing(
    runtime: str, told: str, tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = capsedge("export", "builtin", "--web", "pages", "--web-runtime", runtime)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"capsedge: {told}")
    assert done.stderr.count("\n") == 1
    assert tree(tmp_path) == {}


def test_a_page_is_written_without_torch_and_without_onnx() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'onnxscript'])); import capsedge.export.web"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
