"""WebGPU on the page: where it agrees, and that WebAssembly runs the network where it does not: `make browser`."""

import base64
import gzip
import re
import shutil
from pathlib import Path

from capsedge.runtime.models import find_model
from tests.export.typed_files import contract_in
from tests.export.web.conftest import Browser

SHOE = "samples/ankle-boot-1045.png"


def test_webgpu_is_not_used_where_the_browser_has_none(served: str, browser: Browser) -> None:
    seen = browser(
        f"{served}/edge-nano/index.html", {"do": "backend", "name": "webgpu"}, {"do": "choose", "path": SHOE}
    )
    chosen, shoe = seen["results"]

    assert chosen["note"] == "WebGPU is not used: This browser has no WebGPU here. WebAssembly runs the network."
    assert chosen["chosen"] == "wasm"
    assert "longest capsule" in shoe["status"]


def page_with(run: str, pages: Path, tmp_path: Path) -> str:
    """The address of a page whose WebGPU library is a stand-in, with this function as its session's."""
    shutil.copytree(pages / "edge-nano", tmp_path / "page")
    library = f"""export const env = {{ wasm: {{}} }};
        export class Tensor {{}}
        let runs = 0;
        const run = async () => {{ {run} }};
        export const InferenceSession = {{ create: async () => ({{ run }}) }};"""
    script, wasm = (base64.b64encode(gzip.compress(part)).decode() for part in (library.encode(), b""))
    text = f'globalThis.capsedgeWebgpu = {{ script: "{script}", wasm: "{wasm}" }};'
    (tmp_path / "page" / "webgpu.js").write_text(text, encoding="utf-8")
    return (tmp_path / "page" / "index.html").as_uri()


def test_webgpu_is_not_used_where_it_computes_other_lengths(pages: Path, tmp_path: Path, browser: Browser) -> None:
    url = page_with("return { lengths: { data: new Float32Array(10) } };", pages, tmp_path)
    steps = {"do": "backend", "name": "webgpu"}, {"do": "choose", "path": SHOE}
    chosen, shoe = browser(url, *steps, webgpu=True)["results"]

    assert chosen["note"] == (
        "WebGPU is not used: It computes other lengths than the contract or WebAssembly. "
        "WebAssembly runs the network."
    )
    assert "WebGPUDIFFERS" in chosen["checks"]
    assert chosen["chosen"] == "wasm"
    assert "longest capsule" in shoe["status"]


def lost_after(runs: int) -> str:
    """A session's function that agrees on the golden images, answers some runs more, and then fails."""
    golden = [list(row) for row in contract_in(find_model("edge-nano")).golden.lengths]
    return (
        f"const golden = {golden}; if (runs === golden.length + {runs}) throw new Error('the device was lost'); "
        "return { lengths: { data: Float32Array.from(golden[runs++ % golden.length]) } };"
    )


def test_where_webgpu_fails_in_a_measurement_webassembly_is_measured(
    pages: Path, tmp_path: Path, browser: Browser
) -> None:
    url = page_with(lost_after(4), pages, tmp_path)
    steps = {"do": "backend", "name": "webgpu"}, {"do": "golden", "place": 0}, {"do": "measure"}
    chosen, _, found = browser(url, *steps, webgpu=True)["results"]

    assert chosen["chosen"] == "webgpu"
    assert re.fullmatch(r"Median .* ms, on WebAssembly, 1 thread\.", found["status"])
    assert "WebAssembly, 1 thread" in found["latency"]
    assert found["note"] == "WebGPU failed (the device was lost), so WebAssembly is used."


def test_where_webgpu_fails_later_webassembly_goes_on(pages: Path, tmp_path: Path, browser: Browser) -> None:
    url = page_with(lost_after(0), pages, tmp_path)
    steps = ({"do": "backend", "name": "webgpu"}, {"do": "choose", "path": SHOE}, {"do": "backend", "name": "wasm"})
    chosen, shoe, _ = browser(url, *steps, webgpu=True)["results"]

    assert (chosen["status"], chosen["chosen"]) == ("Ready, on WebGPU.", "webgpu")
    assert "longest capsule" in shoe["status"]
    assert shoe["note"] == "WebGPU failed (the device was lost), so WebAssembly is used."


def test_webgpu_runs_the_network_where_it_agrees(served: str, browser: Browser) -> None:
    """On a GPU in software, which takes half a minute."""
    seen = browser(
        f"{served}/edge-nano/index.html",
        {"do": "backend", "name": "webgpu"},
        {"do": "choose", "path": SHOE},
        {"do": "facts"},
        webgpu=True,
    )
    chosen, shoe, facts = seen["results"]

    assert chosen["status"] == "Ready, on WebGPU."
    assert "WebGPUagrees20 of 20" in facts["checks"]
    assert "longest capsule" in shoe["status"]
    assert {url.rpartition("/")[2] for url in seen["requests"] if not url.startswith("blob:")} == {
        "index.html",
        "webgpu.js",
    }
