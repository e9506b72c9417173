"""The small server of `make web`."""

import threading
import urllib.request
from pathlib import Path
from types import ModuleType

from tests.export.web.conftest import serve_page


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
