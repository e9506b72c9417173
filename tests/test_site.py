"""The documentation as a site: links lead somewhere, nothing comes from another host, public names are told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import capsedge

ROOT = Path(__file__).parent.parent

for module in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(module, reason="building the site needs capsedge[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_it_loads_nothing_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"?([^\" >]+)", page.read_text("utf-8"))
        assert [each for each in loaded if re.match(r"(https?:)?//", each)] == [], page


def test_the_api_page_tells_every_public_name(site: Path) -> None:
    text = (site / "api" / "index.html").read_text("utf-8")
    assert [name for name in capsedge.__all__ if not re.search(rf'id="?capsedge\.(\w+\.)?{name}\b', text)] == [
        "__version__"
    ]


def test_pages_outside_docs_are_linked(site: Path) -> None:
    assert 'href="../zoo/edge-nano/card/"' in (site / "edge" / "index.html").read_text("utf-8")
    assert (site / "zoo" / "edge-nano" / "card" / "index.html").is_file()
