"""The published JSON Schema: up to date, complete, and as strict as capsedge's own reader."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from capsedge.contract import METADATA_KEY, Contract, EngineManifest, contract_of, decode, encode
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.models import find_model
from tests.test_contract import a_contract, a_manifest

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "docs" / "contract.schema.json"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract_schema", ROOT / "scripts" / "contract_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def schema() -> Json:
    loaded: Json = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return loaded


def errors(schema: Json, value: Any, record: str) -> list[str]:
    """What the schema of one record finds wrong."""
    validator = Draft202012Validator({"$ref": f"#/$defs/{record}", "$defs": schema["$defs"]})
    return [error.json_path for error in validator.iter_errors(value)]


def test_the_published_schema_is_that_of_the_code(script: ModuleType) -> None:
    stale = "docs/contract.schema.json is not that of capsedge/contract.py: python scripts/contract_schema.py"
    assert PUBLISHED.read_text(encoding="utf-8") == script.text(), stale


def test_it_is_a_json_schema_of_2020_12(schema: Json) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_says_what_it_is(schema: Json) -> None:
    silent = [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, described in part["properties"].items()
        if not described.get("description")
    ]
    assert silent == []
    assert "Attributes:" not in json.dumps(schema)


def test_the_descriptions_are_the_docstrings(schema: Json) -> None:
    fields = schema["$defs"]["Fit"]["properties"]
    assert fields["frame"]["description"] == (
        "`pad` keeps the whole image and its aspect ratio on a black background; `crop` fills the frame and cuts off "
        "the rest; `stretch` ignores the aspect ratio; `figure` crops to the object on a plain background, scales it "
        "to one size and centres it, or pads if there is no object (`capsedge.data.images.figure`)."
    )
    described = schema["$defs"]["Fit"]["description"]
    assert described == "How an image of any size and colour is converted to an input."


def test_the_contract_of_the_built_in_model_is_valid(schema: Json) -> None:
    contract = json.loads(read_onnx_file(find_model()).metadata[METADATA_KEY])

    assert errors(schema, contract, "Contract") == []
    assert Draft202012Validator(schema).is_valid(contract)


def test_what_capsedge_writes_is_valid(schema: Json) -> None:
    contract, manifest = json.loads(encode(a_contract())), json.loads(encode(a_manifest()))

    assert errors(schema, contract, "Contract") == []
    assert errors(schema, manifest, "EngineManifest") == []
    for record in (contract, manifest):
        assert Draft202012Validator(schema).is_valid(record)


def without(field: str) -> Callable[[Json], None]:
    return lambda contract: contract.pop(field)


def other(*path: str | int, value: Any) -> Callable[[Json], None]:
    def change(contract: Json) -> None:
        part: Any = contract
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (without("schema"), "$"),
        (without("golden"), "$"),
        (other("schema", value=2), "$.schema"),
        (other("schema", value=4), "$.schema"),
        (other("classes", value="shoe"), "$.classes"),
        (other("labels", value=0), "$.labels"),
        (other("input", "channels", value=2), "$.input.channels"),
        (other("fit", "frame", value="squeeze"), "$.fit.frame"),
        (other("verdict", "status", value="probably"), "$.verdict"),  # or null, so the status is not named
        (other("layers", value=[]), "$.layers"),
        (other("layers", 0, "flops", value="many"), "$.layers[0].flops"),
        (other("scores", 0, "split", value="train"), "$.scores[0].split"),
        (other("golden", "lengths", value=[["long"]]), "$.golden.lengths[0][0]"),
    ],
)
def test_what_capsedge_refuses_the_schema_refuses_too(
    schema: Json, change: Callable[[Json], None], where: str
) -> None:
    contract = json.loads(encode(a_contract()))
    change(contract)

    assert [path for path in errors(schema, contract, "Contract") if path.startswith(where)]
    assert not Draft202012Validator(schema).is_valid(contract)
    with pytest.raises(ModelError):
        decode(json.dumps(contract), Contract, source="m.onnx")


def test_a_field_from_tomorrow_is_taken_by_both(schema: Json) -> None:
    contract = json.loads(encode(a_contract())) | {"weather": "fine"}

    assert errors(schema, contract, "Contract") == []
    assert decode(json.dumps(contract), Contract, source="m.onnx") == a_contract()


def test_a_manifest_without_its_contract_is_refused_by_both(schema: Json) -> None:
    manifest = json.loads(encode(a_manifest()))
    del manifest["contract"]["golden"]

    assert errors(schema, manifest, "EngineManifest") == ["$.contract"]
    with pytest.raises(ModelError):
        decode(json.dumps(manifest), EngineManifest, source="m.engine.json")


DOC = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
READ, HASH = re.findall(r"^```python\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


def run_beside_the_model(folder: Path, code: str) -> str:
    shutil.copy(find_model(), folder / "model.onnx")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_example_of_the_page_reads_a_class_in_six_lines_without_capsedge(tmp_path: Path) -> None:
    said = run_beside_the_model(tmp_path, READ + "import sys; print('capsedge' in sys.modules)")

    name, loaded = said.splitlines()
    contract = contract_of(read_onnx_file(find_model()), source="model.onnx")
    assert contract is not None
    assert name in contract.classes
    assert loaded == "False"
    assert len([line for line in READ.splitlines() if line]) == 6


def test_the_hashes_of_the_page_are_those_of_the_contract(tmp_path: Path) -> None:
    said = run_beside_the_model(tmp_path, HASH + "import json; print(json.dumps([graph, weights]))")

    contract = contract_of(read_onnx_file(find_model()), source="model.onnx")
    assert contract is not None
    assert json.loads(said) == [contract.graph_sha256, contract.weights_sha256]


def test_the_page_names_every_part_of_the_contract() -> None:
    assert [field for field in Contract.__struct_fields__ if f"`{field}`" not in DOC] == ["name"]
