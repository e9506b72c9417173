"""The small server of `make web`."""

import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from tests.export.web.conftest import ROOT, serve_page


def test_a_page_is_served_to_this_machine_alone_and_isolated_from_other_sites(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    module: ModuleType = serve_page()
    with module.server(tmp_path) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        host, port = serving.server_address
        with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
            text, headers = answer.read(), answer.headers
        serving.shutdown()

    assert (host, text) == ("127.0.0.1", b"a page")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_does_not_exist_is_one_line(port: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    command = [sys.executable, str(ROOT / "scripts" / "serve_page.py"), str(tmp_path), "--no-open", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--port: expected a number from 0 to 65535, got {port}\n"
