"""Write the JSON Schema of the contract from its types: docs/contract.schema.json.

    python scripts/contract_schema.py

The descriptions come from the docstrings in capsedge/contract.py.
"""

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from capsedge import contract  # noqa: E402 - the checkout, installed or not
from capsedge.contract import SCHEMA_VERSION, Contract, EngineManifest  # noqa: E402

TARGET = ROOT / "docs" / "contract.schema.json"
RECORDS = (Contract, EngineManifest)


def schema() -> dict[str, Any]:
    """The schema of both records: either of them is valid, and each has its name under `$defs`."""
    roots, parts = msgspec.json.schema_components(RECORDS, ref_template="#/$defs/{name}")
    for name, part in parts.items():
        _describe(part, getattr(contract, name))
    for record in RECORDS:
        _fix_version(parts[record.__name__])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:capsedge:contract:{SCHEMA_VERSION}",
        "title": "The contract of an exported capsule network",
        "description": (
            "Either the contract in an ONNX file, or the manifest beside a TensorRT engine, which holds one. Unknown "
            "fields are allowed, another schema version is not."
        ),
        "anyOf": list(roots),
        "$defs": {name: parts[name] for name in sorted(parts)},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def attributes(docstring: str) -> dict[str, str]:
    """The `Attributes:` section of a Google-style docstring, with each text on one line and None as null."""
    section = re.search(r"^Attributes:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.split(r"^    (?=\w+: )", section[1], flags=re.MULTILINE)[1:]
    pairs = (entry.split(": ", 1) for entry in entries)
    return {name: re.sub(r"\bNone\b", "null", " ".join(words.split())) for name, words in pairs}


def _describe(part: dict[str, Any], kind: type) -> None:
    """Copy the docstring's text about each field to the field's description."""
    docstring = inspect.getdoc(kind) or ""
    part["description"] = " ".join(docstring.partition("\nAttributes:\n")[0].split())
    for name, words in attributes(docstring).items():
        part["properties"][name]["description"] = words


def _fix_version(part: dict[str, Any]) -> None:
    """Require the schema version, and allow only the current one."""
    part["properties"]["schema"] = {
        "const": SCHEMA_VERSION,
        "description": "Version of this schema; a reader refuses any other.",
    }
    part["required"].insert(0, "schema")


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
