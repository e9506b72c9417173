"""Writing the page of a model: one HTML file that works from the disk and from any static host.

Everything that the page needs is in it, so that it loads nothing. Only WebGPU's library is a file of its own, because
it is large and not every visitor uses it.
"""

import base64
import hashlib
import json
import zlib
from functools import cache
from html import escape
from pathlib import Path
from string import Template

import msgspec

from capsedge.contract import Contract
from capsedge.errors import ModelError
from capsedge.export.accepted import accepted_contract, name_of, plain_name
from capsedge.export.placing import PAGE, marked, subject_of, taking_place
from capsedge.export.web.card import card, summary
from capsedge.export.web.library import PACKAGE, VERSION, WASM, WEBGPU, Part, library_folder
from capsedge.files import write_atomically
from capsedge.measure.bench.show.page import STYLE
from capsedge.outside import one_line
from capsedge.runtime.infer.classify import on_dark_background
from capsedge.runtime.models import find_model
from capsedge.runtime.open import model_file
from capsedge.runtime.verify import golden_sample

(WEBGPU_FILE,) = PAGE.others
_SOURCES = Path(__file__).parent / "page"
# In the order of their use; together they are one script.
SCRIPTS = (
    "bytes.js",
    "statistics.js",
    "png.js",
    "orientation.js",
    "decode.js",
    "resample.js",
    "figure.js",
    "fit.js",
    "usual.js",
    "network.js",
    "latency.js",
    "paper.js",
    "show.js",
    "app.js",
)


def write_page(folder: Path, model: str | Path | None, *, library: Path | None = None) -> Path:
    """Write `folder/name/` with the page of a model.

    The name is that of its run, with the precision if it is not fp32; the page's title is the same name. A page that
    capsedge wrote before is replaced, unless it was edited since. Other exports in the folder stay; a folder with
    files that capsedge did not write is refused.

    Args:
        folder: Holds the pages of any number of models; created if it is missing.
        model: An accepted ONNX file, the folder of its run, or the name of a built-in model or a model of the zoo.
        library: A folder with the package onnxruntime-web; None for the cache folder, which npm fills.

    Returns:
        The page's folder; `index.html` in it is the page.

    Raises:
        ModelError: The file was not accepted, was altered since, has a fixed batch, or is an engine; or npm failed.
        WrongUse: There is no such model, or the folder or the library's folder is unusable.
        MissingExtra: The library is not in the cache, and npm is not installed.
    """
    file = model_file(find_model(model))
    if file.suffix != ".onnx":
        raise ModelError(f"'{file}' is an engine, which no browser runs", "give the .onnx file")
    contract = accepted_contract(file)
    if contract.batch is not None:  # its page would have the name of the free batch's
        raise ModelError(
            f"'{file}' has a fixed batch of {contract.batch}, and the page runs single images",
            "give the file with a free batch",
        )
    golden_sample(contract)  # the page replays it; refuse a damaged one here
    name = plain_name(name_of(contract))
    parts = library_folder(library)
    text = _page(contract, file.read_bytes(), parts)
    webgpu = _webgpu(parts)
    subject = subject_of(contract.classes, contract.data)
    with taking_place(folder, name, PAGE, subject) as made:
        write_atomically(made / PAGE.main, marked(text, subject, "<!doctype html>\n<!-- ", " -->"))
        write_atomically(made / WEBGPU_FILE, webgpu)
    return folder / name


def _page(contract: Contract, model: bytes, parts: Path) -> str:
    style = STYLE + source("style.css")
    script = "\n".join(map(source, SCRIPTS))
    script_part, wasm_part = (_packed(parts, part) for part in WASM)
    rows = (
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(told)}</td></tr>'
        for name, told in card(contract, len(model))
    )
    return Template(source("page.html")).substitute(
        policy=_policy(style, script),
        title=_text(name_of(contract)),
        summary=_text(summary(contract)),
        style=style,
        card="\n".join(rows),
        library=VERSION,
        licence=_text_lines(source("licence.txt")),
        facts=_data({"contract": contract, "dark_background": on_dark_background(contract)}),
        model=_base64(model),
        library_script=script_part,
        library_wasm=wasm_part,
        script=script,
    )


def _webgpu(parts: Path) -> str:
    """The library for WebGPU as a script that only keeps it, since a page from the disk can load a script alone."""
    script, wasm = (_packed(parts, part) for part in WEBGPU)
    notice = f"/* {PACKAGE} {VERSION}, (c) Microsoft Corporation, MIT licence; gzip in base64. */"
    return f'{notice}\nglobalThis.capsedgeWebgpu = {{ script: "{script}", wasm: "{wasm}" }};\n'


def _policy(style: str, script: str) -> str:
    """The content security policy: this script and this style, and no request but for `webgpu.js`.

    `blob:` is for the library, which the script holds as text, and for its threads.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}' 'self' blob: 'wasm-unsafe-eval'",
            "worker-src blob:",
            f"style-src '{_hash(style)}'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def source(name: str) -> str:
    """The text of a file of the page."""
    return (_SOURCES / name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    return escape(one_line(text))


def _text_lines(text: str) -> str:
    return escape(text.strip())


def _data(value: object) -> str:
    """JSON in which nothing can end the element that holds it."""
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache  # for the next page; the file's hash was compared
def _packed(folder: Path, part: Part) -> str:
    return _base64((folder / part.name).read_bytes())


def _base64(content: bytes) -> str:
    """Content as gzip in base64; the same content gives the same text."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with gzip's header, which has no time then
    return base64.b64encode(packer.compress(content) + packer.flush()).decode()
